"""What lies over pictures: masks, boxes, and the names of their classes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Optional, Sequence, Set, Union

from wandb.data_types import column_types
from wandb.data_types.media import Content, Media, compact_json, existing_file, library, numbers_of
from wandb.errors import ValidationError
from wandb.interface.values import kind_name, plain

if TYPE_CHECKING:
    from wandb.data_types.artifact_media import ArtifactMedia
    from wandb.internal.media_files import MediaFiles

_DELIMITER = "_wandb_delimeter_"  # spelled as wandb spells it


class Classes(Media):
    """The names of classes: `wandb.Classes([{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}])`.

    Raises:
        ValueError: One of them has no id or no name.
    """

    _kind = "classes"

    def __init__(self, class_set: Sequence[Mapping[str, Any]]) -> None:
        if isinstance(class_set, (str, bytes, Mapping)) or not hasattr(class_set, "__iter__"):
            raise ValidationError("wandb.Classes", f"{kind_name(class_set)} is no list of classes")
        for one in class_set:
            if not isinstance(one, Mapping) or "id" not in one or "name" not in one:
                raise ValidationError(
                    "wandb.Classes", f"{one!r} says no id and name", hint='as in {"id": 0, "name": "cat"}'
                )
        self._class_set = [dict(one) for one in class_set]

    def get_type(self) -> column_types.Type:
        """Return the type of a table's column whose values are ids of these classes: for `dtype`."""
        return column_types.class_id(self)

    def _store(self, files: MediaFiles, key: str, step: object) -> Dict[str, Any]:
        raise ValidationError(
            f"log: {key}",
            "names of classes cannot be logged by themselves",
            hint="pass them to wandb.Image, or add them to an artifact",
        )

    def _store_in(self, media: ArtifactMedia) -> Dict[str, Any]:
        return {"_type": self._kind, "class_set": plain(self._class_set, "wandb.Classes")}

    @classmethod
    def _from_artifact(cls, tree: Mapping[str, Any], media: ArtifactMedia) -> Classes:
        return cls(tree["class_set"])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Classes) and self._class_set == other._class_set

    __hash__ = None  # type: ignore[assignment]  # it holds dicts


class _Labelled(Media):
    """What lies over a picture and tells classes apart.

    Attributes:
        class_labels: Class id to name, as given; None if it was not.
    """

    _section: str  # below `_wandb` in the config, where the names of the classes go

    class_labels: Optional[Dict[int, str]] = None

    def _used_ids(self) -> List[int]:
        """Return the ids that stand in it, in order."""
        raise NotImplementedError

    def _labels(self) -> Dict[int, str]:
        """Return the names of the classes; made up, if none were given."""
        if self.class_labels is not None:
            return self.class_labels
        return {id_: f"class_{id_}" for id_ in self._used_ids()}

    def _note_labels(self, files: MediaFiles, key: str, name: str) -> None:
        labels = self._labels()
        whole = f"{key}{_DELIMITER}{name}"
        value = {str(id_): label for id_, label in labels.items()}
        note = {"type": self._section, "key": whole, "value": value}
        files.note((self._section, whole), note)


class BoundingBoxes2D(_Labelled):
    """Boxes over a picture; `wandb.Image(..., boxes={"name": {...}})` makes them.

    Args:
        val: "box_data": a list of boxes, each a dict of
            "position": {"minX", "maxX", "minY", "maxY"} or {"middle": [x, y], "width", "height"};
            "domain": "pixel", if these are pixels; without it they are fractions of the picture;
            "class_id": a whole number; "box_caption": a text; "scores": {name: number} (both optional).
            "class_labels" (optional): class id to name.
        key: The name of the set of boxes.

    Raises:
        ValueError: It is not so.
    """

    _folder = "metadata/boxes2D"
    _kind = "bounding-boxes"
    _section = "bounding_box/class_labels"

    def __init__(self, val: Mapping[str, Any], key: str) -> None:
        where = f"wandb.Image: boxes[{key!r}]"
        if not isinstance(val, Mapping) or "box_data" not in val:
            raise ValidationError(where, 'is no dict with "box_data"')
        boxes = val["box_data"]
        if not isinstance(boxes, (list, tuple)):
            raise ValidationError(where, f'"box_data" is {kind_name(boxes)}, no list')
        for index, box in enumerate(boxes):
            _check_box(box, f"{where}.box_data[{index}]")
        tree = {str(name): value for name, value in val.items()}
        self.class_labels = _checked_labels(val.get("class_labels"), where)
        if self.class_labels is not None:
            tree["class_labels"] = {str(id_): label for id_, label in self.class_labels.items()}
        else:
            tree.pop("class_labels", None)
        self._val: Dict[str, Any] = plain(tree, where)

    def _used_ids(self) -> List[int]:
        return list(dict.fromkeys(box["class_id"] for box in self._val["box_data"]))

    def _scores(self) -> Set[str]:
        """Return the names of the scores that its boxes have."""
        return {name for box in self._val["box_data"] for name in box.get("scores") or ()}

    def _store(self, files: MediaFiles, key: str, step: object) -> Dict[str, Any]:
        return {**super()._store(files, key, step), "_type": "boxes2D"}

    def _store_in(self, media: ArtifactMedia) -> Any:
        return self._val["box_data"]

    @classmethod
    def _from_artifact(cls, tree: Any, media: ArtifactMedia) -> BoundingBoxes2D:
        return cls({"box_data": tree}, "")

    def _content(self) -> Content:
        return Content(compact_json(self._val), ".boxes2D.json")


class ImageMask(_Labelled):
    """A mask over a picture; `wandb.Image(..., masks={"name": {...}})` makes it.

    Args:
        val: "mask_data": a class id per pixel, an array of two dimensions; or "path": of such a picture.
            "class_labels" (optional): class id to name.
        key: The name of the mask.

    Raises:
        ValueError: It is not so, or a class id does not fit into 8 bits.
        FileNotFoundError: There is no such file.
    """

    _folder = "images/mask"
    _kind = "mask"
    _section = "mask/class_labels"

    def __init__(self, val: Mapping[str, Any], key: str) -> None:
        where = f"wandb.Image: masks[{key!r}]"
        if not isinstance(val, Mapping) or ("mask_data" not in val and "path" not in val):
            raise ValidationError(where, 'is no dict with "mask_data" or "path"')
        self.class_labels = _checked_labels(val.get("class_labels"), where)
        self._path: Optional[str] = None
        self._ids: List[int] = []
        if "mask_data" not in val:
            self._path = existing_file(val["path"], where)
            return
        numpy = library("numpy", "media", "a mask")
        array = numbers_of(val["mask_data"], numpy, where)
        if array.ndim != 2 or not array.size:
            raise ValidationError(where, f"mask_data of shape {array.shape} is not of two dimensions")
        if array.dtype.kind not in "biu":
            raise ValidationError(where, f"mask_data is {array.dtype}; class ids are whole numbers")
        if array.min() < -128 or array.max() > 255:
            raise ValidationError(where, "a class id does not fit into 8 bits")
        self._pixels = array.astype(numpy.uint8)
        self._ids = numpy.unique(self._pixels).tolist()

    def _used_ids(self) -> List[int]:
        return self._ids

    def _note_labels(self, files: MediaFiles, key: str, name: str) -> None:
        if self._path is None or self.class_labels is not None:  # which ids a file has, nobody knows
            super()._note_labels(files, key, name)

    @classmethod
    def _from_artifact(cls, tree: Mapping[str, Any], media: ArtifactMedia) -> ImageMask:
        return cls({"path": media.file(tree["path"])}, "")

    def _content(self) -> Content:
        if self._path is not None:
            return Content(self._path, os.path.splitext(self._path)[1])
        import io

        pictures = library("PIL.Image", "media", "a mask")
        file = io.BytesIO()
        pictures.fromarray(self._pixels).save(file, "PNG")
        return Content(file.getvalue(), ".mask.png")


Overlay = Union[BoundingBoxes2D, ImageMask]


def _check_box(box: Any, where: str) -> None:
    if not isinstance(box, Mapping):
        raise ValidationError(where, f"is {kind_name(box)}, no dict")
    position = box.get("position")
    if not isinstance(position, Mapping) or not (
        all(_is_number(position.get(name)) for name in ("minX", "maxX", "minY", "maxY"))
        or (
            _is_pair(position.get("middle"))
            and _is_number(position.get("width"))
            and _is_number(position.get("height"))
        )
    ):
        raise ValidationError(
            where, "has no position", hint="minX, maxX, minY and maxY, or middle, width and height"
        )
    if isinstance(box.get("class_id"), bool) or not hasattr(box.get("class_id"), "__index__"):
        raise ValidationError(where, f"class_id is {box.get('class_id')!r}, no whole number")
    scores = box.get("scores")
    if scores is not None and not (
        isinstance(scores, Mapping) and all(_is_number(score) for score in scores.values())
    ):
        raise ValidationError(where, "scores are no dict of numbers")
    caption = box.get("box_caption")
    if caption is not None and not isinstance(caption, str):
        raise ValidationError(where, f"box_caption is {kind_name(caption)}, no text")


def _is_number(value: Any) -> bool:
    if isinstance(value, (int, float)):
        return not isinstance(value, bool)
    return hasattr(value, "__float__") and getattr(value, "ndim", None) == 0  # numpy's and torch's


def _is_pair(value: Any) -> bool:
    if hasattr(value, "tolist"):
        value = value.tolist()
    return isinstance(value, (list, tuple)) and len(value) == 2 and all(map(_is_number, value))


def _checked_labels(labels: Any, where: str) -> Optional[Dict[int, str]]:
    if labels is None:
        return None
    if not isinstance(labels, Mapping) or not all(
        hasattr(id_, "__index__") and isinstance(label, str) for id_, label in labels.items()
    ):
        raise ValidationError(where, "class_labels are no dict of whole numbers to texts")
    return {int(id_): label for id_, label in labels.items()}
