"""`wandb.Molecule`: molecules in space."""

from __future__ import annotations

import os
from typing import IO, TYPE_CHECKING, Any, Dict, Optional, Sequence, Union

from wandb.data_types.media import Content, Media, captions_of, existing_file, library, read_all
from wandb.errors import ValidationError
from wandb.interface.values import kind_name

if TYPE_CHECKING:
    from wandb.internal.media_files import MediaFiles

WHERE = "wandb.Molecule"


class Molecule(Media):
    """A molecule.

        run.log({"protein": wandb.Molecule("folded.pdb")})

    Args:
        data_or_path: The path of a file of one of `SUPPORTED_TYPES`, or an open file.
        caption: Shown beneath.
        file_type: Which of the types an open file without a name is.

    Raises:
        ValueError: It is of no type that is known.
        FileNotFoundError: There is no such file.
    """

    SUPPORTED_TYPES = {"cif", "gro", "mcif", "mmcif", "mmtf", "mol2", "pdb", "pqr", "sd", "sdf"}
    SUPPORTED_RDKIT_TYPES = {"mol", "sdf"}

    _folder = "molecule"
    _kind = "molecule-file"

    def __init__(
        self,
        data_or_path: Union[str, os.PathLike[str], IO[str]],
        caption: Optional[str] = None,
        file_type: Optional[str] = None,
    ) -> None:
        self.caption = caption
        if isinstance(data_or_path, (str, os.PathLike)):
            path = existing_file(data_or_path, WHERE)
            self._data: Union[str, bytes] = path
            file_type = os.path.splitext(path)[1][1:]
        elif hasattr(data_or_path, "read"):
            self._data = read_all(data_or_path, WHERE)
            file_type = file_type or extension_of_file(data_or_path)
            if not file_type:
                raise ValidationError(WHERE, "an open file has to be told its file_type")
        else:
            raise ValidationError(WHERE, f"{kind_name(data_or_path)} is no path and no open file")
        if file_type not in self.SUPPORTED_TYPES:
            known = ", ".join(sorted(self.SUPPORTED_TYPES))
            raise ValidationError(WHERE, f"files of type {file_type!r} are not known", hint=f"one of {known}")
        self._extension = f".{file_type}"

    @classmethod
    def from_rdkit(
        cls,
        data_or_path: Any,
        caption: Optional[str] = None,
        convert_to_3d_and_optimize: bool = True,
        mmff_optimize_molecule_max_iterations: int = 200,
    ) -> Molecule:
        """Return an RDKit molecule, or one in a file of `SUPPORTED_RDKIT_TYPES`, as a molecule.

        Args:
            data_or_path: An `rdkit.Chem.Mol`, or the path of a file that RDKit reads.
            convert_to_3d_and_optimize: Add hydrogen, and look for the form that it has in space.
            mmff_optimize_molecule_max_iterations: How long to look.

        Raises:
            ValueError: It is neither, or RDKit does not understand it.
            MissingLibraryError: RDKit is missing: `pip install "wandb-ng[molecule]"`.
        """
        chem = library("rdkit.Chem", "molecule", "a molecule of RDKit's")
        if isinstance(data_or_path, (str, os.PathLike)):
            path = existing_file(data_or_path, f"{WHERE}.from_rdkit")
            kind = os.path.splitext(path)[1][1:]
            if kind not in cls.SUPPORTED_RDKIT_TYPES:
                known = ", ".join(sorted(cls.SUPPORTED_RDKIT_TYPES))
                raise ValidationError(
                    f"{WHERE}.from_rdkit", f"files of type {kind!r} are not known", hint=f"one of {known}"
                )
            read_many = kind == "sdf"
            molecule = next(iter(chem.SDMolSupplier(path)), None) if read_many else chem.MolFromMolFile(path)
        else:
            molecule = data_or_path
        if not isinstance(molecule, chem.rdchem.Mol):
            raise ValidationError(f"{WHERE}.from_rdkit", f"RDKit makes no molecule of {data_or_path!r}")
        if convert_to_3d_and_optimize:
            all_chem = library("rdkit.Chem.AllChem", "molecule", "a molecule of RDKit's")
            molecule = chem.AddHs(molecule)
            all_chem.EmbedMolecule(molecule)
            all_chem.MMFFOptimizeMolecule(molecule, maxIters=mmff_optimize_molecule_max_iterations)
        import io

        text = io.StringIO(chem.rdmolfiles.MolToPDBBlock(molecule))
        return cls(text, caption=caption, file_type="pdb")

    @classmethod
    def from_smiles(
        cls,
        data: str,
        caption: Optional[str] = None,
        sanitize: bool = True,
        convert_to_3d_and_optimize: bool = True,
        mmff_optimize_molecule_max_iterations: int = 200,
    ) -> Molecule:
        """Return the molecule that a SMILES text describes; otherwise as `from_rdkit`.

        Raises:
            ValueError: RDKit does not understand the text.
            MissingLibraryError: RDKit is missing: `pip install "wandb-ng[molecule]"`.
        """
        chem = library("rdkit.Chem", "molecule", "a molecule of RDKit's")
        if not isinstance(data, str):
            raise ValidationError(f"{WHERE}.from_smiles", f"{kind_name(data)} is no text")
        molecule = chem.MolFromSmiles(data, sanitize=sanitize)
        if molecule is None or not molecule.GetNumAtoms():
            raise ValidationError(f"{WHERE}.from_smiles", f"RDKit does not understand {data!r}")
        return cls.from_rdkit(
            molecule,
            caption=caption,
            convert_to_3d_and_optimize=convert_to_3d_and_optimize,
            mmff_optimize_molecule_max_iterations=mmff_optimize_molecule_max_iterations,
        )

    def _content(self) -> Content:
        return Content(self._data, self._extension)

    @classmethod
    def _store_list(cls, items: Sequence[Any], files: MediaFiles, key: str, step: object) -> Dict[str, Any]:
        paths = [item._store(files, key, step)["path"] for item in items]
        captions = captions_of(items, missing=None)
        return {"_type": "molecule", "filenames": paths, "count": len(paths), "captions": captions or False}


def extension_of_file(file: Any) -> str:
    """Return the type that an open file's name ends in; "" if it has no name."""
    name = getattr(file, "name", None)
    return os.path.splitext(name)[1][1:] if isinstance(name, str) else ""
