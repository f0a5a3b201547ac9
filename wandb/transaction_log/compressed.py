"""The compressed form of a log: `run-<id>.wandb.zst`.  Spec: schema/log/FORMAT.md, "The compressed form".

    file  := frame* table        each frame a zstd frame of FRAME_BYTES of the log, the last one of fewer
    table := 184d2a5e size { compressed u32, plain u32 }* n_frames u32, 00, 8f92eab1
             a skippable frame of zstd's seekable format: `zstd -d` passes over it

Rule 1: offsets are those of the plain log.  Nobody above this module knows that there is another form.
Rule 2: what is in the file never raises, except that it is no compressed log at all.  A frame that cannot be
        unpacked reads as bytes FF, in which the parser finds a loss at each block; so the damage is counted
        like any other, and no record is made up.
Rule 3: memory is bounded whatever the file says: sizes are compared with what a frame may hold before
        anything is unpacked, and two unpacked frames are kept.
"""

from __future__ import annotations

import os
from array import array
from struct import Struct, error as StructError
from typing import Any, Dict, Iterable, Iterator, List, Optional, Tuple

from wandb.errors import BadFileHeader, PackageMissing
from wandb.transaction_log.format import CHUNK_HEADER_BYTES, FILE_HEADER, FRAME_BYTES

LEVEL = (
    9  # measured on rows of 10 numbers: 27 % of the bytes at 50 MB/s; 3 gives 29 % at 125, 15 gives 26 at 14
)
MAX_FRAMES = 1 << 22  # 2 TiB of log: the bound of a reader's memory, at 8 bytes each
MAX_FRAME_PACKED_BYTES = FRAME_BYTES + FRAME_BYTES // 128 + 1024  # zstd's worst case, and some
MIN_FRAME_PACKED_BYTES = 10  # the headers of a frame and a block, and a byte
MAX_WINDOW_BYTES = 2 * FRAME_BYTES
FRAMES_KEPT = 2

_FRAME_MAGIC = 0xFD2FB528
_TABLE_MAGIC = 0x184D2A5E  # of the skippable frame that the table is
_SEEKABLE_MAGIC = 0x8F92EAB1
_HAS_CHECKSUMS = 0x80
_FRAME_BLOCKS = 1024  # of zstd's, in one frame; it makes some ten
_U32 = Struct("<I")
_ENTRY = Struct("<II")
_TABLE_HEAD = Struct("<II")
_TABLE_FOOT = Struct("<IBI")
_DAMAGED = b"\xff"


class CompressedFile:
    """A compressed log, read as if it were plain.  It never changes.

    Attributes:
        path: The file.
        n_damaged: How many frames could not be unpacked, of those that were read.
    """

    __slots__ = ("path", "n_damaged", "_file", "_zstd", "_starts", "_n_bytes", "_kept")

    def __init__(self, path: str) -> None:
        """Open it, and find out where its frames are.

        Raises:
            OSError: It cannot be read.
            BadFileHeader: It is no log that `wandb compact` has made.
            PackageMissing: zstandard is not installed.
        """
        self.path = path
        self.n_damaged = 0
        self._zstd = _zstandard(path)
        self._kept: Dict[int, bytes] = {}
        self._file = open(path, "rb", buffering=0)
        try:
            found = self._read_table()
            self._starts, self._n_bytes = found if found is not None else self._walk()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> "CompressedFile":
        return self

    def __exit__(self, *details: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; twice does no harm."""
        self._file.close()
        self._kept.clear()

    def size(self) -> int:
        """Return how many bytes the plain log has."""
        return self._n_bytes

    def stamp(self) -> Tuple[int, int]:
        """Return what stays the same as long as nobody writes: that is for ever."""
        return self._n_bytes, 0

    def read_at(self, offset: int, n_bytes: int) -> bytes:
        """Return up to `n_bytes` of the plain log from `offset` on; fewer than that only at the end of it."""
        end = min(offset + n_bytes, self._n_bytes)
        pieces: List[bytes] = []
        while offset < end:
            number, begin = divmod(offset, FRAME_BYTES)
            piece = self._frame(number)[begin : begin + end - offset]
            pieces.append(piece)
            offset += len(piece)
        return b"".join(pieces)

    def _frame(self, number: int) -> bytes:
        """Return what a frame holds, or as many bytes FF."""
        data = self._kept.get(number)
        if data is None:
            n_bytes = min(FRAME_BYTES, self._n_bytes - number * FRAME_BYTES)
            data = self._unpacked(number, n_bytes)
            if data is None:
                self.n_damaged += 1
                # Only logs are compressed, so the header is known; without it no frame could be read.
                head = FILE_HEADER if number == 0 else b""
                data = (head + _DAMAGED * n_bytes)[:n_bytes]
            while len(self._kept) >= FRAMES_KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[number] = data
        return data

    def _unpacked(self, number: int, n_bytes: int) -> Optional[bytes]:
        if number + 1 >= len(self._starts):
            return None
        start, stop = self._starts[number], self._starts[number + 1]
        if stop - start > MAX_FRAME_PACKED_BYTES:
            return None
        packed = self._read(start, stop - start)
        try:
            if self._zstd.get_frame_parameters(packed).content_size != n_bytes:
                return None
            unpack = self._zstd.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES)
            data: bytes = unpack.decompress(packed, max_output_size=n_bytes)
        except self._zstd.ZstdError:
            return None
        return data if len(data) == n_bytes else None

    def _read(self, offset: int, n_bytes: int) -> bytes:
        return os.pread(self._file.fileno(), n_bytes, offset)

    # ---- where the frames are

    def _read_table(self) -> Optional[Tuple["array[int]", int]]:
        """Return where each frame begins (and the last one ends) and the log's size; None: not said."""
        file_bytes = os.fstat(self._file.fileno()).st_size
        foot_at = file_bytes - _TABLE_FOOT.size
        foot = self._read(foot_at, _TABLE_FOOT.size) if foot_at >= 0 else b""
        if len(foot) < _TABLE_FOOT.size:
            return None
        n_frames, flags, magic = _TABLE_FOOT.unpack(foot)
        entry_bytes = _ENTRY.size + 4 * bool(flags & _HAS_CHECKSUMS)
        head_at = foot_at - n_frames * entry_bytes - _TABLE_HEAD.size
        if magic != _SEEKABLE_MAGIC or not 0 < n_frames <= MAX_FRAMES or head_at < 0:
            return None
        head = _TABLE_HEAD.unpack(self._read(head_at, _TABLE_HEAD.size))
        if head != (_TABLE_MAGIC, file_bytes - head_at - _TABLE_HEAD.size):
            return None
        starts, at, n_bytes = array("Q"), 0, 0
        table = self._read(head_at + _TABLE_HEAD.size, n_frames * entry_bytes)
        for number in range(n_frames):
            packed_bytes, plain_bytes = _ENTRY.unpack_from(table, number * entry_bytes)
            is_last = number == n_frames - 1
            if packed_bytes < MIN_FRAME_PACKED_BYTES:
                return None
            if not (0 < plain_bytes <= FRAME_BYTES if is_last else plain_bytes == FRAME_BYTES):
                return None
            starts.append(at)
            at += packed_bytes
            n_bytes += plain_bytes
        starts.append(at)
        return (starts, n_bytes) if at == head_at else None

    def _walk(self) -> Tuple["array[int]", int]:
        """Find the frames one behind the other, in a file whose table is damaged or cut off.

        Where it cannot be said what was there, the log ends with a header of bytes FF: something is missing.
        """
        starts, at, n_bytes = array("Q"), 0, 0
        while len(starts) < MAX_FRAMES:
            found = self._frame_at(at)
            if found is None:
                break
            stop, plain_bytes = found
            starts.append(at)
            at = stop
            n_bytes += plain_bytes
            if plain_bytes < FRAME_BYTES:
                break
        if not starts:
            raise BadFileHeader(
                f"{self.path}: not a log that `wandb compact` has compressed",
                hint="if another tool has compressed it, unpack it with that; for zstd: zstd -d",
            )
        starts.append(at)
        if n_bytes % FRAME_BYTES == 0 and self._read(at, _U32.size) != _U32.pack(_TABLE_MAGIC):
            n_bytes += CHUNK_HEADER_BYTES
        return starts, n_bytes

    def _frame_at(self, at: int) -> Optional[Tuple[int, int]]:
        """Return where the frame at `at` ends and what it holds, by its headers; None if none begins there.

        Of one that is cut off, it is the end of the file.
        """
        head = self._read(at, 18)
        try:
            (magic,) = _U32.unpack_from(head)
            flags = head[4]
            is_single, has_checksum = bool(flags & 0x20), bool(flags & 0x04)
            size_at = 5 + (not is_single) + (0, 1, 2, 4)[flags & 3]
            size_bytes = (int(is_single), 2, 4, 8)[flags >> 6]
            plain = int.from_bytes(head[size_at : size_at + size_bytes], "little") + 256 * (size_bytes == 2)
        except (StructError, IndexError):
            return None
        if magic != _FRAME_MAGIC or not 0 < plain <= FRAME_BYTES:
            return None
        file_bytes = os.fstat(self._file.fileno()).st_size
        stop = at + size_at + size_bytes
        for _ in range(_FRAME_BLOCKS):
            block = int.from_bytes(self._read(stop, 3), "little")
            is_last, kind, n_bytes = block & 1, block >> 1 & 3, block >> 3
            stop += 3 + (1 if kind == 1 else n_bytes)
            if stop >= file_bytes:
                return file_bytes, plain
            if is_last:
                break
        return min(stop + 4 * has_checksum, file_bytes), plain


def packed(pieces: Iterable[bytes], path: str, level: int = LEVEL) -> Iterator[bytes]:
    """Yield the compressed form of a log.

    Args:
        pieces: The log, FRAME_BYTES at a time; the last one may be shorter.
        path: Of the log, for an error.

    Raises:
        PackageMissing: zstandard is not installed.
    """
    compressor = _zstandard(path).ZstdCompressor(level=level, write_checksum=True, write_content_size=True)
    entries: List[bytes] = []
    for piece in pieces:
        frame = compressor.compress(piece)
        entries.append(_ENTRY.pack(len(frame), len(piece)))
        yield frame
    table = b"".join(entries) + _TABLE_FOOT.pack(len(entries), 0, _SEEKABLE_MAGIC)
    yield _TABLE_HEAD.pack(_TABLE_MAGIC, len(table)) + table


def _zstandard(path: str) -> Any:
    """Return the module, which is loaded here and nowhere else (decision 0012)."""
    try:
        import zstandard
    except ImportError:
        raise PackageMissing(
            f"{path}: the package zstandard is needed for compressed logs, and is not installed",
            hint="pip install zstandard; or unpack the log: zstd -d --rm run-*.wandb.zst",
        ) from None
    return zstandard
