"""Files of a run in one tar, for file systems with few inodes: `run-<id>.files.tar` beside the log.

A tar because it can be appended to, says where each file is without an index at the end that a kill would
cost, and every machine can unpack it: `tar -xf run-*.files.tar -C files`.

Rule 1: a file is in it whole or not at all: what a failed write left is cut off.  The end that a kill left is
        for readers to pass over: a member counts if all its bytes are there.
Rule 2: of members of one name the last one counts, as for `tar`.
"""

from __future__ import annotations

import os
from _thread import RLock  # a signal handler that finishes the run may have broken into `add`
from io import BytesIO
from time import time
from typing import BinaryIO

SUFFIX = ".files.tar"
BLOCK_BYTES = 512
_PIECE_BYTES = 1 << 20


def path_of(log: str) -> str:
    """Return the bundle that belongs to a log."""
    return (log[: -len(".wandb")] if log.endswith(".wandb") else log) + SUFFIX


class FileBundle:
    """Appends to one bundle; its file is made when the first member comes."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._fd = -1
        self._end = 0  # of the last whole member
        self._is_ragged = False  # more than that may be there
        self._lock = RLock()

    def add(self, name: str, source: str) -> None:
        """Append the content that `source` has now.

        Args:
            name: Relative to the run's files.

        Raises:
            OSError: It could not be read or written; the bundle is as it was.
        """
        with open(source, "rb") as file:
            status = os.fstat(file.fileno())
            self.add_open(name, file, status.st_size, status.st_mtime)

    def add_content(self, name: str, content: bytes) -> None:
        """As `add`, with what the member is to hold."""
        self.add_open(name, BytesIO(content), len(content), time())

    def add_open(self, name: str, file: BinaryIO, size: int, mtime_s: float) -> None:
        """As `add`, with the next `size` bytes of an open file."""
        from tarfile import PAX_FORMAT, TarInfo  # 20 ms; who bundles has many files

        member = TarInfo(name.replace(os.sep, "/"))
        member.size, member.mtime, member.mode = size, int(mtime_s), 0o644
        head = member.tobuf(PAX_FORMAT, "utf-8", "surrogateescape")
        with self._lock:
            if self._fd < 0:
                self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o666)
            self._cut_off()
            self._is_ragged = True
            try:
                self._write(head)
                left = size
                while left:
                    piece = file.read(min(left, _PIECE_BYTES))
                    if not piece:
                        raise OSError(0, f"{name} became shorter while it was read")
                    self._write(piece)
                    left -= len(piece)
                self._write(bytes(-size % BLOCK_BYTES))
            except BaseException:
                self._cut_off()
                raise
            self._end += len(head) + size + -size % BLOCK_BYTES
            self._is_ragged = False

    def close(self) -> None:
        """End the tar; twice does no harm."""
        with self._lock:
            if self._fd < 0:
                return
            try:
                self._cut_off()
                os.write(self._fd, bytes(2 * BLOCK_BYTES))
            finally:
                fd, self._fd = self._fd, -1
                os.close(fd)

    def _cut_off(self) -> None:
        """Remove what a write left that did not come to its end."""
        if self._is_ragged:
            os.ftruncate(self._fd, self._end)
            self._is_ragged = False

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._fd, rest) :]
