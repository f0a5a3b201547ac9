"""A closed log -> its compressed form, and back, each in place of the other.

Rule 1: at every moment, also of a power cut, one whole form is there under its name.  The other one is
        written under a name of its own, synced, read again and compared byte by byte, and renamed; only when
        that is on the disk too is the first one removed.
Rule 2: doing it again finishes what was cut short, and does no harm where nothing was.
Rule 3: whether the log is closed is the caller's business.  A file that is written to meanwhile is left
        alone, if that can be seen.
"""

from __future__ import annotations

import glob
import os
from contextlib import contextmanager, suppress
from typing import Iterable, Iterator, NamedTuple

from wandb.errors import BadFileHeader, LogError, LogWriteError
from wandb.transaction_log.compressed import LEVEL, CompressedFile, packed
from wandb.transaction_log.format import COMPRESSED_SUFFIX, FILE_HEADER, FRAME_BYTES
from wandb.transaction_log.log_file import LogFile, PathLike, PlainFile, open_log, plain_name
from wandb.transaction_log.writer import sync_directory

UNFINISHED = ".unfinished"  # behind a name and a process id: what a kill may leave


class Sizes(NamedTuple):
    """What became of a log.

    Attributes:
        before, after: Bytes of its file, then and now.
        is_done: Whether it has another form now; False if it would not have become smaller.
    """

    before: int
    after: int
    is_done: bool = True


def compress(path: PathLike, level: int = LEVEL) -> Sizes:
    """Put the compressed form in the place of a plain log that nobody writes any more.

    Time of change, mode and owner stay those of the log.  One that would not become smaller stays as it is.

    Raises:
        BadFileHeader: It is no log.
        LogError: It has changed meanwhile, or zstandard is not installed.
        LogWriteError: The disk refused.  Whatever is raised, the log is as it was.
    """
    plain = os.fspath(path)
    target = plain + COMPRESSED_SUFFIX
    with _naming(f"{plain}: was not compressed"), PlainFile(plain) as log:
        stamp = log.stamp()
        before = log.size()
        if log.read_at(0, len(FILE_HEADER)) != FILE_HEADER:
            raise BadFileHeader(f"{plain}: not a .wandb log")
        if not os.path.exists(target):
            with _written(target, packed(_pieces(log), plain, level), plain) as unfinished:
                if os.path.getsize(unfinished) >= before:
                    return Sizes(before, before, is_done=False)
                with CompressedFile(unfinished) as copy:
                    _compare(log, copy, "what was written is not what was to be written; it stays as it is")
                os.replace(unfinished, target)
                sync_directory(os.path.dirname(target) or ".")
        else:
            _compare_existing(log, target)
        with PlainFile(plain) as now:
            if now.stamp() != stamp:
                os.unlink(target)
                raise LogError(f"{plain}: somebody writes to it; it was not compressed")
        _remove(plain)
        return Sizes(before, os.path.getsize(target))


def decompress(path: PathLike) -> Sizes:
    """Put the plain form in the place of a compressed log.

    Raises:
        BadFileHeader: It is no compressed log of ours.
        LogError: A part of it is damaged: that costs the least where it is, for readers pass over it.
        LogWriteError: The disk refused.  Whatever is raised, the log is as it was.
    """
    compressed = os.fspath(path)
    target = plain_name(compressed)
    with _naming(f"{compressed}: was not decompressed"), CompressedFile(compressed) as log:
        if not os.path.exists(target):
            with _written(target, _pieces(log), compressed) as unfinished:
                if log.n_damaged:
                    raise LogError(
                        f"{compressed}: {log.n_damaged} parts of it are damaged; it stays as it is"
                    )
                with PlainFile(unfinished) as copy:
                    _compare(log, copy, "what was written is not what was to be written; it stays as it is")
                os.replace(unfinished, target)
                sync_directory(os.path.dirname(target) or ".")
        else:
            _compare_existing(log, target)
        before = os.path.getsize(compressed)
        _remove(compressed)
        return Sizes(before, log.size())


def remove_unfinished(path: PathLike) -> None:
    """Remove what somebody who was killed has left at this log; for who knows that nobody is at it."""
    for left in glob.glob(f"{glob.escape(plain_name(path))}*{UNFINISHED}"):
        with suppress(OSError):
            os.unlink(left)


def _pieces(log: LogFile) -> Iterator[bytes]:
    """Yield a log in pieces of FRAME_BYTES."""
    for offset in range(0, log.size(), FRAME_BYTES):
        yield log.read_at(offset, FRAME_BYTES)


@contextmanager
def _naming(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LogWriteError(f"{what}: {error.strerror}") from error


@contextmanager
def _written(target: str, pieces: Iterable[bytes], original: str) -> Iterator[str]:
    """Write a file beside its target, with the time and the rights of the original, and give its name.

    It is on the disk then.  It is gone afterwards, unless it was renamed.
    """
    unfinished = f"{target}.{os.getpid()}{UNFINISHED}"
    like = os.stat(original)
    try:
        with open(unfinished, "wb") as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            with suppress(OSError):  # the owner may be another one, and we not root
                os.fchown(file.fileno(), like.st_uid, like.st_gid)
            with suppress(OSError):
                os.fchmod(file.fileno(), like.st_mode & 0o7777)
            os.utime(file.fileno(), ns=(like.st_atime_ns, like.st_mtime_ns))
            os.fsync(file.fileno())
        yield unfinished
    finally:
        with suppress(OSError):
            os.unlink(unfinished)


def _compare(log: LogFile, other: LogFile, otherwise: str) -> None:
    """Raises LogError unless both hold the same bytes."""
    is_same = log.size() == other.size()
    for offset in range(0, log.size(), FRAME_BYTES):
        is_same = is_same and log.read_at(offset, FRAME_BYTES) == other.read_at(offset, FRAME_BYTES)
    if not is_same or any(isinstance(form, CompressedFile) and form.n_damaged for form in (log, other)):
        raise LogError(f"{log.path}: {otherwise}")


def _compare_existing(log: LogFile, path: str) -> None:
    """Compare with the other form, which is there already: somebody was killed before he removed this one."""
    with open_log(path) as other:
        _compare(log, other, f"differs from {os.path.basename(path)}; move the one that is wrong away")


def _remove(path: str) -> None:
    with suppress(FileNotFoundError):  # somebody else has done the same
        os.unlink(path)
    sync_directory(os.path.dirname(path) or ".")
