"""What the syncer durably knows the server has acknowledged.  Spec: schema/checkpoint/FORMAT.md.

One small file per log and destination, `run-ID.wandb.<destination>.checkpoint`, beside the log.  One
`run-ID.wandb.checkpoint` with an entry per destination, as older versions wrote it, is read where there is
none.

Rule 1: an entry is written only after everything up to its offset was acknowledged.
Rule 2: the file is replaced as a whole: temporary file, fsync, rename, fsync of the directory.  A kill at any
        moment leaves the old file or the new one.
Rule 3: an entry counts only for the log it was written for: same run, same first bytes, same bytes before the
        offset, and not shorter.  When in doubt it does not count; that costs time, not data.
Rule 4: no credential is in it.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
import os
import re
import zlib
from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Optional

from wandb.errors import CheckpointMismatch, CheckpointUnreadable, LogShrank, SyncError
from wandb.transaction_log.log_file import open_log, size

FORMAT = "wandb-ng checkpoint"
VERSION = 1
_SEALED = re.compile(rb'\{"crc32":(?P<crc32>\d{1,10}),"body":(?P<body>\{.*\})\}\n\Z', re.DOTALL)
FINGERPRINT_BYTES = 4096  # at each end; holds the run record with its id and start time, and a few rows


class Destination(NamedTuple):
    """Where a run goes: the same log may go to several places, each with its own progress.

    `entity` and `project` are as asked for; empty means what the log or the server says.
    """

    base_url: str
    entity: str
    project: str
    run_id: str

    @property
    def key(self) -> str:
        return "|".join((self.base_url.rstrip("/"), self.entity, self.project, self.run_id))

    @property
    def short(self) -> str:
        """What stands for the destination in the names of files."""
        return hashlib.sha256(self.key.encode("utf-8", "surrogatepass")).hexdigest()[:8]

    def file(self, shared: Path) -> Path:
        """Return where the file of this destination alone is: `x.checkpoint` -> `x.<short>.checkpoint`."""
        return shared.with_name(f"{shared.stem}.{self.short}{shared.suffix}")


class Identity(NamedTuple):
    """Which log an entry belongs to, and how far into it the entry reaches."""

    offset: int
    head_n_bytes: int
    head_crc32: int
    tail_n_bytes: int
    tail_crc32: int


class Checkpoint(NamedTuple):
    """One entry.

    Attributes:
        session: The state of the session at `identity.offset`.
        files: Uploaded files by path, with the stamp of what was uploaded (files.py).
        unreported: Those of them that the server has not been told of yet.
        missing: Files that could not be uploaded: path -> reason.
        lost: Damaged pieces of the log: [offset, n_bytes, reason].
        lacks: What is missing on the server though all was done that could be, in words.
        is_complete: Whether the server knows that the run is complete.
        sides: Side logs by their ids, with the fields of an Identity.
        artifacts: Name, id, version and digest of artifacts that have arrived, by their place in the log.
        failed_artifacts: Name and reason of those that could not be uploaded, in the same way.
    """

    identity: Identity
    session: Dict[str, Any]
    files: Dict[str, Any]
    unreported: List[str]
    missing: Dict[str, str]
    lost: List[List[Any]]
    lacks: List[str]
    is_complete: bool
    sides: Dict[str, Any] = {}
    artifacts: Dict[str, Any] = {}
    failed_artifacts: Dict[str, Any] = {}


def identify(log: Path, offset: int) -> Identity:
    """Return the identity of the first `offset` bytes of a log.

    Raises:
        CheckpointMismatch: The log is shorter than that.
    """
    try:
        with open_log(log) as file:
            head = file.read_at(0, min(offset, FINGERPRINT_BYTES))
            tail_n_bytes = min(offset, FINGERPRINT_BYTES)
            tail = file.read_at(offset - tail_n_bytes, tail_n_bytes)
    except OSError as error:
        raise SyncError(f"{log}: cannot be read: {error.strerror}") from error
    if len(tail) < tail_n_bytes:
        raise CheckpointMismatch(f"{log}: ends before byte {offset}, which was uploaded already")
    return Identity(offset, len(head), zlib.crc32(head), tail_n_bytes, zlib.crc32(tail))


def _is_shorter(log: Path, identity: Identity) -> bool:
    """Whether this is the begin of the log that was uploaded.  One too short to tell is taken for it."""
    with contextlib.suppress(OSError):
        n_bytes = size(log)
        head = identify(log, min(n_bytes, identity.head_n_bytes))
        is_same = n_bytes < identity.head_n_bytes or head.head_crc32 == identity.head_crc32
        return n_bytes < identity.offset and is_same
    return False


class CheckpointFile:
    """The entry of one log for one destination.  Use it under the run's lease only."""

    def __init__(self, shared: Path, destination: Destination) -> None:
        """Read the file if there is one.  One that is damaged counts as none: that costs time, not data.

        Args:
            shared: Where older versions kept all destinations; it tells the file's own name.

        Raises:
            CheckpointUnreadable: It is of a newer version, or cannot be read now.
        """
        self.path = destination.file(shared)
        self.was_damaged = False
        self._key = destination.key
        self._entry: Optional[Dict[str, Any]] = None
        for path in (self.path, shared):
            try:
                self._entry = _read(path).get(self._key)
            except _Damaged:
                self.was_damaged = True
            if self._entry is not None or (path is self.path and path.exists()):
                break

    def load(self, log: Path) -> Optional[Checkpoint]:
        """Return the entry; None if there is none.

        Raises:
            LogShrank: There is one, for more of this log than there is now.
            CheckpointMismatch: There is one, but for another log.
        """
        entry = self._entry
        if entry is None:
            return None
        try:
            identity = Identity(**entry["identity"])
            checkpoint = Checkpoint(**{**entry, "identity": identity})
        except (KeyError, TypeError) as error:
            raise CheckpointUnreadable(f"{self.path}: an entry lacks {error}") from None
        if _is_shorter(log, identity):
            raise LogShrank(
                f"{log}: is shorter than the {identity.offset} bytes that were uploaded of it",
                hint="--include-synced uploads what is left, over what the server has",
            )
        if identify(log, identity.offset) != identity:
            raise CheckpointMismatch(f"{log}: is not the log that {self.path.name} was written for")
        return checkpoint

    def save(self, checkpoint: Checkpoint) -> None:
        """Replace the entry; durable when this returns.

        Raises:
            SyncError: The file cannot be written; the old one is as it was.
        """
        entry = {**checkpoint._asdict(), "identity": checkpoint.identity._asdict()}
        self._entry = entry
        body = {"format": FORMAT, "version": VERSION, "destinations": {self._key: entry}}
        replace_file(self.path, sealed(body))

    def discard(self) -> None:
        """Forget the entry; on disk from the next `save` on."""
        self._entry = None


def checkpoints_of(shared: Path) -> Dict[str, Dict[str, Any]]:
    """Return all entries of a log by destination, without those that cannot be read."""
    entries: Dict[str, Dict[str, Any]] = {}
    own = shared.parent.glob(f"{glob.escape(shared.stem)}.????????{shared.suffix}")
    for path in (shared, *sorted(own)):
        with contextlib.suppress(CheckpointUnreadable):
            entries.update(_read(path))
    return entries


class _Damaged(CheckpointUnreadable):
    """Not a newer version, not out of reach: wrong."""


def sealed(body: Mapping[str, Any]) -> bytes:
    """Return a JSON object with its own checksum in front: the crc32 of the text that follows it."""
    text = json.dumps(body, separators=(",", ":")).encode("utf-8", "backslashreplace")
    return b'{"crc32":%d,"body":%b}\n' % (zlib.crc32(text), text)


def unsealed(data: bytes, what: str) -> Dict[str, Any]:
    """Return the body of what `sealed` made.

    Raises:
        CheckpointUnreadable: It is something else, or damaged.
    """
    match = _SEALED.match(data)
    if match is None or zlib.crc32(match["body"]) != int(match["crc32"]):
        raise _Damaged(f"{what}: is damaged")
    try:
        return dict(json.loads(match["body"]))
    except (ValueError, TypeError):
        raise _Damaged(f"{what}: is damaged") from None


def replace_file(path: Path, data: bytes) -> None:
    """Replace a small file as a whole and make that durable.

    Raises:
        SyncError: It cannot be written; the old file is as it was.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_directory(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise SyncError(
            f"{path}: cannot be written: {error.strerror}", hint="give --state-dir a directory that can be"
        ) from error


def sync_directory(directory: Path) -> None:
    """Make a rename durable; file systems that do not know how to do that for a directory are forgiven."""
    with contextlib.suppress(OSError):
        fd = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _read(path: Path) -> Dict[str, Any]:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise CheckpointUnreadable(f"{path}: cannot be read: {error.strerror}") from error
    body = unsealed(data, str(path))
    if body.get("format") != FORMAT or not isinstance(body.get("destinations"), dict):
        raise _Damaged(f"{path}: is no checkpoint")
    if body.get("version") != VERSION:
        raise CheckpointUnreadable(
            f"{path}: has version {body.get('version')}, we read {VERSION}",
            hint="use the wandb-ng that wrote it",
        )
    return body["destinations"]  # type: ignore[no-any-return]
