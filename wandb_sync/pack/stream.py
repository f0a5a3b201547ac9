"""Members <-> one compressed tar file, which may lie there in parts.  Spec: schema/pack/FORMAT.md.

The home of zstandard and tarfile.  Knows names and sizes of members, not what they mean.

Rule 1: a pack has its name only when it is whole: it is written under another one, synced, and renamed; of
        several parts the first is renamed last.
Rule 2: a reader never holds or hands out more than was announced (BadPack), whatever the bytes unfold to.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
import tarfile
from pathlib import Path
from types import TracebackType
from typing import IO, Any, BinaryIO, Callable, List, Optional, Tuple, Type, cast

import zstandard

from wandb.errors import BadPack, PackError, UsageError
from wandb_sync.checkpoint import sync_directory

DEFAULT_LEVEL = 3
MAX_WINDOW_LOG = 27  # 128 MiB: the largest that every reader takes without being asked to
STDOUT = STDIN = "-"
PIECE_BYTES = 1 << 20
_HEADER_ALLOWANCE = 1 << 16  # a member's headers: a name in pax form
_TAR_BUFFER = tarfile.RECORDSIZE  # how far tarfile reads ahead
_PART = re.compile(r"\.(\d{3,})\Z")


# ---- out


class _Parts(io.RawIOBase):
    """A file, or several of at most `split_bytes` that follow each other; or a pipe."""

    def __init__(self, path: str, split_bytes: Optional[int]) -> None:
        self._path = path
        self._split_bytes = split_bytes
        self._open: Optional[BinaryIO] = None
        self._room = 0
        self.names: List[Tuple[str, str]] = []  # while it is written, and then
        self.n_bytes = 0
        if path == STDOUT:
            self._open = sys.stdout.buffer
            self._room = sys.maxsize

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        rest = view
        while len(rest):
            if not self._room:
                self._next()
            assert self._open is not None
            piece = rest[: self._room]
            self._open.write(piece)
            rest = rest[len(piece) :]
            self._room -= len(piece)
        self.n_bytes += len(view)
        return len(view)

    def _next(self) -> None:
        self._close()
        number = f".{len(self.names) + 1:03}" if self._split_bytes else ""
        name = self._path + number
        temporary = f"{name}.{os.getpid()}.tmp"
        self._open = open(temporary, "xb")
        self.names.append((temporary, name))
        self._room = self._split_bytes or sys.maxsize

    def _close(self) -> None:
        if self._open is not None:
            self._open.flush()
            if self._path != STDOUT:
                os.fsync(self._open.fileno())
                self._open.close()
            self._open = None

    def commit(self) -> List[str]:
        """Give the parts their names; they are durable when this returns."""
        self._close()
        for temporary, name in reversed(self.names):
            os.replace(temporary, name)
        if self.names:
            sync_directory(Path(self._path).parent)
        return [name for _, name in self.names]

    def discard(self) -> None:
        """Remove what was written."""
        with contextlib.suppress(OSError):
            if self._open is not None and self._path != STDOUT:
                self._open.close()
        self._open = None
        for temporary, _ in self.names:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


class PackWriter:
    """Writes members, one after the other; a context manager that leaves nothing behind if it is left early.

    Raises:
        PackError: There is something of this name already, or it cannot be written.
    """

    def __init__(
        self,
        path: str,
        *,
        total_bytes: int,
        split_bytes: Optional[int] = None,
        level: int = DEFAULT_LEVEL,
        threads: int = -1,
    ) -> None:
        """Begin a pack.

        Args:
            path: Where; "-" is stdout.
            total_bytes: About what will be put in; chooses the window, and with it a reader's memory.
            threads: That compress; -1: as many as there are cores.
        """
        if path != STDOUT and (os.path.lexists(path) or os.path.lexists(path + ".001")):
            raise PackError(f"{path}: is there already", hint="give another name; no pack is written over")
        _remove_left(path)
        self.path = path
        self._parts = _Parts(path, split_bytes)
        window_log = min(MAX_WINDOW_LOG, max(20, (total_bytes + 1).bit_length()))
        parameters = zstandard.ZstdCompressionParameters.from_level(
            level, window_log=window_log, enable_ldm=True, threads=threads, write_checksum=True
        )
        compressor = zstandard.ZstdCompressor(compression_params=parameters)
        self._zstd = compressor.stream_writer(cast(BinaryIO, self._parts), closefd=False)
        self._tar = tarfile.open(
            fileobj=cast(IO[bytes], self._zstd),
            mode="w|",
            format=tarfile.PAX_FORMAT,
            errors="surrogateescape",
        )

    def __enter__(self) -> PackWriter:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self._parts.discard()

    def add(self, name: str, n_bytes: int, content: BinaryIO, mtime_ns: int) -> None:
        """Add a member; `content` gives at least `n_bytes`."""
        member = tarfile.TarInfo(name)
        member.size = n_bytes
        member.mtime = mtime_ns // 10**9
        member.mode = 0o644
        self._tar.addfile(member, content)
        self._tar.members = []  # type: ignore[attr-defined]  # a million of them need not be remembered

    def commit(self) -> Tuple[List[str], int]:
        """End the pack and give it its name; returns the names of its parts, and its size in bytes."""
        self._tar.close()
        self._zstd.close()  # type: ignore[no-untyped-call]
        names = self._parts.commit()
        self._parts.names = []
        return names or [self.path], self._parts.n_bytes


def _remove_left(path: str) -> None:
    """Remove what a killed pack of this name has left."""
    if path == STDOUT:
        return
    folder, name = os.path.split(path)
    left = re.compile(re.escape(name) + r"(\.\d{3,})?\.(\d+)\.tmp\Z")
    with contextlib.suppress(OSError):
        for entry in os.listdir(folder or "."):
            match = left.match(entry)
            if match and not _is_alive(int(match[2])):
                with contextlib.suppress(OSError):
                    os.unlink(os.path.join(folder, entry))


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


# ---- in


def parts_of(path: str) -> List[str]:
    """Return the files that a pack lies in: itself, or its parts in order.

    Args:
        path: The pack's name, or that of its first part.

    Raises:
        UsageError: There is no such pack.
        BadPack: A part is missing.
    """
    if path == STDIN or os.path.isfile(path) and not _PART.search(path):
        return [path]
    match = _PART.search(path)
    base = path[: match.start()] if match and os.path.isfile(path) else path
    folder, name = os.path.split(base)
    numbers = []
    with contextlib.suppress(OSError):
        for entry in os.listdir(folder or "."):
            part = _PART.search(entry)
            if part and entry[: part.start()] == name:
                numbers.append(int(part[1]))
    if not numbers:
        raise UsageError(f"{path}: there is no such pack")
    for wanted, number in enumerate(sorted(numbers), 1):
        if number != wanted:
            raise BadPack(f"{base}: part {wanted:03} is missing", hint="carry it too; nothing was written")
    return [f"{base}.{number:03}" for number in range(1, len(numbers) + 1)]


class _Concatenated(io.RawIOBase):
    """Files read as one."""

    def __init__(self, paths: List[str]) -> None:
        self._paths = list(paths)
        self._file: Optional[BinaryIO] = None
        self.n_bytes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        while True:
            if self._file is None:
                if not self._paths:
                    return 0
                path = self._paths.pop(0)
                self._file = sys.stdin.buffer if path == STDIN else open(path, "rb")
            data = self._file.read(len(view))
            if data:
                view[: len(data)] = data
                self.n_bytes += len(data)
                return len(data)
            self._end()

    def _end(self) -> None:
        if self._file not in (None, sys.stdin.buffer):
            self._file.close()
        self._file = None

    def close(self) -> None:
        self._end()
        super().close()


class _Bounded:
    """Reads no more than `allowance` bytes until that is set anew (rule 2)."""

    def __init__(self, file: Any, what: str) -> None:
        self._file = file
        self._what = what
        self.allowance = 0

    def read(self, n_bytes: int) -> bytes:
        pieces = []
        while n_bytes > 0:
            piece = self._file.read(min(n_bytes, PIECE_BYTES))
            if not piece:
                break
            pieces.append(piece)
            n_bytes -= len(piece)
            self.allowance -= len(piece)
            if self.allowance < 0:
                raise BadPack(f"{self._what}: holds more than its manifest says")
        return b"".join(pieces)


class PackReader:
    """Reads members in order; a context manager.  Whatever is wrong with the file is a BadPack.

    Attributes:
        n_bytes: How much of the file was read.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._raw = _Concatenated(parts_of(path))
        decompressor = zstandard.ZstdDecompressor(max_window_size=1 << MAX_WINDOW_LOG)
        self._zstd = decompressor.stream_reader(
            cast(BinaryIO, self._raw), read_across_frames=True, closefd=False
        )
        self._bounded = _Bounded(self._zstd, path)
        self._tar: Optional[tarfile.TarFile] = None

    def __enter__(self) -> PackReader:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self._raw.close()

    @property
    def n_bytes(self) -> int:
        return self._raw.n_bytes

    def next(
        self, name: str, n_bytes: Optional[int], most_bytes: int, take: Callable[[bytes], object]
    ) -> None:
        """Read the next member, which has to be the named one, piece by piece.

        Args:
            n_bytes: How long it has to be; None: at most `most_bytes`.

        Raises:
            BadPack: It is another one, no plain file, of another size, damaged or cut off.
            PackError: The file cannot be read.
        """
        try:
            self._next(name, n_bytes, most_bytes, take)
        except _DAMAGE as error:
            raise BadPack(f"{self.path}: is damaged or no pack: {error}") from None

    def _next(
        self, name: str, n_bytes: Optional[int], most_bytes: int, take: Callable[[bytes], object]
    ) -> None:
        self._bounded.allowance = _HEADER_ALLOWANCE + 2 * _TAR_BUFFER
        if self._tar is None:
            self._tar = tarfile.open(
                fileobj=cast(IO[bytes], self._bounded), mode="r|", errors="surrogateescape", errorlevel=2
            )
        member = self._tar.next()
        self._tar.members = []  # type: ignore[attr-defined]
        if member is None:
            raise BadPack(f"{self.path}: ends early, before {name!r}", hint="carry it again, all of it")
        if not member.isreg() or member.issparse() or member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
            raise BadPack(f"{self.path}: {member.name!r} is no plain file")
        if member.name != name:
            raise BadPack(f"{self.path}: holds {member.name[:200]!r} where {name!r} has to be")
        if (n_bytes is not None and member.size != n_bytes) or member.size > most_bytes:
            raise BadPack(f"{self.path}: {name!r} has {member.size} bytes, which is not what it should have")
        self._bounded.allowance = member.size + 3 * _TAR_BUFFER
        content = self._tar.extractfile(member)
        rest = member.size
        while rest and content is not None:
            piece = content.read(min(rest, PIECE_BYTES))
            if not piece:
                raise BadPack(f"{self.path}: ends early, in {name!r}", hint="carry it again, all of it")
            rest -= len(piece)
            take(piece)

    def end(self) -> None:
        """Read what follows the last member, which has to be nothing.

        Raises:
            BadPack: There is something.
        """
        try:
            self._bounded.allowance = _HEADER_ALLOWANCE + 2 * _TAR_BUFFER
            assert self._tar is not None
            padding = (
                b"x" if self._tar.next() is not None else cast(Any, self._tar.fileobj).read(_TAR_BUFFER + 1)
            )
            # Reading on to the end of the file is what makes zstandard look at its own checksum.
            if padding.strip(b"\0") or len(padding) > _TAR_BUFFER or self._bounded.read(1):
                raise BadPack(f"{self.path}: goes on behind its end")
        except _DAMAGE as error:
            raise BadPack(f"{self.path}: is damaged: {error}") from None


# What zstandard and tarfile make of bytes that are not theirs.
_DAMAGE = (tarfile.TarError, zstandard.ZstdError, ValueError, EOFError, IndexError, OverflowError, KeyError)
