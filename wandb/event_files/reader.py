"""Event files as bytes: records with two checksums, from a file that somebody may be writing.

    record := length  masked(crc32c(length))  data  masked(crc32c(data))       little endian
              u64     u32                      ...   u32

That is TensorFlow's TFRecord, as `tensorboard/summary/writer/record_writer.py` writes it.  The checksums are
computed in Python: so do TensorBoard's own writer and tensorboardX's, byte for byte.
"""

from __future__ import annotations

import os
import stat
import struct
from typing import Iterator, List, Optional, Tuple

MAX_RECORD_BYTES = 256 << 20  # more is taken for damage; it bounds the memory that a hostile file costs
READ_BYTES = 1 << 20
_HEAD = struct.Struct("<QI")
_CRC = struct.Struct("<I")


def _table() -> List[int]:
    table = []
    for number in range(256):
        for _ in range(8):
            number = number >> 1 ^ (0x82F63B78 if number & 1 else 0)
        table.append(number)
    return table


_TABLE = _table()


def masked_crc32c(data: bytes) -> int:
    """Return the checksum of `data` as it stands in the file."""
    crc = 0xFFFFFFFF
    table = _TABLE
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


class EventFile:
    """Reads one file from its beginning, as far as it goes, again and again.

    Attributes:
        end: Where the last record that was read ends, in bytes.
        n_damaged: Records whose content is not what was written; they were passed over.
        is_damaged: Whether reading cannot go on: the length of a record is not what was written.
    """

    __slots__ = ("path", "end", "n_damaged", "is_damaged", "_seen")

    def __init__(self, path: str) -> None:
        self.path = path
        self.end = 0
        self.n_damaged = 0
        self.is_damaged = False
        self._seen: Optional[Tuple[int, int]] = None

    def records(self) -> Iterator[bytes]:
        """Yield the records that have come since the last call.  A record that is not whole comes later."""
        try:
            status = os.stat(self.path)
            if not stat.S_ISREG(status.st_mode):  # a pipe would hold us
                return
            if (status.st_size, status.st_mtime_ns) == self._seen:
                return
            with open(self.path, "rb") as file:
                yield from self._records(file.fileno(), status.st_size)
        except OSError:  # gone, or not reachable at this moment
            return
        self._seen = (status.st_size, status.st_mtime_ns)

    def _records(self, fd: int, size: int) -> Iterator[bytes]:
        self.is_damaged = False  # a page may have arrived since that was not there before
        buffer, begin = b"", self.end
        while True:
            at = self.end - begin
            head = buffer[at : at + _HEAD.size]
            length = _HEAD.unpack(head)[0] if len(head) == _HEAD.size else 0
            if len(head) == _HEAD.size and not _is_head(head):
                self.is_damaged = True
                return
            n_bytes = _HEAD.size + length + _CRC.size
            if len(buffer) - at < n_bytes:
                if self.end + n_bytes > size:
                    return
                begin = self.end
                buffer = _read(fd, max(n_bytes, READ_BYTES), begin)
                if len(buffer) < n_bytes:
                    return
                continue
            data = buffer[at + _HEAD.size : at + n_bytes - _CRC.size]
            (checksum,) = _CRC.unpack_from(buffer, at + n_bytes - _CRC.size)
            if masked_crc32c(data) != checksum:
                follower = _read(fd, _HEAD.size, self.end + n_bytes)
                if not _is_head(follower):
                    return  # it may not be written to its end yet
                self.n_damaged += 1
                self.end += n_bytes
                continue
            self.end += n_bytes
            yield data


def _is_head(head: bytes) -> bool:
    """Say whether these bytes are a length that can be trusted."""
    if len(head) < _HEAD.size:
        return False
    length, checksum = _HEAD.unpack(head)
    return bool(length <= MAX_RECORD_BYTES and masked_crc32c(head[:8]) == checksum)


def _read(fd: int, n_bytes: int, offset: int) -> bytes:
    pieces = []
    while n_bytes:
        piece = os.pread(fd, n_bytes, offset)
        if not piece:
            break
        pieces.append(piece)
        n_bytes -= len(piece)
        offset += len(piece)
    return b"".join(pieces)
