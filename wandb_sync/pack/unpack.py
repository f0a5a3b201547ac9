"""Packs -> run directories.

Rule 1: nothing is written to a run directory before the whole pack was read and every digest was right.
Until
        then its members lie in a directory of their own, under numbers, not under names that a stranger
        chose.
Rule 2: what is there is only ever added to: a log grows behind the bytes that it has, if those are the ones
        that the pack builds on; a file is replaced by a newer one of a newer pack; nothing is removed.
Rule 3: a kill or a full disk at any moment leaves what is the begin of a log, or a whole file.  The same
        unpack again finishes it; that it is finished is noted last.
Rule 4: what is wrong with one run of a sound pack ends that run only.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import time
import zlib
from pathlib import Path
from typing import (
    AbstractSet,
    BinaryIO,
    Callable,
    Dict,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
)

from wandb.errors import BadPack, CheckpointUnreadable, Error, LeaseHeld, PackError, PackGap, SyncError
from wandb.transaction_log.compaction import decompress
from wandb.transaction_log.log_file import PlainFile, on_disk, open_log, plain_name, size
from wandb_sync.checkpoint import sync_directory, unsealed
from wandb_sync.lease import RENEW_EVERY_S, Lease
from wandb_sync.pack import memory as memories
from wandb_sync.pack.manifest import (
    MANIFEST_NAME,
    MAX_MANIFEST_BYTES,
    SUMS_NAME,
    Here,
    LogPiece,
    Manifest,
    Member,
    Run,
    Sum,
    Verdict,
    is_log,
    judge,
    read_manifest,
    read_sums,
    takes_files,
)
from wandb_sync.pack.memory import Kept, KeptLog, Memory
from wandb_sync.pack.stream import PIECE_BYTES, STDIN, PackReader

STAGE_PREFIX = ".wandb-unpack-"
LEASE_NAME = ".wandb-unpack.lease"
SPARE_BYTES = 1 << 16  # that stay free on a disk that is asked beforehand

Emit = Callable[[str, Mapping[str, object]], None]
Wanted = Callable[[Run], bool]


class Unpacked(NamedTuple):
    """What became of one run of one pack.

    Attributes:
        changed: Files that the pack could not take whole, for they were being written to.
        older: Files that are here and not in the run any more.
    """

    pack: str
    run: Run
    verdict: Verdict
    reason: str = ""
    changed: Tuple[str, ...] = ()
    older: Tuple[str, ...] = ()

    @property
    def is_well(self) -> bool:
        return self.verdict in (Verdict.UNPACK, Verdict.ALREADY)


def unpack(
    packs: Sequence[str],
    into: Path,
    *,
    wanted: Wanted = lambda run: True,
    emit: Emit = lambda name, fields: None,
) -> List[Unpacked]:
    """Unpack packs, the oldest first, into a directory of run directories.

    Args:
        packs: Names of packs or of their first parts; "-" alone: stdin.
        wanted: Says which runs.

    Raises:
        BadPack: One of them is damaged or hostile; of it and of those behind it nothing was written.
        PackError: There is no room, or `into` cannot be written to.
        LeaseHeld: Another unpack is at work there.
    """
    outcomes: List[Unpacked] = []
    try:
        os.makedirs(into, exist_ok=True)
        with _lease(into) as lease:
            _remove_left(into)
            for path in in_order(packs):
                outcomes += _unpack_one(path, into, wanted, emit, lease)
    except OSError as error:
        raise PackError(f"{error.filename or into}: {error.strerror or error}") from error
    return outcomes


@contextlib.contextmanager
def _lease(into: Path) -> Iterator[Lease]:
    lease = Lease(into / LEASE_NAME)
    try:
        lease.acquire()
    except LeaseHeld as error:
        raise LeaseHeld(f"{into}: another unpack is at work there", hint=error.hint) from None
    except SyncError as error:
        raise PackError(error.message) from error
    try:
        yield lease
    finally:
        lease.release()


def in_order(packs: Sequence[str]) -> List[str]:
    """Return packs in the order in which they were made."""
    if len(packs) < 2:
        return list(packs)
    if STDIN in packs:
        raise PackError("- is given beside other packs", hint="unpack stdin alone")
    return sorted(packs, key=lambda path: manifest_of(path).made_at_ns)


def manifest_of(path: str) -> Manifest:
    """Return what a pack says of itself, without reading the rest of it.

    Raises:
        BadPack: It is damaged or no pack.
    """
    try:
        with PackReader(path) as reader:
            return _read_manifest(reader)
    except OSError as error:
        raise PackError(f"{error.filename or path}: cannot be read: {error.strerror}") from error


def check(path: str, emit: Emit = lambda name, fields: None) -> Manifest:
    """Read a whole pack and throw it away.

    Raises:
        BadPack: It is damaged, cut off, or no pack.
    """
    try:
        with PackReader(path) as reader:
            manifest = _read_manifest(reader)
            _read_members(reader, manifest, lambda number, member: None, emit)
            return manifest
    except OSError as error:
        raise PackError(f"{error.filename or path}: cannot be read: {error.strerror}") from error


# ---- one pack


def _unpack_one(path: str, into: Path, wanted: Wanted, emit: Emit, lease: Lease) -> List[Unpacked]:
    with PackReader(path) as reader:
        manifest = _read_manifest(reader)
        outcomes: Dict[str, Unpacked] = {}
        for run in filter(wanted, manifest.runs):
            try:
                verdict, reason = judge(run, _here(into / run.directory))
            except Error as error:
                verdict, reason = Verdict.CONFLICT, error.message
            outcomes[run.directory] = Unpacked(path, run, verdict, reason)
        stage = into / f"{STAGE_PREFIX}{os.getpid()}-{os.urandom(4).hex()}"
        staged = {name for name, outcome in outcomes.items() if outcome.verdict is Verdict.UNPACK}
        _refuse_full_disk(into, sum(run.n_bytes for run in manifest.runs if run.directory in staged))
        stage.mkdir()
        try:
            with _staging(stage, staged) as put:
                sums = _read_members(reader, manifest, put, emit, lease)
            numbered: Dict[str, List[Tuple[int, Member, Sum]]] = {}
            for number, (member, one) in enumerate(zip(manifest.members(), sums)):
                numbered.setdefault(member.run.directory, []).append((number, member, one))
            for name in staged:
                outcome = outcomes[name]
                try:
                    changed, older = _Place(into / name, stage, outcome.run).put(numbered.get(name, []))
                    outcomes[name] = outcome._replace(changed=changed, older=older)
                except (Error, OSError) as error:
                    said = (
                        error.message if isinstance(error, Error) else f"{error.filename}: {error.strerror}"
                    )
                    outcomes[name] = outcome._replace(verdict=Verdict.CONFLICT, reason=said)
        finally:
            shutil.rmtree(stage, ignore_errors=True)
        return list(outcomes.values())


def _read_manifest(reader: PackReader) -> Manifest:
    body = _sealed_member(reader, MANIFEST_NAME)
    with _of(reader):
        return read_manifest(body)


@contextlib.contextmanager
def _of(reader: PackReader) -> Iterator[None]:
    """Name the pack that something is wrong with."""
    try:
        yield
    except BadPack as error:
        raise BadPack(f"{reader.path}: {error.message}", hint=error.hint) from None


def _sealed_member(reader: PackReader, name: str) -> object:
    data = bytearray()
    reader.next(name, None, MAX_MANIFEST_BYTES, data.extend)
    try:
        return unsealed(bytes(data), name)
    except CheckpointUnreadable:
        raise BadPack(f"{reader.path}: {name} is damaged") from None
    except RecursionError:
        raise BadPack(f"{reader.path}: {name} is no manifest") from None


Put = Callable[[int, Member], Optional[Callable[[bytes], object]]]


def _read_members(
    reader: PackReader, manifest: Manifest, put: Put, emit: Emit, lease: Optional[Lease] = None
) -> List[Sum]:
    """Read everything behind the manifest, hand the members out, and hold them to their sums."""
    members = manifest.members()
    digests = []
    done, total = 0, sum(member.n_bytes for member in members)
    renew_at_s = time.monotonic() + RENEW_EVERY_S
    for number, member in enumerate(members):
        sha256 = hashlib.sha256()
        write = put(number, member)

        def take(piece: bytes) -> None:
            sha256.update(piece)  # noqa: B023  # used up before the next turn
            if write is not None:  # noqa: B023
                write(piece)  # noqa: B023

        reader.next(member.name, member.n_bytes, member.n_bytes, take)
        digests.append(sha256.hexdigest())
        done += member.n_bytes
        emit("progress", {"n_bytes": done, "total": total})
        if lease is not None and time.monotonic() > renew_at_s:
            renew_at_s = time.monotonic() + RENEW_EVERY_S
            lease.renew()
    tail = _sealed_member(reader, SUMS_NAME)
    with _of(reader):
        sums = read_sums(tail, members)
    reader.end()
    for member, one, digest in zip(members, sums, digests):
        if one.sha256 != digest:
            raise BadPack(f"{reader.path}: {member.name} is not what was packed", hint="carry the pack again")
    return sums


@contextlib.contextmanager
def _staging(stage: Path, directories: AbstractSet[str]) -> Iterator[Put]:
    """Yield what opens a numbered file for a member of these directories; all are closed and synced."""
    open_files: List[BinaryIO] = []

    def close() -> None:
        for file in open_files:
            file.flush()
            os.fsync(file.fileno())
            file.close()
        open_files.clear()

    def put(number: int, member: Member) -> Optional[Callable[[bytes], object]]:
        close()
        if member.run.directory not in directories:
            return None
        file = open(stage / str(number), "xb")
        open_files.append(file)
        return file.write

    try:
        yield put
        close()
    finally:
        for file in open_files:
            with contextlib.suppress(OSError):
                file.close()


def _refuse_full_disk(into: Path, n_bytes: int) -> None:
    try:
        space = os.statvfs(into)
    except OSError:
        return
    free = space.f_bavail * space.f_frsize
    if n_bytes + SPARE_BYTES > free:
        raise PackError(
            f"{into}: {n_bytes} bytes are to be unpacked, and {free} are free", hint="nothing was written"
        )


def _remove_left(into: Path) -> None:
    """Remove what killed unpacks have left; we hold the lease, so nobody is at work on it."""
    for path in into.glob(STAGE_PREFIX + "*"):
        shutil.rmtree(path, ignore_errors=True)


# ---- one run


def _here(directory: Path) -> Here:
    """Return what is at the place of a run directory."""
    if directory.is_symlink() or (directory.exists() and not directory.is_dir()):
        raise PackError(f"{directory}: is there, and is no directory")
    memory = memories.load(memories.path_of(directory))
    inside = list(directory.iterdir()) if directory.is_dir() else []
    logs = {plain_name(path.name): size(plain_name(path)) for path in inside if is_log(plain_name(path.name))}
    # What somebody has removed here counts as not here, so that a whole pack brings it back.
    files = {
        name: (kept.n_bytes, kept.sha256)
        for name, kept in memory.files.items()
        if _size(directory / name) == kept.n_bytes
    }
    return Here(memory.made_at_ns, logs, files)


def _size(path: Path) -> int:
    try:
        return os.lstat(path).st_size
    except OSError:
        return -1


class _Place:
    """The place of one run: from what was staged to what stays."""

    def __init__(self, directory: Path, stage: Path, run: Run) -> None:
        self._directory = directory
        self._stage = stage
        self._run = run
        self._memory = memories.load(memories.path_of(directory))

    def put(self, members: Sequence[Tuple[int, Member, Sum]]) -> Tuple[Tuple[str, ...], Tuple[str, ...]]:
        """Bring the run to the state of the pack.

        Returns:
            Files that the pack could not take whole, and files that are here and no longer in the run.

        Raises:
            PackError: What is here is something else; nothing was changed.
        """
        pieces = [(number, member.content, one) for number, member, one in members if member.is_log]
        for number, log, _ in pieces:
            self._decompress(log)
            self._check_log(number, log)
        here = Here(self._memory.made_at_ns)
        is_newer = takes_files(self._run, here)
        is_new = not self._directory.exists()
        into = self._stage / "new" if is_new else self._directory
        if is_new:
            into.mkdir()
        files = dict(self._memory.files)
        changed = []
        if is_newer:
            for path in self._run.directories:
                self._make_directories(into, path)
            for number, member, one in members:
                if not member.is_log and one.has_changed:
                    changed.append(member.content.path)
                elif not member.is_log:
                    file = member.content
                    self._put_file(into, number, file.path, file.mtime_ns)
                    files[file.path] = Kept(file.n_bytes, file.mtime_ns, one.sha256)
        logs = dict(self._memory.logs)
        for number, log, one in pieces:
            self._put_log(into, number, log)
            logs[log.path] = KeptLog.of(into / log.path, log.end, one.crc32)
        if is_newer:
            self._drop_plain(into)
        older = sorted(set(files) - {file.path for file in self._run.files}) if is_newer else []
        if is_newer:
            memory = Memory(self._run.made_at_ns, self._run.is_open, logs, files)
            memories.save(memories.path_of(into), memory)
        if is_new:
            sync_directory(into)
            os.rename(into, self._directory)
        sync_directory(self._directory.parent)
        return tuple(changed), tuple(older)

    def _decompress(self, log: LogPiece) -> None:
        """Make a log plain that somebody has compressed here, so that it can grow."""
        path = self._directory / log.path
        if on_disk(path) != os.fspath(path) and size(path) < log.end:
            decompress(on_disk(path))

    def _drop_plain(self, into: Path) -> None:
        """Remove the plain form of logs that were compressed over there, once the compressed form is here.

        It may lack an end that was never packed, and whoever finds both forms takes the plain one.
        """
        listed = {log.path for log in self._run.logs}
        for file in self._run.files:
            plain = plain_name(file.path)
            if plain == file.path or "/" in plain or plain in listed or not (into / plain).is_file():
                continue
            with open_log(into / file.path) as whole, PlainFile(os.fspath(into / plain)) as begun:
                at = 0
                while piece := begun.read_at(at, PIECE_BYTES):
                    if whole.read_at(at, len(piece)) != piece:
                        raise self._is_another(into / plain)
                    at += len(piece)
            os.unlink(into / plain)

    def _check_log(self, number: int, log: LogPiece) -> None:
        """Refuse a piece that does not continue what is here."""
        path = self._directory / log.path
        if path.is_symlink():
            raise PackError(f"{path}: is a link", hint="unpack to another directory")
        if not path.exists():
            return  # judge() has seen that it begins at 0
        n_bytes = path.stat().st_size
        if log.begin:
            kept = self._memory.logs.get(log.path)
            known = kept is not None and kept.end == log.begin and kept.is_begin_of(path)
            crc32 = kept.crc32 if known and kept is not None else _crc32(path, log.begin)
            if crc32 != log.crc32_before:
                raise self._is_another(path)
        if not _begins_alike(path, log.begin, self._stage / str(number), min(n_bytes, log.end) - log.begin):
            raise self._is_another(path)

    def _is_another(self, path: Path) -> PackError:
        return PackError(
            f"{path}: is another log than the one that was packed", hint="unpack to another directory"
        )

    def _put_log(self, into: Path, number: int, log: LogPiece) -> None:
        """Let a log grow by what it lacks of a piece; at a full disk it is left as it was."""
        path = into / log.path
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        with open(fd, "r+b") as out, open(self._stage / str(number), "rb") as piece:
            n_bytes = os.fstat(out.fileno()).st_size
            if n_bytes >= log.end:
                return
            piece.seek(n_bytes - log.begin)
            out.seek(n_bytes)
            try:
                shutil.copyfileobj(piece, out, PIECE_BYTES)
                out.flush()
                os.fsync(out.fileno())
            except OSError:
                with contextlib.suppress(OSError):
                    os.ftruncate(out.fileno(), n_bytes)
                raise
        os.utime(path, ns=(log.mtime_ns, log.mtime_ns))

    def _put_file(self, into: Path, number: int, path: str, mtime_ns: int) -> None:
        target = into / path
        self._make_directories(into, path.rpartition("/")[0])
        if target.is_dir() and not target.is_symlink():
            raise PackError(
                f"{target}: is a directory, and a file in the pack", hint="unpack to another directory"
            )
        staged = self._stage / str(number)
        os.utime(staged, ns=(mtime_ns, mtime_ns))
        os.replace(staged, target)

    def _make_directories(self, into: Path, path: str) -> None:
        """Make directories one by one; none of them may be a link that leads out."""
        here = into
        for name in path.split("/") if path else ():
            here = here / name
            if here.is_symlink() or (here.exists() and not here.is_dir()):
                raise PackError(f"{here}: is no directory", hint="unpack to another directory")
            here.mkdir(exist_ok=True)


def _crc32(path: Path, n_bytes: int) -> int:
    crc32 = 0
    with open(path, "rb") as file:
        while n_bytes:
            piece = file.read(min(n_bytes, PIECE_BYTES))
            if not piece:
                break
            crc32 = zlib.crc32(piece, crc32)
            n_bytes -= len(piece)
    return crc32


def _begins_alike(log: Path, at: int, piece: Path, n_bytes: int) -> bool:
    """Whether the log has, from `at` on, the first `n_bytes` of a piece."""
    with open(log, "rb") as left, open(piece, "rb") as right:
        left.seek(at)
        while n_bytes > 0:
            a, b = (file.read(min(n_bytes, PIECE_BYTES)) for file in (left, right))
            if a != b or not a:
                return False
            n_bytes -= len(a)
    return True


def failure(outcome: Unpacked) -> Error:
    """Return what went wrong with a run as an error."""
    where = f"{outcome.pack}: {outcome.run.directory}"
    if outcome.verdict is Verdict.GAP:
        before = _when(outcome.run.before_ns)
        return PackGap(
            f"{where}: {outcome.reason}",
            hint=f"unpack the pack that was made at {before} first; "
            "if it is lost, make one without --incremental",
        )
    return PackError(f"{where}: {outcome.reason}")


def _when(at_ns: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at_ns / 1e9)) if at_ns else "an unknown time"


def plain(text: str) -> str:
    """Return a text of a stranger as a terminal may show it."""
    return re.sub(r"[^\x20-\x7e\xa0-\ufffd]", "?", text)
