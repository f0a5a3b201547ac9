"""`wandb.Object3D`: clouds of points, and solid things."""

from __future__ import annotations

import os
from itertools import product
from typing import IO, TYPE_CHECKING, Any, Dict, List, Mapping, Optional, Sequence, Union

from wandb.data_types.media import Content, Media, compact_json, existing_file, read_all
from wandb.data_types.molecule import extension_of_file
from wandb.errors import ValidationError
from wandb.interface.values import kind_name, plain

if TYPE_CHECKING:
    import numpy as np

    from wandb.data_types.artifact_media import ArtifactMedia
    from wandb.internal.media_files import MediaFiles

WHERE = "wandb.Object3D"
POINTS = "pts.json"
_COLUMNS = (3, 4, 6)  # x y z, with a category, or with red green blue


class Object3D(Media):
    """A cloud of points, or a solid thing.

        run.log({"scan": wandb.Object3D(points)})

    Args:
        data_or_path: One of
            - a numpy array of points in rows: x y z, x y z and a category of 1 to 14, or x y z r g b;
            - a scene: {"type": "lidar/beta", "points": array, "boxes": [...], "vectors": [...]};
            - the path of a file of one of `SUPPORTED_TYPES`, or an open file.
        caption: Shown beneath.
        file_type: Which of the types an open file without a name is.

    Raises:
        ValueError: It is none of these.
        FileNotFoundError: There is no such file.
    """

    SUPPORTED_TYPES = {"babylon", "glb", "gltf", "obj", POINTS, "stl"}
    SUPPORTED_POINT_CLOUD_TYPES = {"lidar/beta"}

    _folder = "object3D"
    _kind = "object3D-file"

    def __init__(
        self,
        data_or_path: Union[np.ndarray[Any, Any], str, os.PathLike[str], IO[str], Mapping[str, Any]],
        caption: Optional[str] = None,
        file_type: Optional[str] = None,
    ) -> None:
        self.caption = caption
        self._data: Union[str, bytes]
        if isinstance(data_or_path, (str, os.PathLike)):
            self._data = existing_file(data_or_path, WHERE)
            self._type = self._known_type(os.path.basename(self._data), None)
        elif hasattr(data_or_path, "read"):
            name = getattr(data_or_path, "name", "")
            if not file_type and not extension_of_file(data_or_path):
                raise ValidationError(WHERE, "an open file has to be told its file_type")
            self._type = self._known_type(str(name), file_type)
            self._data = read_all(data_or_path, WHERE)
        elif isinstance(data_or_path, Mapping):
            self._type = POINTS
            self._data = compact_json(_scene(data_or_path))
        elif hasattr(data_or_path, "__array__") or isinstance(data_or_path, (list, tuple)):
            self._type = POINTS
            self._data = compact_json(_points(data_or_path))
        else:
            raise ValidationError(WHERE, f"{kind_name(data_or_path)} is no array, scene, path or open file")

    @classmethod
    def from_file(cls, data_or_path: Union[IO[str], str], file_type: Optional[str] = None) -> Object3D:
        """Return what a file holds; see the class."""
        return cls(data_or_path, file_type=file_type)

    @classmethod
    def from_numpy(cls, data: np.ndarray[Any, Any]) -> Object3D:
        """Return points in the rows of an array; see the class."""
        return cls(data)

    @classmethod
    def from_point_cloud(
        cls,
        points: Sequence[Any],
        boxes: Sequence[Any],
        vectors: Optional[Sequence[Any]] = None,
        point_cloud_type: str = "lidar/beta",
    ) -> Object3D:
        """Return a scene of points, boxes (`wandb.box3d`) and vectors ({"start", "end"})."""
        return cls({"type": point_cloud_type, "points": points, "boxes": boxes, "vectors": vectors or []})

    def _known_type(self, name: str, file_type: Optional[str]) -> str:
        for known in self.SUPPORTED_TYPES:
            if file_type == known or (file_type is None and name.lower().endswith(f".{known}")):
                return known
        raise ValidationError(
            WHERE,
            f"files of type {file_type or name!r} are not known",
            hint=f"one of {', '.join(sorted(self.SUPPORTED_TYPES))}",
        )

    def _content(self) -> Content:
        return Content(self._data, f".{self._type}")

    def _store_in(self, media: ArtifactMedia) -> Dict[str, Any]:
        if self._type != POINTS:
            raise ValidationError(
                "Artifact.add",
                f"a solid thing ({self._type}) cannot stand in an artifact, only points can, as in wandb",
                hint="add_file keeps the file",
            )
        return super()._store_in(media)

    @classmethod
    def _store_list(cls, items: Sequence[Any], files: MediaFiles, key: str, step: object) -> Dict[str, Any]:
        stored = [item._store(files, key, step) for item in items]
        names = [one["path"].rpartition("/")[2] for one in stored]
        return {"_type": "object3D", "filenames": names, "count": len(stored), "objects": stored}


def box3d(
    *,
    center: Sequence[float],
    size: Sequence[float],
    orientation: Sequence[float],
    color: Sequence[int],
    label: Optional[str] = None,
    score: Optional[float] = None,
) -> Dict[str, Any]:
    """Return a box for `Object3D.from_point_cloud`.

    Args:
        center: x, y, z.
        size: Its lengths along its own three axes.
        orientation: A unit quaternion, real part first: how its axes are turned.
        color: Red, green and blue, 0 to 255.
        label, score: Shown beside it.

    Raises:
        ValueError: One of them has another number of parts.
    """
    center, size = _parts(center, 3, "center"), _parts(size, 3, "size")
    red_green_blue = [int(part) for part in _parts(color, 3, "color")]
    w, x, y, z = _parts(orientation, 4, "orientation")
    turned = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )
    corners = [
        [
            sum(factor * sign * float(length) / 2 for factor, sign, length in zip(row, signs, size))
            + float(middle)
            for row, middle in zip(turned, center)
        ]
        for signs in product((-1, 1), repeat=3)
    ]
    return {
        "corners": corners,
        "color": red_green_blue,
        "label": label,
        "score": score,
    }


def _parts(values: Any, n: int, name: str) -> List[float]:
    try:
        found = [float(part) for part in values]
    except (TypeError, ValueError):
        raise ValidationError(f"wandb.box3d: {name}", f"{values!r:.60} is no list of numbers") from None
    if len(found) != n:
        raise ValidationError(f"wandb.box3d: {name}", f"has {len(found)} parts, not {n}")
    return found


def _points(data: Any) -> List[Any]:
    rows: Any = data.tolist() if hasattr(data, "tolist") else [*data]
    shape = getattr(data, "shape", None)
    widths = (
        {len(row) if isinstance(row, (list, tuple)) else 0 for row in rows}
        if shape is None
        else {*shape[-1:]}
    )
    if (shape is not None and len(shape) != 2) or not widths <= set(_COLUMNS):
        raise ValidationError(
            WHERE,
            f"an array of shape {shape} holds no points",
            hint="rows of 3 (x y z), 4 (and a category of 1 to 14) or 6 numbers (and r g b)",
        )
    found: List[Any] = plain(rows, WHERE)
    if not all(isinstance(number, (int, float)) for row in found for number in row):
        raise ValidationError(WHERE, "a point holds what is no number")
    return found


def _scene(scene: Mapping[str, Any]) -> Dict[str, Any]:
    kind = scene.get("type")
    if not isinstance(kind, str) or kind not in Object3D.SUPPORTED_POINT_CLOUD_TYPES:
        raise ValidationError(WHERE, f"scenes of type {kind!r} are not known", hint='only "lidar/beta" is')
    found: Dict[str, Any] = {"type": kind}
    for name in ("vectors", "points", "boxes"):
        part = scene.get(name)
        part = [] if part is None else part.tolist() if hasattr(part, "tolist") else part
        if isinstance(part, (str, bytes, Mapping)) or not hasattr(part, "__iter__"):
            raise ValidationError(f"{WHERE}: {name}", f"{kind_name(part)} is no list")
        part = list(part)
        found[name] = plain(part, f"{WHERE}: {name}")
    return found
