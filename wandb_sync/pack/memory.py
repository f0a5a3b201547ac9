"""What of a run directory was packed last, or unpacked last: one small file in it, `wandb.packed`.

The next pack carries what is not in it; the next unpack knows from it what is here.  Both sides keep the
same. Without it nothing is lost: the next pack is a whole one.

Rule 1: it is written after the pack is on disk under its name, or after everything of the pack is in place.
Rule 2: it is replaced as a whole, in the envelope of the other files of the syncer (checkpoint.py).
"""

from __future__ import annotations

import glob
from pathlib import Path
from typing import Any, Dict, NamedTuple, Optional

from wandb.errors import CheckpointUnreadable, PackError, SyncError
from wandb_sync.checkpoint import identify, replace_file, sealed, unsealed
from wandb_sync.pack.manifest import MEMORY_NAME

FORMAT, VERSION = "wandb-ng packed", 1


class Kept(NamedTuple):
    """A file that a pack has carried."""

    n_bytes: int
    mtime_ns: int
    sha256: str


class KeptLog(NamedTuple):
    """How far a log was packed: to byte `end`, with the CRC-32 of all of it and of its two ends."""

    end: int
    crc32: int
    head_crc32: int
    tail_crc32: int

    @classmethod
    def of(cls, log: Path, end: int, crc32: int) -> KeptLog:
        """Raises SyncError if the log is shorter than that, or cannot be read."""
        identity = identify(log, end)
        return cls(end, crc32, identity.head_crc32, identity.tail_crc32)

    def is_begin_of(self, log: Path) -> bool:
        """Whether this is how the log begins, as far as its ends tell."""
        try:
            return KeptLog.of(log, self.end, self.crc32) == self
        except SyncError:
            return False


class Memory(NamedTuple):
    """What the last pack of a run directory has brought its state to.

    Attributes:
        made_at_ns: When that state was taken.
        logs: By path.
        files: By path.
    """

    made_at_ns: int = 0
    is_open: bool = False
    logs: Dict[str, KeptLog] = {}
    files: Dict[str, Kept] = {}


def path_of(directory: Path, state_dir: Optional[Path] = None) -> Path:
    """Return where the memory of a run directory is kept."""
    return directory / MEMORY_NAME if state_dir is None else state_dir / f"{directory.name}-{MEMORY_NAME}"


def lease_of(path: Path) -> Path:
    """Return the lease under which a memory is used."""
    return path.with_name(path.name + ".lease")


def load(path: Path) -> Memory:
    """Return what is kept; nothing if there is no file, or a damaged one.

    Raises:
        PackError: It is of a newer version, or cannot be read now.
    """
    try:
        body = unsealed(path.read_bytes(), str(path))
        if body["format"] != FORMAT:
            return Memory()
        if body["version"] != VERSION:
            raise PackError(
                f"{path}: has version {body['version']}, we read {VERSION}", hint="use the newer wandb-ng"
            )
        logs = {str(name): KeptLog(*map(int, log)) for name, log in body["logs"].items()}
        files = {str(name): Kept(int(n), int(at), str(sha)) for name, (n, at, sha) in body["files"].items()}
        return Memory(int(body["made_at_ns"]), bool(body["is_open"]), logs, files)
    except (
        FileNotFoundError,
        NotADirectoryError,
        CheckpointUnreadable,
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
    ):
        return Memory()
    except OSError as error:
        raise PackError(f"{path}: cannot be read: {error.strerror}") from error


def save(path: Path, memory: Memory) -> None:
    """Replace what is kept; durable when this returns.  Use it under the lease only.

    Raises:
        SyncError: It cannot be written; the old one is as it was.
    """
    body: Dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "made_at_ns": memory.made_at_ns,
        "is_open": memory.is_open,
        "logs": memory.logs,
        "files": memory.files,
    }
    for left in path.parent.glob(glob.escape(path.name) + ".*.tmp"):  # of one that was killed
        left.unlink()
    replace_file(path, sealed(body))
