"""The bytes of a log, whichever form its file has: plain, or compressed since it was closed.

A log keeps the name it was recorded under, `run-<id>.wandb`; whoever opens it by that name is given the
bytes of `run-<id>.wandb.zst` if that is what stands there now, with the same offsets, also while somebody
compresses it.

Rule: nothing here, and nothing that reads plain logs, loads zstandard.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Tuple, Union

from wandb.transaction_log.format import COMPRESSED_SUFFIX

if TYPE_CHECKING:
    from wandb.transaction_log.compressed import CompressedFile

PathLike = Union[str, "os.PathLike[str]"]


def plain_name(path: PathLike) -> str:
    """Return the name that a log has in its plain form."""
    name = os.fspath(path)
    return name[: -len(COMPRESSED_SUFFIX)] if name.endswith(COMPRESSED_SUFFIX) else name


def on_disk(path: PathLike) -> str:
    """Return the file that holds a log now: `path`, or its other form; `path` if there is none.

    If both are there, somebody is about to remove one: they hold the same bytes.
    """
    name = os.fspath(path)
    if not os.path.exists(name):
        other = _other_form(name)
        if os.path.exists(other):
            return other
    return name


def is_there(path: PathLike) -> bool:
    """Return whether there is a log, in either form."""
    return os.path.exists(on_disk(path))


def status(path: PathLike) -> os.stat_result:
    """Return what the system says of the file that holds a log now.

    Raises:
        OSError: There is none in either form.
    """
    try:
        return os.stat(path)
    except FileNotFoundError:
        other = _other_form(os.fspath(path))
        if os.path.exists(other):
            return os.stat(other)
        raise


def size(path: PathLike) -> int:
    """Return how many bytes a log has; of a compressed one, how many it had.

    Raises:
        OSError: It is not there, or cannot be read.
        BadFileHeader, LogError: As `open_log`, for a compressed one.
    """
    with open_log(path) as log:
        return log.size()


class PlainFile:
    """A log as it is written."""

    __slots__ = ("path", "_file")

    def __init__(self, path: str) -> None:
        """Open it.  Raises OSError."""
        self.path = path
        self._file = open(path, "rb", buffering=0)

    def __enter__(self) -> "PlainFile":
        return self

    def __exit__(self, *details: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; twice does no harm."""
        self._file.close()

    def size(self) -> int:
        """Return how many bytes there are now."""
        return os.fstat(self._file.fileno()).st_size

    def stamp(self) -> Tuple[int, int]:
        """Return size and time of change: if they stay the same, nobody has written."""
        found = os.fstat(self._file.fileno())
        return found.st_size, found.st_mtime_ns

    def read_at(self, offset: int, n_bytes: int) -> bytes:
        """Return up to `n_bytes` of the log from `offset` on; fewer than that only at the end of it."""
        return os.pread(self._file.fileno(), n_bytes, offset)


class BrieflyOpened:
    """A log that is opened for each look at it: for who reads hundreds at once and has few descriptors."""

    __slots__ = ("path",)

    def __init__(self, path: str) -> None:
        """See whether it can be opened.  Raises as `open_log`."""
        self.path = path
        open_log(path).close()

    def close(self) -> None:
        """There is nothing to be closed."""

    def size(self) -> int:
        """Return how many bytes there are now."""
        return size(self.path)

    def stamp(self) -> Tuple[int, int]:
        """Return size and time of change: if they stay the same, nobody has written."""
        with open_log(self.path) as log:
            return log.stamp()

    def read_at(self, offset: int, n_bytes: int) -> bytes:
        """Return up to `n_bytes` of the log from `offset` on; fewer than that only at the end of it."""
        with open_log(self.path) as log:
            return log.read_at(offset, n_bytes)


LogFile = Union[PlainFile, "CompressedFile"]


def open_log(path: PathLike) -> LogFile:
    """Open a log to read, in whichever form it is there; a context manager.

    Raises:
        OSError: It is not there, or cannot be read.
        BadFileHeader: It is compressed, and not by `wandb compact`.
        PackageMissing: It is compressed, and zstandard is not installed.
    """
    name = os.fspath(path)
    try:
        return _open(name)
    except FileNotFoundError:
        other = _other_form(name)
        if not os.path.exists(other):
            raise
    return _open(other)


def _open(name: str) -> LogFile:
    if not name.endswith(COMPRESSED_SUFFIX):
        return PlainFile(name)
    from wandb.transaction_log.compressed import CompressedFile

    return CompressedFile(name)


def _other_form(name: str) -> str:
    return plain_name(name) if name.endswith(COMPRESSED_SUFFIX) else name + COMPRESSED_SUFFIX
