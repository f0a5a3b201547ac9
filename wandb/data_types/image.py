"""`wandb.Image`: pictures.

What becomes of an array's numbers is decision 0024.
"""

from __future__ import annotations

import io
import os
from hashlib import md5
from typing import TYPE_CHECKING, Any, Callable, Dict, Mapping, Optional, Sequence, Tuple, Union

from wandb.data_types.image_labels import BoundingBoxes2D, Classes, ImageMask, Overlay
from wandb.data_types.matplotlib_figures import library_of, matplotlib_figure
from wandb.data_types.media import Content, Media, captions_of, existing_file, library, numbers_of
from wandb.errors import MediaFileError, ValidationError
from wandb.interface.values import kind_name
from wandb.term import termwarn

if TYPE_CHECKING:
    import numpy as np
    import PIL.Image

    from wandb.data_types.artifact_media import ArtifactMedia
    from wandb.internal.media_files import MediaFiles

    ImageData = Union[str, os.PathLike[str], np.ndarray[Any, Any], PIL.Image.Image, "Image", Any]

WHERE = "wandb.Image"
FORMATS = {"png": "PNG", "jpg": "JPEG", "jpeg": "JPEG", "bmp": "BMP"}
_NO_ALPHA = "wandb.Image: a JPEG knows no transparency; it is left out."
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}  # by the number of channels
_JPEG_MODES = ("L", "RGB", "CMYK", "YCbCr", "1")
_GRID_COLUMNS = 8  # of a batch of pictures
_GRID_GAP = 2  # pixels


class Image(Media):
    """A picture, or several that are shown as one.

        run.log({"sample": wandb.Image(pixels, caption="epoch 3")})
        run.log({"samples": [wandb.Image(one) for one in batch]})

    Args:
        data_or_path: One of
            - a numpy array of height x width, or height x width x 1, 3 or 4 channels.  Whole numbers are 0
              to 255.  Floats are taken as 0 to 1 if all are, as -1 to 1 if all are, else as 0 to 255; what
              lies outside is cut off, and NaN is black;
            - a torch tensor of channels x height x width, or a batch of them, which is put into a grid;
            - a picture of PIL's, or a figure of matplotlib's;
            - the path of a picture file, which is kept as it is.
        mode: What the numbers of an array are turned into: PIL's name ("L", "RGB", "CMYK" ...).  Default:
            grey for one channel, RGB for three, RGBA for four.
        caption: Shown beneath.
        grouping: How many pictures, in a list, belong together.
        classes: The names of the classes of masks and boxes.
        boxes: Name to boxes; see `wandb.data_types.BoundingBoxes2D`.
        masks: Name to mask; see `wandb.data_types.ImageMask`.
        file_type: "png" (default), "jpg", "jpeg" or "bmp".

    Raises:
        ValueError: It is none of these; the message says why.
        FileNotFoundError: There is no such file.
        MissingLibraryError: Anything but a path needs numpy and Pillow: `pip install "wandb-ng[media]"`.
    """

    MAX_ITEMS = 108  # in a list, as many as wandb shows

    _folder = "images"
    _kind = "image-file"

    def __init__(
        self,
        data_or_path: ImageData,
        mode: Optional[str] = None,
        caption: Optional[str] = None,
        grouping: Optional[int] = None,
        classes: Union[Classes, Sequence[Mapping[str, Any]], None] = None,
        boxes: Optional[Mapping[str, Union[BoundingBoxes2D, Mapping[str, Any]]]] = None,
        masks: Optional[Mapping[str, Union[ImageMask, Mapping[str, Any]]]] = None,
        file_type: Optional[str] = None,
    ) -> None:
        if file_type is not None and (not isinstance(file_type, str) or file_type not in FORMATS):
            known = ", ".join(FORMATS)
            raise ValidationError(WHERE, f"file_type {file_type!r} is none of {known}")
        self.caption = None if caption is None else str(caption)
        self._grouping = grouping
        self._classes = classes if classes is None or isinstance(classes, Classes) else Classes(classes)
        self._boxes: Dict[str, Overlay] = _overlays(boxes, "boxes", BoundingBoxes2D)
        self._masks: Dict[str, Overlay] = _overlays(masks, "masks", ImageMask)
        self._path: Optional[str] = None
        self._encoded: Optional[bytes] = None
        self._image: Any = None
        if isinstance(data_or_path, Image):
            self._take_over(data_or_path)
            return
        self.format = file_type or "png"
        if isinstance(data_or_path, (str, os.PathLike)):
            self._take_path(os.fspath(data_or_path))
        else:
            pictures = library("PIL.Image", "media", "a picture that is no file")
            self._image = _picture_of(data_or_path, mode, self.format, pictures)
        self.width, self.height = self._size()

    @property
    def image(self) -> PIL.Image.Image:
        """The picture, as PIL has it."""
        if self._image is None:
            pictures = library("PIL.Image", "media", "a look at the picture")
            self._image = pictures.open(self._path)
            self._image.load()
        return self._image  # type: ignore[no-any-return]

    def _take_over(self, other: Image) -> None:
        """Become a copy of another picture, but for what was said of this one."""
        self.format, self.width, self.height = other.format, other.width, other.height
        self._path, self._image, self._encoded = other._path, other._image, other._encoded
        if self.caption is None:
            self.caption = other.caption
        if self._grouping is None:
            self._grouping = other._grouping
        self._classes = self._classes or other._classes
        self._boxes = self._boxes or other._boxes
        self._masks = self._masks or other._masks

    def _take_path(self, path: str) -> None:
        if path.startswith(("http://", "https://", "s3://", "gs://")):
            raise ValidationError(
                WHERE, f"{path} is not on this machine, and a run keeps copies only", hint="download it first"
            )
        self._path = existing_file(path, WHERE)
        self.format = os.path.splitext(path)[1][1:].lower() or "png"

    def _size(self) -> Tuple[int, int]:
        if self._image is not None:
            return self._image.size  # type: ignore[no-any-return]
        pictures = library("PIL.Image", "media", "a picture")
        try:
            with pictures.open(self._path) as picture:
                return picture.size  # type: ignore[no-any-return]
        except Exception as error:  # there is no end to what PIL raises for what is no picture
            raise MediaFileError(WHERE, f"{self._path!r} is no picture that PIL can read: {error}") from None

    def _prepare(self) -> None:
        self._content()

    def _content(self) -> Content:
        if self._path is not None:
            return Content(self._path, f".{self.format}")
        if self._encoded is None:
            file = io.BytesIO()
            picture = self._image
            if FORMATS[self.format] == "JPEG" and picture.mode not in _JPEG_MODES:
                termwarn(_NO_ALPHA, repeat=False)
                picture = picture.convert("RGB")
            try:
                picture.save(file, FORMATS[self.format], transparency=None)
            except (OSError, ValueError, SystemError) as error:
                where = f"{WHERE} as {self.format}"
                raise ValidationError(where, f"PIL cannot encode it: {error}") from None
            self._encoded = file.getvalue()
        return Content(self._encoded, f".{self.format}")

    def _store(self, files: MediaFiles, key: str, step: object) -> Dict[str, Any]:
        found = super()._store(files, key, step)
        found.update(format=self.format, width=self.width, height=self.height)
        if self._grouping is not None:
            found["grouping"] = self._grouping
        for name, overlays in (("boxes", self._boxes), ("masks", self._masks)):
            if overlays:
                found[name] = _store_overlays(overlays, files, key, step)
        return found

    def _store_in(self, media: ArtifactMedia) -> Dict[str, Any]:
        found = super()._store_in(media)
        found.update(format=self.format, width=self.width, height=self.height)
        if self._grouping:
            found["grouping"] = self._grouping
        classes = self._classes_of_all()
        if classes is not None:
            digest = md5(str(classes._class_set).encode("utf-8", "backslashreplace")).hexdigest()
            found["classes"] = media.classes(classes, f"media/classes/{digest}_cls")
        for name, overlays in (("boxes", self._boxes), ("masks", self._masks)):
            if overlays:
                found[name] = {key: overlay._store_in(media) for key, overlay in overlays.items()}
        return found

    @classmethod
    def _from_artifact(cls, tree: Mapping[str, Any], media: ArtifactMedia) -> Image:
        classes = tree.get("classes")
        known = None if classes is None else media.get(classes["path"])
        boxes = {
            name: BoundingBoxes2D._from_artifact(one, media)
            for name, one in (tree.get("boxes") or {}).items()
        }
        masks = {
            name: ImageMask._from_artifact(one, media) for name, one in (tree.get("masks") or {}).items()
        }
        return cls(
            media.file(tree["path"]),
            caption=tree.get("caption"),
            grouping=tree.get("grouping"),
            classes=known if isinstance(known, Classes) else None,
            boxes=boxes or None,
            masks=masks or None,
        )

    def _classes_of_all(self) -> Optional[Classes]:
        """Return the classes, as given, or as the masks and boxes name them."""
        if self._classes is not None:
            return self._classes
        labels: Dict[int, str] = {}
        for overlay in (*self._boxes.values(), *self._masks.values()):
            labels.update(overlay._labels())
        if not labels:
            return None
        return Classes([{"id": id_, "name": label} for id_, label in labels.items()])

    def _layers(self) -> Dict[str, Any]:
        """Return what a table's column of pictures has to know: `column_types.LAYERS`."""
        classes = self._classes_of_all()
        return {
            "box_layers": {name: set(one._labels()) for name, one in self._boxes.items()},
            "box_score_keys": {
                score
                for one in self._boxes.values()
                if isinstance(one, BoundingBoxes2D)
                for score in one._scores()
            },
            "mask_layers": {name: set(one._labels()) for name, one in self._masks.items()},
            "box_class_maps": {name: _texts(one._labels()) for name, one in self._boxes.items()},
            "mask_class_maps": {name: _texts(one._labels()) for name, one in self._masks.items()},
            "class_map": {} if classes is None else {str(c["id"]): c["name"] for c in classes._class_set},
        }

    @classmethod
    def _store_list(cls, items: Sequence[Any], files: MediaFiles, key: str, step: object) -> Dict[str, Any]:
        if len(items) > cls.MAX_ITEMS:
            termwarn(
                f"log: {key}: of {len(items)} pictures in a list, {cls.MAX_ITEMS} are kept.", repeat=False
            )
            items = items[: cls.MAX_ITEMS]
        first = items[0]
        if any((one.width, one.height) != (first.width, first.height) for one in items):
            termwarn(
                f"log: {key}: the pictures differ in size; they will be shown in that of the first.",
                repeat=False,
            )
        paths = [item._put(files, key, step)["path"] for item in items]
        found: Dict[str, Any] = {
            "_type": "images/separated",
            "width": first.width,
            "height": first.height,
            "format": first.format,
            "count": len(items),
            "filenames": paths,
        }
        captions = captions_of(items, missing=None)
        if captions:
            found["captions"] = captions
        for name, field in (("all_boxes", "_boxes"), ("all_masks", "_masks")):
            if any(getattr(item, field) for item in items):
                found[name] = [
                    _store_overlays(getattr(item, field), files, key, step) or None for item in items
                ]
        return found


def _texts(labels: Mapping[int, str]) -> Dict[str, str]:
    return {str(id_): label for id_, label in labels.items()}


def _overlays(given: Any, what: str, make: Callable[[Any, str], Overlay]) -> Dict[str, Overlay]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise ValidationError(f"{WHERE}: {what}", f"{kind_name(given)} is no dict of names to {what}")
    return {
        str(name): one if isinstance(one, (BoundingBoxes2D, ImageMask)) else make(one, str(name))
        for name, one in given.items()
    }


def _store_overlays(
    overlays: Mapping[str, Overlay], files: MediaFiles, key: str, step: object
) -> Dict[str, Any]:
    found = {}
    for name, overlay in overlays.items():
        overlay._note_labels(files, key, name)
        found[name] = overlay._store(files, key, step)
    return found


def _picture_of(data: Any, mode: Optional[str], file_format: str, pictures: Any) -> Any:
    """Return a picture of PIL's that nobody else can change."""
    if isinstance(data, pictures.Image):
        return data.copy()
    if library_of(data) == "matplotlib":
        return _drawn(data, pictures)
    numpy = library("numpy", "media", "a picture made of numbers")
    if hasattr(data, "detach"):  # torch
        array = _channels_last(numbers_of(data, numpy, WHERE), numpy)
    elif isinstance(data, (list, tuple)) or hasattr(data, "__array__"):
        array = numbers_of(data, numpy, WHERE)
    else:
        raise ValidationError(
            WHERE, f"{kind_name(data)} is no picture", hint="an array, a tensor, a picture of PIL's or a path"
        )
    shape = array.shape
    if 0 in shape:
        raise ValidationError(WHERE, f"an array of shape {shape} has no pixels")
    while array.ndim > 3 and array.shape[0] == 1:  # a batch of one
        array = array[0]
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[:, :, 0]
    elif array.ndim == 3 and array.shape[0] == 1 and array.shape[-1] not in _MODES:
        array = array[0]
    n_channels = 1 if array.ndim == 2 else array.shape[-1] if array.ndim == 3 else 0
    if n_channels not in _MODES:
        channels_first = array.ndim == 3 and array.shape[0] in _MODES
        raise ValidationError(
            WHERE,
            f"an array of shape {list(shape)} is no picture",
            hint=(
                "channels come last: numpy.moveaxis(array, 0, -1)"
                if channels_first
                else "height x width, with 1, 3 or 4 channels"
            ),
        )
    pixels = numpy.ascontiguousarray(_bytes_of(array, numpy))
    height, width = pixels.shape[:2]
    native = _MODES[n_channels]
    if native == "RGBA" and FORMATS[file_format] == "JPEG":
        termwarn(_NO_ALPHA, repeat=False)
        pixels, native = numpy.ascontiguousarray(pixels[:, :, :3]), "RGB"
    picture = pictures.frombuffer(native, (width, height), pixels, "raw", native, 0, 1)
    if mode is None or mode == native:
        return picture
    try:
        return picture.convert(mode)
    except (KeyError, TypeError, ValueError) as error:
        raise ValidationError(f"{WHERE}: mode", f"PIL cannot make {mode!r} of {native}: {error}") from None


def _bytes_of(array: Any, numpy: Any) -> Any:
    """Return a copy of an array with its numbers as 0 to 255."""
    kind = array.dtype.kind
    if array.dtype == numpy.uint8:
        return array.copy()
    if kind == "b":
        return array.astype(numpy.uint8) * numpy.uint8(255)
    if kind in "iu":
        return numpy.clip(array, 0, 255).astype(numpy.uint8)
    if kind == "c":
        array = array.real
    array = array.astype(numpy.float32 if array.dtype.itemsize <= 4 else numpy.float64)
    known = array[numpy.isfinite(array)]
    low, high = (known.min(), known.max()) if known.size else (0.0, 0.0)
    if 0 <= low and high <= 1:
        array *= 255
    elif -1 <= low and high <= 1:
        array = (array + 1) * 127.5
    array = numpy.nan_to_num(array, nan=0.0, posinf=255.0, neginf=0.0)
    return numpy.clip(numpy.rint(array), 0, 255).astype(numpy.uint8)


def _channels_last(array: Any, numpy: Any) -> Any:
    """Return numbers of channels x height x width, or a batch of them in a grid, with the channels last."""
    if array.ndim == 3:
        return numpy.moveaxis(array, 0, -1)
    if array.ndim != 4:
        return array
    pictures = numpy.moveaxis(array, 1, -1)
    if len(pictures) < 2:
        return pictures
    n, height, width, channels = pictures.shape
    columns = min(n, _GRID_COLUMNS)
    rows = -(-n // columns)
    down, right = height + _GRID_GAP, width + _GRID_GAP
    grid = numpy.zeros((rows * down + _GRID_GAP, columns * right + _GRID_GAP, channels), dtype=array.dtype)
    for index, picture in enumerate(pictures):
        top, left = index // columns * down + _GRID_GAP, index % columns * right + _GRID_GAP
        grid[top : top + height, left : left + width] = picture
    return grid


def _drawn(figure: Any, pictures: Any) -> Any:
    """Return what a matplotlib figure (or pyplot, or a part of a figure) looks like."""
    file = io.BytesIO()
    matplotlib_figure(figure).savefig(file, format="png")
    file.seek(0)
    picture = pictures.open(file)
    picture.load()
    return picture
