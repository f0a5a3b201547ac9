"""Run directories -> a pack.

Rule 1: a run that goes on is packed as it is: its log up to the last whole record, which never changes again.
Rule 2: a file that is written to while it is packed is not taken; the next pack carries it, and it is said.
Rule 3: a pack has its name when all of it is on disk; what was packed is remembered after that.  A kill in
        between costs that the next pack carries it once more.
Rule 4: links are followed to files, so that nothing in a pack leads out of it.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import stat
import time
import zlib
from collections import deque
from pathlib import Path, PurePosixPath
from typing import (
    Any,
    BinaryIO,
    Callable,
    Deque,
    Dict,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    cast,
)

from wandb.errors import BadPack, Error, PackError
from wandb.processes import Life
from wandb.proto.record_pb2 import RunRecord
from wandb.transaction_log.compaction import UNFINISHED
from wandb.transaction_log.log_file import plain_name
from wandb.transaction_log.parser import Record
from wandb.transaction_log.reader import Reader
from wandb.transaction_log.side_logs import side_logs
from wandb.version import __version__
from wandb_sync.artifacts import files_outside
from wandb_sync.checkpoint import sealed
from wandb_sync.discover import discover
from wandb_sync.follow import ASSUME_DEAD_AFTER_S, has_ended, writer_life
from wandb_sync.lease import RENEW_EVERY_S, Lease
from wandb_sync.pack import memory as memories
from wandb_sync.pack.manifest import (
    MANIFEST_NAME,
    SUMS_NAME,
    FileState,
    LogPiece,
    Manifest,
    Member,
    Run,
    Sum,
    check_path,
    is_log,
    is_sidecar,
    sums_to_json,
)
from wandb_sync.pack.memory import Kept, KeptLog, Memory
from wandb_sync.pack.stream import DEFAULT_LEVEL, PackWriter
from wandb_sync.record_kind import is_end
from wandb_sync.segments import run_record

RACY_NS = 2 * 10**9  # a file that changed so shortly before it was packed may have changed again, unseen
N_LAST_RECORDS = 8  # among which the exit record is

Emit = Callable[[str, Mapping[str, Any]], None]


class PackOptions(NamedTuple):
    """How packs are made.

    Attributes:
        incremental: Whether only what the last pack did not carry is packed.
        split_bytes: How large a part may be; None: one file.
        assume_dead_after_s: When a log that is not written to counts as ended, if nothing else is known.
        state_dir: Where it is kept what was packed; None: in the run directories.
    """

    incremental: bool = False
    split_bytes: Optional[int] = None
    level: int = DEFAULT_LEVEL
    assume_dead_after_s: float = ASSUME_DEAD_AFTER_S
    state_dir: Optional[Path] = None


class Packed(NamedTuple):
    """What became of it.

    Attributes:
        parts: The files that were written; none if there was nothing new.
        n_bytes: Their size together.
        runs: What is in them.
        left_out: Run directory -> path -> why that is not in the pack.
        failed: Run directory -> why none of it is in the pack.
    """

    parts: List[str]
    n_bytes: int
    runs: Tuple[Run, ...]
    left_out: Dict[str, Dict[str, str]]
    failed: Dict[str, str]


def pack(
    paths: Sequence[str],
    out: str,
    options: PackOptions = PackOptions(),
    emit: Emit = lambda name, fields: None,
) -> Packed:
    """Pack runs.

    Args:
        paths: As of `wandb sync`.
        out: The pack's name; "-" is stdout.

    Raises:
        UsageError: No path means a run.
        PackError: The pack cannot be written, or is there already.  Nothing is left of it.
    """
    logs = discover(paths)
    sides = (Path(side).parent for log in logs for side in side_logs(log.path, is_shared=True))
    directories = sorted({*(log.directory for log in logs), *sides})
    failed: Dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        _refuse_same_names(directories)
        looked_at = []
        for directory in directories:
            try:
                looked_at.append(_Directory(directory, options, stack))
            except Error as error:
                failed[str(directory)] = str(error)
        if not looked_at:
            raise PackError("; ".join(failed.values()))
        fresh = [one for one in looked_at if one.has_news or not options.incremental]
        if not fresh:
            return Packed([], 0, (), {}, failed)
        try:
            parts, n_bytes = _write(fresh, out, options, emit)
        except OSError as error:
            raise PackError(
                f"{error.filename or out}: cannot be written: {error.strerror or error}"
            ) from error
        for one in fresh:
            one.remember()
        left_out = {one.run.directory: {**one.run.left_out, **one.changed} for one in fresh}
        return Packed(parts, n_bytes, tuple(one.run for one in fresh), left_out, failed)


def _refuse_same_names(directories: Sequence[Path]) -> None:
    seen: Dict[str, Path] = {}
    for directory in directories:
        other = seen.setdefault(directory.name, directory)
        if other != directory:
            raise PackError(f"{directory} and {other} have one name", hint="pack them one by one")


def _write(fresh: Sequence[_Directory], out: str, options: PackOptions, emit: Emit) -> Tuple[List[str], int]:
    made_at_ns = max(one.run.made_at_ns for one in fresh)
    manifest = Manifest(made_at_ns, f"wandb-ng/{__version__}", tuple(one.run for one in fresh))
    total = sum(run.n_bytes for run in manifest.runs)
    by_name = {one.run.directory: one for one in fresh}
    sums: List[Sum] = []
    done = 0
    renew_at_s = time.monotonic() + RENEW_EVERY_S
    with PackWriter(out, total_bytes=total, split_bytes=options.split_bytes, level=options.level) as writer:
        head = sealed(manifest.to_json())
        writer.add(MANIFEST_NAME, len(head), io.BytesIO(head), made_at_ns)
        for member in manifest.members():
            sums.append(by_name[member.run.directory].put(member, writer))
            done += member.n_bytes
            emit("progress", {"n_bytes": done, "total": total})
            if time.monotonic() > renew_at_s:
                renew_at_s = time.monotonic() + RENEW_EVERY_S
                for one in fresh:
                    one.lease.renew()
        tail = sealed(sums_to_json(sums))
        writer.add(SUMS_NAME, len(tail), io.BytesIO(tail), made_at_ns)
        return writer.commit()


class _Directory:
    """One run directory: what of it is to be packed, and what of it was.

    Attributes:
        run: As the manifest has it.
        changed: Files that turned out to be written to.
        has_news: Whether there is anything that the last pack did not carry.
    """

    def __init__(self, path: Path, options: PackOptions, stack: contextlib.ExitStack) -> None:
        """Look at it, under its lease, which `stack` releases."""
        self.path = path
        self._memory_path = memories.path_of(path, options.state_dir)
        self.lease = stack.enter_context(Lease(memories.lease_of(self._memory_path)))
        before = memories.load(self._memory_path)
        self._kept: Dict[str, Kept] = {}
        self._kept_logs: Dict[str, KeptLog] = {}
        self.changed: Dict[str, str] = {}
        base = before if options.incremental else Memory()
        made_at_ns = max(time.time_ns(), before.made_at_ns + 1)
        self._outside: Dict[str, Path] = {}  # files that belong here and lie elsewhere, by their place
        logs, who, is_open = self._look_at_logs(base, options)
        directories, files, left_out = self._look_at_files(base)
        files += self._look_outside(base)
        made = {str(parent) for path in self._outside for parent in PurePosixPath(path).parents}
        directories += sorted(made.difference(directories, ["."]))
        self.run = Run(
            path.name,
            who,
            made_at_ns,
            base.made_at_ns,
            is_open,
            tuple(directories),
            tuple(logs),
            tuple(files),
            left_out,
        )
        try:
            check_path(path.name, "this run directory")
        except BadPack as error:
            raise PackError(f"{path}: {error.message}", hint="rename it") from None
        self.has_news = (
            any(log.end > log.begin for log in logs)
            or any(file.is_carried for file in files)
            or is_open != base.is_open
            or base.made_at_ns == 0
        )

    def _logs(self) -> List[Path]:
        """The logs by their plain names, compressed or not."""
        names = {plain_name(path.name) for path in self.path.iterdir()}
        return sorted(self.path / name for name in names if is_log(name))

    def _look_at_logs(
        self, base: Memory, options: PackOptions
    ) -> Tuple[List[LogPiece], Tuple[str, str, str], bool]:
        logs: List[LogPiece] = []
        who = ("", "", "")
        is_open = False
        for path in self._logs():
            run = run_record(path)
            if run is not None:
                who = (run.entity, run.project, run.run_id)
            if not path.is_file():
                continue  # compressed, so it has ended: a file like others
            mtime_ns = path.stat().st_mtime_ns
            kept = base.logs.get(path.name)
            if kept is not None and not kept.is_begin_of(path):
                kept = None  # repaired, or another one
            end, log_is_open = _end_of(path, run, kept, base.is_open, options.assume_dead_after_s)
            is_open = is_open or log_is_open
            begin, crc32 = (kept.end, kept.crc32) if kept is not None else (0, 0)
            logs.append(LogPiece(path.name, begin, end, crc32, mtime_ns))
            if end == begin:
                self._kept_logs[path.name] = KeptLog.of(path, end, crc32)
        return logs, who, is_open

    def _look_at_files(self, base: Memory) -> Tuple[List[str], List[FileState], Dict[str, str]]:
        directories: List[str] = []
        files: List[FileState] = []
        left_out: Dict[str, str] = {}
        for path, is_directory, reason in _walk(self.path):
            try:
                check_path(path, "it")
            except BadPack:
                left_out[repr(path)] = "has a name that cannot travel"
                continue
            if reason:
                left_out[path] = reason
            elif is_directory:
                directories.append(path)
            elif not (is_sidecar(path) or is_log(path) or "/" not in path and path.endswith(UNFINISHED)):
                status = os.stat(self.path / path)
                known = base.files.get(path)
                if known is not None and known[:2] == (status.st_size, status.st_mtime_ns):
                    self._kept[path] = known
                else:
                    known = None
                sha256 = known.sha256 if known is not None else ""
                files.append(FileState(path, status.st_size, status.st_mtime_ns, sha256))
        return directories, files, left_out

    def _look_outside(self, base: Memory) -> List[FileState]:
        """Return the files of artifacts that the run directory does not hold, as if it did."""
        files: List[FileState] = []
        for log in self._logs():
            self._outside.update(files_outside(log))
        for path, source in sorted(self._outside.items()):
            status = os.stat(source)
            known = base.files.get(path)
            if known is not None and known[0] == status.st_size:  # its name says what is in it
                self._kept[path] = known
                files.append(FileState(path, status.st_size, status.st_mtime_ns, known.sha256))
            else:
                files.append(FileState(path, status.st_size, status.st_mtime_ns, ""))
        return files

    def put(self, member: Member, writer: PackWriter) -> Sum:
        """Put one member of this directory into the pack."""
        content = member.content
        path = self._outside.get(content.path, self.path / content.path)
        if member.is_log:
            with open(path, "rb") as file:
                file.seek(content.begin)
                source = _Source(file, member.n_bytes, content.crc32_before)
                writer.add(member.name, member.n_bytes, cast(BinaryIO, source), content.mtime_ns)
            if source.is_short:
                raise PackError(f"{path}: was cut while it was packed", hint="try again")
            self._kept_logs[content.path] = KeptLog.of(path, content.end, source.crc32)
            return Sum(source.sha256.hexdigest(), source.crc32, False)
        with _opened(path) as (file, status):
            source = _Source(file, member.n_bytes)
            writer.add(member.name, member.n_bytes, cast(BinaryIO, source), content.mtime_ns)
            wanted = (content.n_bytes, content.mtime_ns)
            has_changed = source.is_short or wanted != status() or wanted != _now(path)
        if has_changed:
            self.changed[content.path] = "was written to while it was packed; the next pack carries it"
        elif content.mtime_ns < self.run.made_at_ns - RACY_NS:
            self._kept[content.path] = Kept(*wanted, source.sha256.hexdigest())
        else:
            # As above; with a time of change that no file has, so that the next pack carries it once more.
            self._kept[content.path] = Kept(content.n_bytes, -1, source.sha256.hexdigest())
        return Sum(source.sha256.hexdigest(), 0, has_changed)

    def remember(self) -> None:
        """Keep what was packed."""
        memories.save(
            self._memory_path,
            Memory(self.run.made_at_ns, self.run.is_open, self._kept_logs, self._kept),
        )


class _Source:
    """A file that is read once, digested on the way, and never too short: zeros make up for what is
    missing."""

    def __init__(self, file: Optional[BinaryIO], n_bytes: int, crc32: int = 0) -> None:
        self._file = file
        self._rest = n_bytes
        self.crc32 = crc32
        self.sha256 = hashlib.sha256()
        self.is_short = file is None

    def read(self, n_bytes: int) -> bytes:
        n_bytes = min(n_bytes, self._rest)
        data = b""
        while self._file is not None and len(data) < n_bytes:
            try:
                piece = self._file.read(n_bytes - len(data))
            except OSError:
                piece = b""
            if not piece:
                self.is_short = True
                break
            data += piece
        data += bytes(n_bytes - len(data))
        self._rest -= len(data)
        self.crc32 = zlib.crc32(data, self.crc32)
        self.sha256.update(data)
        return data


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Tuple[Optional[BinaryIO], Callable[[], Optional[Tuple[int, int]]]]]:
    """Open a file that may be gone; also yields what tells its size and time of change."""
    try:
        file = open(path, "rb")
    except OSError:
        yield None, lambda: None
        return

    def status() -> Tuple[int, int]:
        now = os.fstat(file.fileno())
        return now.st_size, now.st_mtime_ns

    with file:
        yield file, status


def _now(path: Path) -> Optional[Tuple[int, int]]:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def _walk(root: Path) -> Iterator[Tuple[str, bool, str]]:
    """Yield (path, whether it is a directory, why it cannot be packed) of everything below a directory."""
    todo = [""]
    while todo:
        parent = todo.pop()
        try:
            entries = sorted(os.scandir(root / parent), key=lambda entry: entry.name)
        except OSError as error:
            yield parent, True, f"cannot be read: {error.strerror}"
            continue
        for entry in entries:
            path = f"{parent}/{entry.name}" if parent else entry.name
            try:
                mode = entry.stat().st_mode
            except OSError as error:
                yield path, False, (
                    "leads to nothing" if entry.is_symlink() else f"cannot be read: {error.strerror}"
                )
                continue
            if stat.S_ISDIR(mode):
                if entry.is_symlink():
                    yield path, True, "is a link to a directory"
                    continue
                yield path, True, ""
                todo.append(path)
            elif not stat.S_ISREG(mode):
                yield path, False, "is no file"
            elif not os.access(root / path, os.R_OK):
                yield path, False, "cannot be read: Permission denied"
            else:
                yield path, False, ""


def _end_of(
    log: Path, run: Optional[RunRecord], kept: Optional[KeptLog], was_open: bool, assume_dead_after_s: float
) -> Tuple[int, bool]:
    """Return how far a log can be packed, and whether its run goes on.

    All of it if nobody will touch it any more; else what is whole: a writer may cut the rest off and write
    something else there.
    """
    n_bytes = os.stat(log).st_size
    if kept is not None and kept.end == n_bytes and not was_open:
        return n_bytes, False
    begin = kept.end if kept is not None and was_open else 0
    last: Deque[bytes] = deque(maxlen=N_LAST_RECORDS)
    with Reader(log, begin) as reader:
        for event in reader.events():
            if isinstance(event, Record):
                last.append(event.payload)
        end = max(reader.position, kept.end if kept is not None else 0)
    if any(map(is_end, last)) or writer_life(run) is Life.DEAD:
        return max(end, os.stat(log).st_size), False
    return end, not has_ended(log, run, assume_dead_after_s, time.time())
