"""What all media have in common.

To add a type: a module here with a subclass of Media that says its `_folder`, its `_kind` (`_type` in
the JSON) and its `_content`; its name in `HOMES` of `wandb/data_types/__init__.py`, and in
`wandb/__init__.py`, if wandb has it there; cases in tests/interop/media/record_media.py.

Rule 1: a constructor takes what the user has as it is now: arrays are copied, text is kept.  Only a path is
        read later, when it is logged.
Rule 2: what is wrong with it raises in the constructor, where the user's own line is at the top of the trace.
Rule 3: encoding happens in the constructor or in `_prepare`, and never while the run is locked.
Rule 4: `_store` writes files and records; nothing else here touches the run.  `_store_in` adds files to an
        artifact, and `_from_artifact` is its counterpart.
"""

from __future__ import annotations

import importlib
import os
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Dict,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    Union,
)

from wandb.errors import Error, MediaFileError, MissingLibraryError, ValidationError

if TYPE_CHECKING:
    from wandb.data_types.artifact_media import ArtifactMedia
    from wandb.internal.media_files import MediaFiles
    from wandb.sdk.artifacts.artifact import Artifact

PathLike = Union[str, "os.PathLike[str]"]

CLIENT_ARTIFACT = "wandb-client-artifact://"  # begins the address of what a client has named


class Content(NamedTuple):
    """What becomes the file of a media value.

    Attributes:
        data: The bytes, or the path of a file that has them.
        extension: Of the file's name, with its dot.
    """

    data: Union[bytes, str]
    extension: str


class Media:
    """A value that is logged as a file, and as some JSON that stands for it in the row."""

    _folder: ClassVar[str]  # below files/media/
    _kind: ClassVar[str]  # `_type` of the JSON

    caption: Optional[str] = None

    # The artifact that it was added to first, and the one that it comes from; each with its name there.
    _target: Optional[Tuple[Artifact, str]] = None
    _source: Optional[Tuple[Artifact, str]] = None

    def _content(self) -> Content:
        """Return what the file is to hold."""
        raise NotImplementedError

    def _prepare(self) -> None:
        """Do what takes time, and is done once; called before the run is locked."""

    def _store(self, files: MediaFiles, key: str, step: object) -> Dict[str, Any]:
        """Write the files, and return what stands for them in the row.

        Raises:
            ValidationError: The value cannot be stored.
            OSError: A file could not be written.
        """
        found = {"_type": self._kind, **self._put(files, key, step), **self._addresses()}
        if self.caption is not None:
            found["caption"] = self.caption
        return found

    def _store_in(self, media: ArtifactMedia) -> Dict[str, Any]:
        """Add the files to an artifact, and return what stands for the value there.

        Raises:
            ValidationError: The value cannot be stored.
            OSError: A file could not be written.
        """
        found = {"_type": self._kind, **media.put(self._content(), self._folder)}
        if self.caption is not None:
            found["caption"] = self.caption
        return found

    @classmethod
    def _from_artifact(cls, tree: Mapping[str, Any], media: ArtifactMedia) -> Media:
        """Return the value that stands in an artifact as `tree`.

        Raises:
            KeyError: There is no such file in the artifact.
            Error: The file cannot be had, or is none of this type.
        """
        found = cls(media.file(tree["path"]))  # type: ignore[call-arg]
        found.caption = tree.get("caption")
        return found

    def _addresses(self) -> Dict[str, str]:
        """Return where it stands in an artifact, for the JSON in a row; nothing if it is in none."""
        if self._source is not None:
            artifact, name = self._source
            return {"artifact_path": artifact._address_of(name)}
        if self._target is not None and self._target[0]._final:
            artifact, name = self._target
            return {
                "artifact_path": f"{CLIENT_ARTIFACT}{artifact._client_id}/{name}",
                "_latest_artifact_path": f"{CLIENT_ARTIFACT}{artifact._sequence_client_id}:latest/{name}",
            }
        return {}

    def _put(self, files: MediaFiles, key: str, step: object) -> Dict[str, Any]:
        content = self._content()
        if isinstance(content.data, str):
            return files.put_file(content.data, self._folder, key, step, content.extension)
        return files.put(content.data, self._folder, key, step, content.extension)

    @classmethod
    def _store_list(cls, items: Sequence[Any], files: MediaFiles, key: str, step: object) -> Any:
        """Write a list of values of this type, and return what stands for it in the row."""
        return [item._store(files, key, step) for item in items]


def captions_of(items: Sequence[Media], missing: Optional[str]) -> Optional[List[Optional[str]]]:
    """Return the captions, with `missing` for those that have none; None if none has one."""
    if not any(item.caption for item in items):
        return None
    return [missing if item.caption is None else item.caption for item in items]


def numbers_of(data: Any, numpy: Any, where: str) -> Any:
    """Return an array of what a user calls numbers: an array, a tensor, lists.

    Raises:
        ValidationError: Numpy makes no array of numbers of it.
    """
    try:
        if hasattr(data, "detach"):  # torch
            data = data.detach().cpu()
            if "bfloat16" in str(data.dtype):
                data = data.float()
            data = data.numpy()
        array = numpy.asarray(data)
    except Error:
        raise
    except (
        Exception
    ) as error:  # lists that are ragged, and whatever a user's object does when it is looked at
        raise ValidationError(where, f"numpy makes no array of it: {error}") from None
    if array.dtype.kind not in "biufc":
        raise ValidationError(where, f"{type(data).__name__} of {array.dtype} holds no numbers")
    return array


def library(name: str, extra: str, purpose: str) -> Any:
    """Import a library that only some values need.

    Raises:
        MissingLibraryError: It is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingLibraryError(
            f"{purpose} needs {name.partition('.')[0]}: {error}", hint=f'pip install "wandb-ng[{extra}]"'
        ) from None


def existing_file(path: PathLike, what: str) -> str:
    """Return the path of a file as text.

    Raises:
        MediaFileError: There is no such file.
    """
    try:
        text = os.fsdecode(path)
    except TypeError:
        raise ValidationError(what, f"{path!r:.60} is no path") from None
    if "\0" in text or not os.path.exists(text):
        raise MediaFileError(what, f"there is no file {text!r}")
    if not os.path.isfile(text):
        raise MediaFileError(what, f"{text!r} is no file")
    return text


def read_all(file: Any, what: str) -> bytes:
    """Return what an open file holds, from its beginning.

    Raises:
        MediaFileError: It cannot be read.
    """
    try:
        if hasattr(file, "seek"):
            file.seek(0)
        content = file.read()
    except (OSError, ValueError) as error:  # ValueError: it is closed
        raise MediaFileError(what, f"the open file cannot be read: {error}") from None
    if not isinstance(content, (str, bytes, bytearray, memoryview)):
        raise ValidationError(what, f"read() returns {type(content).__name__}, no text and no bytes")
    return content.encode("utf-8", "replace") if isinstance(content, str) else bytes(content)


def compact_json(value: Any) -> bytes:
    """Return plain values as the bytes of a JSON file; NaN and the infinities stand as bare words."""
    import json

    try:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:  # half of a surrogate pair
        return json.dumps(value, separators=(",", ":")).encode("ascii")
