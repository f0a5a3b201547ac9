"""Appends records to a log, each with one write(2).  Spec: schema/log/FORMAT.md.

Rule 1: when `write` has returned, the record is in the kernel; a crash of the process cannot lose it.
Rule 2: `end` is always the end of the last whole record (or of damage that was there before us).  Whatever
        goes wrong, what follows `end` is settled before the next record is written: whole records are kept, a
        torn tail is cut off, anything else stays and is stepped over to the next block.
Rule 3: the fast path is paid in every `log()` call; everything unusual lives in `_write_slowly`.

Locking is the caller's business, and so is a fork: a child must not write to its parent's log.
"""

from __future__ import annotations

import errno
import os
from typing import List, Optional, Sequence, Tuple, Union
from zlib import crc32

from wandb.errors import BadFileHeader, LogError, LogWriteError, RecordTooLarge
from wandb.transaction_log.format import (
    BLOCK_BYTES,
    CHUNK_HEADER,
    CHUNK_HEADER_BYTES,
    FILE_HEADER,
    FIRST,
    FULL,
    LAST,
    MAX_RECORD_BYTES,
    MIDDLE,
)

# A checksum begins with the kind: what crc32 makes of that is known beforehand.
_SEEDS = {kind: crc32(bytes([kind])) for kind in (FULL, FIRST, MIDDLE, LAST)}
_FULL_SEED = _SEEDS[FULL]
_UNSETTLED = -BLOCK_BYTES  # in place of the room in a block: look at the file before you write
_SCAN_BYTES = 256 * 1024

_pack = CHUNK_HEADER.pack
_write = os.write


class Writer:
    """Writes one log; made by `create` or `append_to`.

    Not safe for threads.  Opened with O_APPEND: should a second writer come, against all rules, then each
    one's records land behind the other's and not on them (see FORMAT.md, "Writing").

    Attributes:
        path: The file.
        end: The end of the last whole record, in bytes from the start of the file.
    """

    __slots__ = ("path", "end", "_fd", "_room", "_unsynced_directories")

    def __init__(self, path: str, fd: int, end: int) -> None:
        """Use `create` or `append_to`.  `fd`: open to read and append; all before `end` is settled."""
        self.path = path
        self.end = end
        self._fd = fd
        self._room = _UNSETTLED  # bytes of data that a FULL chunk could still hold in this block
        self._unsynced_directories: Tuple[str, ...] = (os.path.dirname(path) or ".",)

    @classmethod
    def create(cls, path: str | os.PathLike[str], directories: Sequence[str] = ()) -> "Writer":
        """Start a new log.

        Args:
            directories: What has new entries too, besides the directory of the file, for the first `sync`.

        Raises:
            LogWriteError: the file exists, or cannot be made; none is left behind.
        """
        path = os.fspath(path)
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o666)
        except FileExistsError:
            raise LogWriteError(f"{path}: exists already; a new log never replaces one") from None
        except OSError as error:
            raise LogWriteError(f"{path}: cannot be created: {error.strerror}") from error
        writer = cls(path, fd, 0)
        writer._unsynced_directories += tuple(directories)
        try:
            writer._append(FILE_HEADER)
        except OSError as error:
            os.close(fd)
            os.unlink(path)
            raise LogWriteError(f"{path}: cannot be written: {error.strerror}", hint=_hint(error)) from error
        writer._move_to(len(FILE_HEADER))
        return writer

    @classmethod
    def append_to(cls, path: str | os.PathLike[str]) -> "Writer":
        """Go on with an existing log, behind its last whole record.

        The log is read from its start (some 200 MB/s).  A torn tail is cut off.  Damage is left as it is, and
        if it reaches to the end of the file, the next record begins in the next block.

        Raises:
            BadFileHeader: the file is not a log; it was not changed.
            LogWriteError: the file is not there, or cannot be read or written.
        """
        path = os.fspath(path)
        try:
            fd = os.open(path, os.O_RDWR | os.O_APPEND)
        except OSError as error:
            raise LogWriteError(f"{path}: cannot be opened to append: {error.strerror}") from error
        writer = cls(path, fd, 0)
        try:
            writer._settle()
        except BadFileHeader as error:
            os.close(fd)
            raise BadFileHeader(f"{path}: {error.message}", hint=error.hint) from None
        except BaseException:
            os.close(fd)
            raise
        return writer

    def write(self, payload: bytes) -> int:
        """Append one record, and return its end: the offset one past its last byte.

        The record is in the operating system's hands when this returns: it survives a crash of the process,
        and one of the machine after `sync()`.

        Args:
            payload: a serialized protobuf `Record`, of 1 to MAX_RECORD_BYTES bytes.

        Raises:
            RecordTooLarge: nothing was written.
            LogError: the record is empty, or the log is closed; nothing was written.
            LogWriteError: the disk is full, gone or read-only.  The log ends at its last whole record and
                stays readable; a later call may succeed.
        """
        length = len(payload)
        room = self._room
        if not 0 < length <= room:
            return self._write_slowly(payload)
        chunk = _pack(crc32(payload, _FULL_SEED), length, FULL) + payload
        self._room = (
            _UNSETTLED  # should a signal handler raise between here and the end, the next call finds this
        )
        try:
            written = _write(self._fd, chunk)
        except OSError as error:
            raise self._failed(error) from error
        n_bytes = len(chunk)
        if written != n_bytes:
            self._finish(chunk, written)
        self.end = end = self.end + n_bytes
        self._room = room - n_bytes
        return end

    def sync(self) -> None:
        """Wait until everything written is on the disk, and the file's name in its directory too.

        May be called beside `write`, from another thread, as long as nobody closes the log meanwhile.

        Raises:
            LogWriteError: the disk refused; what was written since the last good `sync` may be lost with the
            machine. LogError: the log is closed.
        """
        self._check_open()
        try:
            if self._is_gone():
                self._room = _UNSETTLED  # the next write finds out for itself
                raise OSError(errno.ENOENT, "the file was removed")
            getattr(os, "fdatasync", os.fsync)(self._fd)  # macOS has no fdatasync
            if self._unsynced_directories:
                for directory in self._unsynced_directories:
                    sync_directory(directory)
                self._unsynced_directories = ()
        except OSError as error:
            raise LogWriteError(
                f"{self.path}: cannot be synced: {error.strerror}", hint=_hint(error)
            ) from error

    def close(self) -> None:
        """Close the file; twice does no harm.  Nothing is buffered here, so nothing needs flushing.

        Raises:
            LogWriteError: a network file system reported a late failure; the file is closed all the same.
        """
        fd, self._fd = self._fd, -1
        self._room = _UNSETTLED
        if fd >= 0:
            try:
                os.close(fd)
            except OSError as error:
                raise LogWriteError(f"{self.path}: failed on closing: {error.strerror}") from error

    def _write_slowly(self, payload: bytes) -> int:
        """Write what does not fit into this block, and find out where we are if that is in doubt."""
        self._check_open()
        check_size(payload)
        try:
            # Once in a block we look whether the file is there, and ends where we think; with a second
            # writer it does not.
            status = os.fstat(self._fd)
            if self._room == _UNSETTLED or status.st_size != self.end or not status.st_nlink:
                self._room = _UNSETTLED
                self._settle()
            chunks = frame(payload, self.end)
            self._room = _UNSETTLED
            self._append(chunks)
        except OSError as error:
            raise self._failed(error) from error
        self._move_to(self.end + len(chunks))
        return self.end

    def _finish(self, chunk: bytes, written: int) -> None:
        """Write the rest of a chunk of which the kernel took only `written` bytes, or learn why not."""
        try:
            self._append(chunk[written:])
        except OSError as error:
            raise self._failed(error) from error

    def _append(self, data: bytes) -> None:
        written = _write(self._fd, data)
        while written < len(data):
            data = data[written:]
            written = _write(self._fd, data)

    def _failed(self, error: OSError) -> LogWriteError:
        """Take back what a failed write left, and return the error to raise."""
        try:
            self._settle()
        except LogError:
            pass  # `_room` is _UNSETTLED: the next write tries again
        return LogWriteError(
            f"{self.path}: a record was not written at byte {self.end}: {error.strerror}", hint=_hint(error)
        )

    def _settle(self) -> None:
        """Look at what follows `end`, and move `end` behind it (Rule 2).

        Raises:
            BadFileHeader: the file is not a log.
            LogWriteError: the file cannot be read or written; `end` is where it was.
        """
        from wandb.transaction_log.parser import Parser  # not needed by a run that meets with no trouble

        self._room = _UNSETTLED  # should this fail, the next write comes here again
        try:
            if self._is_gone():
                self._reopen()
            was_cut = os.lseek(self._fd, 0, os.SEEK_END) < self.end  # by somebody else; then trust nothing
            n_bytes = 0 if was_cut else self.end
            parser = Parser(n_bytes)
            while True:
                piece = os.pread(self._fd, _SCAN_BYTES, n_bytes)
                if not piece:
                    break
                n_bytes += len(piece)
                parser.feed(piece)
                for _ in parser.events():
                    pass
            end = parser.position
            torn = parser.loss_at_end() is None
            if n_bytes > end:
                end = self._cut(end, n_bytes) if torn else self._step_over(n_bytes)
            if end == 0:
                self._append(FILE_HEADER)
                end = len(FILE_HEADER)
        except OSError as error:
            raise LogWriteError(
                f"{self.path}: cannot be continued behind byte {self.end}: {error.strerror}",
                hint=_hint(error),
            ) from error
        self._move_to(end)

    def _is_gone(self) -> bool:
        """Whether what we have open is no file in a directory any more."""
        try:
            return os.fstat(self._fd).st_nlink == 0
        except OSError as error:
            if error.errno == errno.ESTALE:
                return True
            raise

    def _reopen(self) -> None:
        """Go on with the file that is at our path now, in place of the one that is gone.

        A file server that was restarted may have it again, or the user has put a copy back.  What is not
        there is not made anew: whoever removed a run does not want it back.  Nor is a file continued that
        lacks some of what ours had: the log would have a hole that nobody knows of.

        Raises:
            OSError: There is no such file (yet); nothing has changed.
        """
        fd = os.open(self.path, os.O_RDWR | os.O_APPEND)
        if os.fstat(fd).st_size < self.end:
            os.close(fd)
            raise OSError(errno.ENOENT, "the file in its place lacks what was written already")
        gone, self._fd = self._fd, fd
        self._unsynced_directories = (os.path.dirname(self.path) or ".",)
        try:
            os.close(gone)
        except OSError:
            pass  # nobody can get at it any more

    def _cut(self, end: int, n_bytes: int) -> int:
        """Cut a torn tail off; where the file system refuses that, step over it.  Returns where to go on."""
        try:
            os.ftruncate(self._fd, end)
        except OSError:
            if end == 0:
                raise
            return self._step_over(n_bytes)
        return end

    def _step_over(self, n_bytes: int) -> int:
        """Fill the last block of a file of `n_bytes` with zeros; return where the next one begins."""
        padding = -n_bytes % BLOCK_BYTES
        if padding:
            self._append(bytes(padding))
        return n_bytes + padding

    def _move_to(self, end: int) -> None:
        self.end = end
        self._room = BLOCK_BYTES - end % BLOCK_BYTES - CHUNK_HEADER_BYTES

    def _check_open(self) -> None:
        if self._fd < 0:
            raise LogError(f"{self.path}: the log is closed; nothing was written")


def check_size(payload: bytes) -> None:
    """Refuse what no log can hold.

    Raises:
        RecordTooLarge: It has more than MAX_RECORD_BYTES.
        LogError: It is empty.
    """
    if not payload:
        raise LogError("an empty record was not written", hint="the real client's sync cannot read one")
    if len(payload) > MAX_RECORD_BYTES:
        raise RecordTooLarge(
            f"a record of {len(payload)} bytes was not written; the limit is {MAX_RECORD_BYTES}",
            hint="store large data as a file or an artifact",
        )


def frame(payload: bytes, offset: int) -> bytes:
    """Return the bytes that make `payload` a record at `offset`: a trailer if one is due, then its chunks."""
    parts: List[Union[bytes, memoryview]] = []
    rest = memoryview(payload)
    kind = FIRST
    while True:
        room = BLOCK_BYTES - offset % BLOCK_BYTES - CHUNK_HEADER_BYTES
        if room < 0:
            room += CHUNK_HEADER_BYTES
            parts.append(bytes(room))
            offset += room
            continue
        data, rest = rest[:room], rest[room:]
        if not rest:
            kind = FULL if kind == FIRST else LAST
        parts += [_pack(crc32(data, _SEEDS[kind]), len(data), kind), data]
        offset += CHUNK_HEADER_BYTES + len(data)
        if not rest:
            return b"".join(parts)
        kind = MIDDLE


def sync_directory(path: str) -> None:
    """Make the names in a directory survive a power cut, if that can be done.  Raises OSError."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except (FileNotFoundError, PermissionError):
        return  # it was moved, and the file with it; or we may write into it and not look
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network file systems know no such thing
            raise
    finally:
        os.close(fd)


def _hint(error: OSError) -> Optional[str]:
    return {
        errno.ENOSPC: "the disk is full: free some space; recording goes on by itself then",
        errno.EDQUOT: "your disk quota is used up: free some space; recording goes on by itself then",
        errno.EFBIG: "the size limit for files is reached (ulimit -f)",
        errno.EROFS: "the file system is read-only",
        errno.ESTALE: "the file was removed or moved on its file server",
        errno.ENOENT: "the log was removed; it is not made anew",
    }.get(error.errno or 0)
