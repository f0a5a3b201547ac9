"""Media in artifacts: files, and beside them a JSON file that says how they belong together.

    artifact.add(wandb.Table(columns=["picture"], data=[[wandb.Image(pixels)]]), "answers")

makes `answers.table.json` and `media/images/<20 hex digits of its digest>.png`, as wandb does (observed, and
held to it by tests/interop/test_artifact_media.py).

Rule 1: what is in memory gets a name of its digest; a file of the user's keeps its name, below its digest.
Rule 2: what another artifact has already is referred to, not copied.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Dict, Iterator, Optional, Set, Tuple, Type

from wandb.content_names import hex_of
from wandb.data_types import HOMES
from wandb.data_types.media import CLIENT_ARTIFACT, Content, Media
from wandb.errors import MediaFileError, ValidationError
from wandb.interface.values import kind_name
from wandb.sdk.artifacts import staging

if TYPE_CHECKING:
    from wandb.sdk.artifacts.artifact import Artifact
    from wandb.sdk.artifacts.artifact_manifest_entry import ArtifactManifestEntry

# What can be added to an artifact: the end of its file's name (and `_type` in it) -> the class.
KINDS = {
    "audio-file": "Audio",
    "bokeh-file": "Bokeh",
    "bounding-boxes": "BoundingBoxes2D",
    "classes": "Classes",
    "html-file": "Html",
    "image-file": "Image",
    "joined-table": "JoinedTable",
    "mask": "ImageMask",
    "molecule-file": "Molecule",
    "object3D-file": "Object3D",
    "partitioned-table": "PartitionedTable",
    "table": "Table",
    "video-file": "Video",
}
TABLES = "media/tables"  # where tables are that others point at
HASH_DIGITS = 20
CHUNK_BYTES = 1 << 20


class ArtifactMedia:
    """The media of one artifact.

    Args:
        artifact: The artifact.
        where: What the user has called, for errors.

    Attributes:
        where: As given.
    """

    def __init__(self, artifact: Artifact, where: str = "Artifact.add") -> None:
        self._artifact = artifact
        self.where = where
        self._being_added: Dict[int, str] = {}  # id of a value -> its file's name
        self._inside: Set[int] = set()  # ids of values whose JSON is being made

    def add(self, value: Any, name: str, overwrite: bool = False) -> ArtifactManifestEntry:
        """Add a value, its files, and all that it points at.

        Args:
            name: Of its JSON file; the end that says its type may be left out.
            overwrite: Replace what is there of that name; else that stays as it is.

        Raises:
            ValidationError: The value cannot stand in an artifact, or the name is none.
            OSError: A file could not be written.
        """
        if not isinstance(value, Media) or value._kind not in KINDS:
            known = ", ".join(sorted(KINDS.values()))
            raise ValidationError(
                self.where, f"{kind_name(value)} cannot stand in an artifact", hint=f"one of {known}"
            )
        known_as = self._artifact._added_objects.get(id(value))
        if known_as is not None:
            return known_as[1]
        whole = with_suffix(name, value._kind)
        elsewhere = _elsewhere(value, self._artifact)
        if elsewhere is not None:
            if whole.startswith(f"{TABLES}/"):  # several may be pointed at, and by several columns
                whole = f"{TABLES}/{self._digest(elsewhere[0].encode())}.{value._kind}.json"
                pointed_at = self._artifact.manifest.get_entry_by_path(whole)
                if pointed_at is not None:
                    return pointed_at
            return self._artifact._refer(*elsewhere, whole)
        self._being_added[id(value)] = whole
        try:
            tree = value._store_in(self)
        finally:
            del self._being_added[id(value)]
        there = self._artifact.manifest.get_entry_by_path(whole)
        if there is not None and not overwrite:
            return there
        try:
            content = json.dumps(tree, sort_keys=True).encode("ascii")
        except ValueError as error:  # an int of more digits than Python prints
            raise ValidationError(self.where, f"a value cannot be written: {error}") from None
        if whole.startswith(f"{TABLES}/"):
            whole = f"{TABLES}/{self._digest(content)}.{value._kind}.json"
        entry = self._artifact._add_content(content, whole, overwrite)
        self._artifact._added_objects[id(value)] = (value, entry)  # which keeps its id from being used again
        if value._target is None:
            value._target = (self._artifact, entry.path)
        return entry

    def put(self, content: Content, folder: str) -> Dict[str, Any]:
        """Add a file, unless it is there.

        Returns:
            `path` (its name in the artifact) and `sha256`.

        Raises:
            MediaFileError: A file of the user's cannot be read.
            OSError: The file could not be written.
        """
        if isinstance(content.data, bytes):
            path = f"media/{folder}/{self._digest(content.data)}{content.extension}"
            if self._artifact.manifest.get_entry_by_path(path) is None:
                self._artifact._add_content(content.data, path)
            return {"path": path, "sha256": hashlib.sha256(content.data).hexdigest()}
        sha256 = _sha256_of(content.data)
        known_as = self._artifact.get_added_local_path_name(content.data)
        if known_as is not None:
            return {"path": known_as, "sha256": sha256}
        path = f"media/{folder}/{sha256[:HASH_DIGITS]}/{os.path.basename(content.data)}"
        return {"path": self._artifact.add_file(content.data, path).path, "sha256": sha256}

    def classes(self, classes: Any, name: str) -> Dict[str, str]:
        """Add the names of classes, and return what stands for them."""
        entry = self.add(classes, name)
        return {"type": "classes-file", "path": entry.path, "digest": entry.digest}

    def name_of_table(self, table: Any) -> str:
        """Return the name of a table that another points at; it is added if it is not there."""
        name = self._being_added.get(id(table))
        return self.add(table, f"{TABLES}/t").path if name is None else name

    def has(self, name: str) -> bool:
        """Tell whether the artifact has a file of this name."""
        return self._artifact.manifest.get_entry_by_path(name) is not None

    def names(self) -> Tuple[str, ...]:
        """Return the names of all files."""
        return tuple(self._artifact.manifest.entries)

    def refer(self, entry: ArtifactManifestEntry) -> str:
        """Refer to a table of another artifact, and return its name in this one.

        Raises:
            ValueError: The entry is of no artifact that is logged.
        """
        kind = entry.path.split(".")[-2]
        name = f"{hex_of(entry.digest)[:HASH_DIGITS]}.{kind}.json"
        return self._artifact._refer(entry.ref_url(), entry, name).path

    @contextmanager
    def inside(self, value: Any) -> Iterator[None]:
        """Do what makes JSON of a value that others may stand in.

        Raises:
            ValidationError: It stands in itself.
        """
        if id(value) in self._inside:
            raise ValidationError(self.where, f"a {type(value).__name__} contains itself")
        self._inside.add(id(value))
        try:
            yield
        finally:
            self._inside.remove(id(value))

    # ---- back

    def get(self, name: str) -> Optional[Media]:
        """Return the value that was added under a name; None if there is none.

        Raises:
            MediaFileError: Its file is none.
            Error: It cannot be had.
        """
        for kind in KINDS:
            whole = with_suffix(name, kind)
            if self.has(whole):
                try:
                    with open(self.file(whole), encoding="utf-8") as file:
                        found = self.value_of(json.load(file))
                except (KeyError, TypeError, AttributeError, ValueError) as error:
                    if isinstance(error, ValidationError):
                        raise
                    raise MediaFileError("Artifact.get", f"{whole} is no {KINDS[kind]}: {error!r}") from None
                if found is not None:
                    found._source = (self._artifact, whole)
                return found
        return None

    def value_of(self, tree: Any) -> Optional[Media]:
        """Return the value that stands in the artifact as this JSON; None if that is none."""
        kind = tree.get("_type") if isinstance(tree, dict) else None
        return None if kind not in KINDS else class_of(kind)._from_artifact(tree, self)

    def file(self, name: str) -> str:
        """Return the path of a file of the artifact on this machine.

        Raises:
            KeyError: There is no such file in it.
            Error: It cannot be had.
        """
        entry = self._artifact.manifest.entries[name]
        if entry.local_path is None or not os.path.isfile(entry.local_path):
            return str(self._artifact.get_entry(name).download())
        # A run keeps files by their digest, and what they are, their names say.
        path = os.path.join(staging.directory(), hex_of(entry.digest), os.path.basename(name))
        if not os.path.lexists(path):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            try:
                os.link(entry.local_path, path)
            except OSError:
                shutil.copyfile(entry.local_path, path)
        return path

    def files_below(self, directory: str) -> Tuple[str, ...]:
        """Return the names of the files in a directory of the artifact, in order."""
        entries = self._artifact.manifest.get_entries_in_directory(directory)
        return tuple(sorted(entry.path for entry in entries))

    def _digest(self, content: bytes) -> str:
        return self._artifact._digest_of(content)[:HASH_DIGITS]


def with_suffix(name: str, kind: str) -> str:
    """Return the name of the JSON file of a value of this kind."""
    name = os.fspath(name)
    return name if name.endswith(f"{kind}.json") else f"{name}.{kind}.json"


def class_of(kind: str) -> Type[Media]:
    """Return the class of a kind of media; it is loaded now."""
    name = KINDS[kind]
    found: Type[Media] = getattr(importlib.import_module(HOMES[name]), name)
    return found


def _elsewhere(value: Media, artifact: Artifact) -> Optional[Tuple[str, ArtifactManifestEntry]]:
    """Return address and entry of a value in another artifact; None if it is in none that is logged."""
    for place, is_client in ((value._source, False), (value._target, True)):
        if place is None or place[0] is artifact or not place[0]._final:
            continue
        other, name = place
        entry = other.manifest.get_entry_by_path(name)
        if entry is not None:
            address = f"{CLIENT_ARTIFACT}{other._client_id}/{name}" if is_client else other._address_of(name)
            return address, entry
    return None


def _sha256_of(path: str) -> str:
    hashed = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            for chunk in iter(lambda: file.read(CHUNK_BYTES), b""):
                hashed.update(chunk)
    except OSError as error:
        raise MediaFileError("Artifact.add", f"{path} cannot be read: {error.strerror}") from None
    return hashed.hexdigest()
