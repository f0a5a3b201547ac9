"""`wandb.Video`: moving pictures."""

from __future__ import annotations

import os
from typing import IO, TYPE_CHECKING, Any, Dict, Optional, Sequence, Union

from wandb.data_types.media import Content, Media, captions_of, existing_file, library, numbers_of, read_all
from wandb.errors import ValidationError
from wandb.interface.values import kind_name
from wandb.term import termwarn

if TYPE_CHECKING:
    import numpy as np

    from wandb.internal.media_files import MediaFiles

WHERE = "wandb.Video"
DEFAULT_FPS = 4  # as wandb
MAX_FPS = 1000
ENDINGS = {"ogg": "ogv"}  # of the files that imageio knows for moving pictures


class Video(Media):
    """A moving picture.

        run.log({"episode": wandb.Video(frames, fps=30, format="mp4")})

    Args:
        data_or_path: The path of a video file, or an open one, which is kept as it is; or frames: an array or
            tensor of time x channels x height x width, or a batch of these, which are put side by side.
            Numbers are 0 to 255.
        caption: Shown beneath.
        fps: Frames per second; 4 if not given.  For frames only.
        format: "gif", "mp4", "webm" or "ogg"; needed for all but a path.

    Raises:
        ValueError: It is none of these, or the format is.
        FileNotFoundError: There is no such file.
        MissingLibraryError: Frames need imageio: `pip install "wandb-ng[video]"`.
    """

    EXTS = ("gif", "mp4", "webm", "ogg")

    _folder = "videos"
    _kind = "video-file"

    def __init__(
        self,
        data_or_path: Union[str, os.PathLike[str], np.ndarray[Any, Any], IO[bytes], Any],
        caption: Optional[str] = None,
        fps: Optional[int] = None,
        format: Optional[str] = None,
    ) -> None:
        self.caption = caption
        if format is not None:
            format = str(format).strip(".").lower()
        path = os.fspath(data_or_path) if isinstance(data_or_path, (str, os.PathLike)) else None
        if path is not None:
            format = os.path.splitext(path)[1][1:].lower()
        elif format is None:
            raise ValidationError(WHERE, f"{kind_name(data_or_path)} has to be told its format", hint=_KNOWN)
        if format not in self.EXTS:
            raise ValidationError(WHERE, f"files of type {format!r} are not known", hint=_KNOWN)
        self._format = format
        self._data: Union[str, bytes]
        if path is not None:
            self._data = existing_file(path, WHERE)
        elif hasattr(data_or_path, "read"):
            self._data = read_all(data_or_path, WHERE)
        else:
            if fps is not None and not (isinstance(fps, (int, float)) and 0 < fps <= MAX_FPS):
                raise ValidationError(f"{WHERE}: fps", f"{fps!r} is no number of frames per second")
            self._data = _encoded(data_or_path, fps or DEFAULT_FPS, format)
            return
        if fps is not None:
            termwarn("A video file is kept as it is, whatever `fps` says.", repeat=False)

    def _content(self) -> Content:
        return Content(self._data, f".{self._format}")

    @classmethod
    def _store_list(cls, items: Sequence[Any], files: MediaFiles, key: str, step: object) -> Dict[str, Any]:
        stored = [item._store(files, key, step) for item in items]
        found = {"_type": "videos", "count": len(stored), "videos": stored}
        captions = captions_of(items, missing=None)
        if captions:
            found["captions"] = captions
        return found


_KNOWN = f"one of {', '.join(Video.EXTS)}"


def _encoded(data: Any, fps: float, format: str) -> bytes:
    """Return frames as the bytes of a video file."""
    import tempfile

    numpy = library("numpy", "video", "a video made of frames")
    array = numbers_of(data, numpy, WHERE)
    if array.dtype.kind == "c" or array.ndim not in (4, 5) or 0 in array.shape:
        raise ValidationError(
            WHERE, f"an array of shape {array.shape} is no video", hint="time x channels x height x width"
        )
    frames = _frames(array, numpy)
    if frames.shape[-1] not in (1, 3, 4):
        raise ValidationError(WHERE, f"frames have {frames.shape[-1]} channels, not 1, 3 or 4")
    if frames.dtype != numpy.uint8:
        frames = numpy.clip(numpy.nan_to_num(frames), 0, 255).astype(numpy.uint8)
    if frames.shape[-1] == 1:
        frames = numpy.repeat(frames, 3, axis=-1)
    elif frames.shape[-1] == 4 and format != "gif":
        frames = frames[..., :3]
    writers = library("imageio.v2", "video", "a video made of frames")
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, f"video.{ENDINGS.get(format, format)}")
        try:
            if format == "gif":
                writers.mimwrite(path, list(frames), format="GIF", duration=1000 / fps, loop=0)
            else:
                library("imageio_ffmpeg", "video", f"a video of type {format}")
                codec = {"mp4": "libx264", "webm": "libvpx", "ogg": "libtheora"}[format]
                writers.mimwrite(path, list(_even(frames, numpy)), fps=fps, codec=codec, macro_block_size=1)
            with open(path, "rb") as file:
                return file.read()
        except (RuntimeError, ValueError, TypeError) as error:
            raise ValidationError(WHERE, f"the frames make no {format}: {error}") from None


def _frames(array: Any, numpy: Any) -> Any:
    """Return frames with channels last; of a batch, all side by side, as near to a square as may be."""
    if array.ndim == 4:
        return numpy.moveaxis(array, 1, -1)
    n, length, channels, height, width = array.shape
    rows = 1
    while (rows * 2) ** 2 <= 2 * n:  # a power of two: 1 x 2, 2 x 2, 2 x 4, 4 x 4 ...
        rows *= 2
    columns = -(-n // rows)
    whole = numpy.zeros((length, rows * height, columns * width, channels), dtype=array.dtype)
    for index in range(n):
        top, left = index // columns * height, index % columns * width
        whole[:, top : top + height, left : left + width] = numpy.moveaxis(array[index], 1, -1)
    return whole


def _even(frames: Any, numpy: Any) -> Any:
    """Return frames of even height and width, as the codecs want them: the last row or column twice."""
    odd = [(0, 0), (0, frames.shape[1] % 2), (0, frames.shape[2] % 2), (0, 0)]
    return numpy.pad(frames, odd, mode="edge")
