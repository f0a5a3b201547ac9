"""A run's files in one tar, as `bundle_files=True` leaves them: run-<id>.files.tar beside the log.

Rule 1: members are looked up by the paths that the log names, and unpacked below files/ only: no name in the
        tar leads anywhere else.
Rule 2: a member counts when all its bytes are there: a writer may be at it, or was killed at it.
Rule 3: nothing that is in the file raises; where it makes no sense the reading ends.
"""

from __future__ import annotations

import contextlib
import os
import tarfile
from pathlib import PurePosixPath
from typing import Dict, NamedTuple

from wandb.errors import SyncError
from wandb.transaction_log.format import LOG_SUFFIX
from wandb.transaction_log.writer import sync_directory
from wandb_sync.discover import Log

SUFFIX = ".files.tar"


class Member(NamedTuple):
    """A file in the bundle: `n_bytes` from `offset` on."""

    offset: int
    n_bytes: int
    mtime_ns: int


class Bundle:
    """The members of one bundle; there may be no such file.

    Attributes:
        read_until: Where the last whole member ends, in bytes.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._members: Dict[str, Member] = {}
        self.read_until = 0

    def is_whole(self) -> bool:
        """Whether nothing follows the last member but the zeros that end a tar."""
        with open(self.path, "rb") as file:
            file.seek(self.read_until)
            return not file.read(1 << 20).strip(b"\0")

    def members(self) -> Dict[str, Member]:
        """Return what is there now, by path; of several of one name the last."""
        with contextlib.suppress(OSError, tarfile.TarError, ValueError, EOFError, OverflowError):
            n_bytes = os.path.getsize(self.path)
            if n_bytes > self.read_until:
                self._read(n_bytes)
        return self._members

    def _read(self, n_bytes: int) -> None:
        with open(self.path, "rb") as file:
            file.seek(self.read_until)
            with tarfile.open(fileobj=file, mode="r:") as tar:
                while True:
                    info = tar.next()
                    if info is None:
                        return
                    tar.members.clear()  # type: ignore[attr-defined]  # it would keep all of them
                    end = info.offset_data + info.size + -info.size % tarfile.BLOCKSIZE
                    if end > n_bytes:
                        return
                    self._members[info.name] = Member(info.offset_data, info.size, int(info.mtime * 1e9))
                    self.read_until = end


def unpack(log: Log) -> int:
    """Put every member where it would be without a bundle, remove that, and return how many there were.

    Killed in the middle, it is to be done again.

    Raises:
        SyncError: The disk refused, or a part of the bundle cannot be read; the bundle is as it was.
    """
    bundle = Bundle(bundle_path(log.path))
    members = bundle.members()
    try:
        if not bundle.is_whole():
            raise SyncError(f"{bundle.path}: cannot be read behind byte {bundle.read_until}; it stays")
        with open(bundle.path, "rb") as source:
            for name, member in members.items():
                if not is_inside(name):
                    raise SyncError(f"{bundle.path}: {name!r} leads out of the run's files; it stays")
                target = log.files_dir / name
                target.parent.mkdir(parents=True, exist_ok=True)
                unfinished = target.with_name(f"{target.name}.{os.getpid()}.partial")
                with open(unfinished, "wb") as file:
                    source.seek(member.offset)
                    left = member.n_bytes
                    while left:
                        piece = source.read(min(left, 1 << 20))
                        if not piece:
                            raise SyncError(f"{bundle.path}: became shorter while it was read")
                        file.write(piece)
                        left -= len(piece)
                    file.flush()
                    os.utime(file.fileno(), ns=(member.mtime_ns, member.mtime_ns))
                    os.fsync(file.fileno())
                os.replace(unfinished, target)
        for directory in {log.files_dir, *((log.files_dir / name).parent for name in members)}:
            sync_directory(str(directory))
        os.unlink(bundle.path)
    except OSError as error:
        raise SyncError(f"{bundle.path}: was not unpacked: {error.strerror}") from error
    return len(members)


def is_inside(path: str) -> bool:
    """Whether a path from a log stays below the directory that it is relative to."""
    parts = PurePosixPath(path.replace("\\", "/")).parts
    return bool(parts) and ".." not in parts and not path.startswith(("/", "\\")) and "\0" not in path


def bundle_path(log: "str | os.PathLike[str]") -> str:
    """Return where the bundle of a log is, if it has one."""
    name = os.fspath(log)
    return (name[: -len(LOG_SUFFIX)] if name.endswith(LOG_SUFFIX) else name) + SUFFIX
