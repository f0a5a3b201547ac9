"""Log bytes -> records, without doing any I/O.  Spec: schema/log/FORMAT.md.

Rule 1: damage is an event, never an exception; a reader outlives a bad disk.
Rule 2: nothing here waits.  NEED_DATA means "the writer may still be at it".
Rule 3: the events do not depend on how the bytes were cut up on the way in.
Rule 4: after an event the parser remembers nothing but its position: `Parser(offset=event.end)` goes on with
        the same events.  That is why a checkpoint is one number.
Rule 5: bytes that failed a check are not searched for records.  A record may hold the bytes of another log.
"""

from __future__ import annotations

from typing import Iterator, List, NamedTuple, Optional, Tuple, Union, cast
from zlib import crc32

from wandb.errors import BadFileHeader
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


class Record(NamedTuple):
    """One whole record.

    Attributes:
        offset: Bytes from the start of the file to its first chunk.
        end: One past its last byte: where a checkpoint may stand.
        payload: What was written: one serialized protobuf `Record`.
    """

    offset: int
    end: int
    payload: bytes


class JoinedRecord(Record):
    """One that was put together from chunks: whoever reads a file that others cut has to know."""

    __slots__ = ()


class Lost(NamedTuple):
    """A piece of the log that holds no readable record although it should.

    Attributes:
        offset: Where the loss begins: the first chunk of the record that was hit.
        n_bytes: How much of the file is given up.
        reason: One of the constants below.
    """

    offset: int
    n_bytes: int
    reason: str

    @property
    def end(self) -> int:
        """Where reading goes on."""
        return self.offset + self.n_bytes


class NeedData:
    """The type of NEED_DATA, which is no damage: there is nothing (whole) to hand out yet."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "NEED_DATA"


NEED_DATA = NeedData()
Event = Union[Record, Lost]

# Reasons of a loss.  They are part of the golden vectors and of `--json` output: words to keep.
CHECKSUM = "checksum"  # the bytes are not those that were written; the rest of the block is given up
LENGTH = "length"  # a chunk longer than its block; the rest of the block is given up
ZEROS = "zeros"  # a hole with data behind it
UNFINISHED = "unfinished"  # a record whose last chunks are missing, with other records behind it
NO_BEGINNING = "no beginning"  # the later chunks of a record whose first one is missing
KIND = "kind"  # a sound chunk of a kind that we do not know; only it is given up
TOO_LARGE = "too large"  # a record above MAX_RECORD_BYTES
_TORN = "torn"  # never in an event: the chunk at the end is not whole (yet)

_FULL_SEED = crc32(bytes([FULL]))


class Parser:
    """A log's bytes in, its records and losses out.

    Memory: what was fed and not taken out yet, one block, and one record of at most MAX_RECORD_BYTES, however
    small its chunks are.

    Attributes:
        position: The end of the last event: where another parser would go on.  What follows is the tail.
        came_from: `position` before the last loss or joined record: another parser finds it again from there.
    """

    __slots__ = ("position", "came_from", "_doubt", "_events", "_fed", "_fed_end", "_rest")

    def __init__(self, offset: int = 0) -> None:
        """Start at `offset` bytes: 0, or the `end` of an event of the same log."""
        self.position = self.came_from = offset
        self._fed: List[bytes] = []
        self._fed_end = offset
        self._rest: Tuple[bytes, int] = (b"", 0)
        self._doubt: Tuple[str, int] = (_TORN, offset)
        self._events = self._parse(offset)

    def feed(self, data: bytes) -> None:
        """Add the bytes that follow those fed before, any number of them."""
        self._fed.append(data)
        self._fed_end += len(data)

    def next_event(self) -> Union[Record, Lost, NeedData]:
        """Return the next record or loss, or NEED_DATA if the bytes fed so far do not hold one.

        Raises:
            BadFileHeader: started at 0, and this is not a log; the parser is of no further use.
        """
        return next(self._events)

    def events(self) -> Iterator[Event]:
        """Iterate over events until NEED_DATA.  Raises as `next_event` does."""
        return cast(Iterator[Event], iter(self._events.__next__, NEED_DATA))

    def loss_at_end(self) -> Optional[Lost]:
        """Say, after NEED_DATA, what is lost if nothing more will come; None if the tail is merely torn.

        Damage in the last block is held back until the block is full: over a network file system the end of a
        growing file can be seen before its bytes arrive.  This is the verdict for who will not wait; it
        changes nothing.  A tail is torn, and no loss, if it ends in the middle of a record or in zeros.
        """
        reason, offset = self._doubt
        data, start = self._rest
        if reason == ZEROS:
            damaged = bool(data[start:].strip(b"\0"))
        elif reason == _TORN:
            damaged, reason = _holds_a_chunk(data[start + 1 :]), LENGTH
        else:
            damaged = True
        return Lost(offset, self._fed_end - offset, reason) if damaged else None

    def _parse(self, offset: int) -> Iterator[Union[Record, Lost, NeedData]]:
        data, base, pos = b"", offset, 0  # data[pos] is the file's byte at base + pos
        begun, pieces, n_bytes = -1, [b""], 0  # offset and data of a record not whole yet; -1: there is none
        hole = -1  # offset of a loss that lasts until the zeros in front of `pos` end; -1: there are none
        unpack, header_bytes, full, seed = CHUNK_HEADER.unpack_from, CHUNK_HEADER_BYTES, FULL, _FULL_SEED
        record = tuple.__new__  # what Record(...) ends in, in half the time

        if offset == 0:
            while len(data) < len(FILE_HEADER) or not data.strip(b"\0"):
                if not self._fed:
                    self._rest = (data, 0)
                    yield NEED_DATA
                    continue
                data += b"".join(self._fed)
                self._fed.clear()
                if data.strip(b"\0"):
                    _check_file_header(data)
                else:
                    data = data[: len(FILE_HEADER)]  # zeros up to the end are a tail here too
            pos = self.position = len(FILE_HEADER)

        while True:
            if self._fed:
                data, base, pos = data[pos:] + b"".join(self._fed), base + pos, 0
                self._fed.clear()
            border = pos + BLOCK_BYTES - (base + pos) % BLOCK_BYTES
            limit = min(border, len(data))

            # Whole records in one chunk, as many as are there: the way of nearly every record of a real log.
            while pos + header_bytes <= limit:
                checksum, length, kind = unpack(data, pos)
                stop = pos + header_bytes + length
                if kind != full or stop > limit:
                    break
                payload = data[pos + header_bytes : stop]
                if crc32(payload, seed) != checksum:
                    break
                here = base + pos
                if begun >= 0 or hole >= 0:
                    yield self._lost(max(begun, hole), here, ZEROS if hole >= 0 else UNFINISHED)
                    begun = hole = -1
                pos = stop
                self.position = end = base + stop
                yield record(Record, (here, end, payload))

            # Everything else, one chunk at a time.
            here = base + pos
            reason = _TORN
            if border - pos < header_bytes:
                if limit == border:
                    pos = border  # the trailer
                    continue
            elif limit - pos >= header_bytes:
                checksum, length, kind = unpack(data, pos)
                stop = pos + header_bytes + length
                if checksum == length == kind == 0:
                    reason = ZEROS
                elif hole >= 0:
                    yield self._lost(hole, here, ZEROS)
                    hole = -1
                if stop > border:
                    reason = LENGTH
                elif reason != ZEROS and stop <= limit:
                    reason = "" if crc32(data[pos + header_bytes - 1 : stop]) == checksum else CHECKSUM

            if reason:
                since = max(begun, hole) if begun >= 0 or hole >= 0 else here
                if reason == _TORN or limit < border:
                    self._rest = (data, pos)
                    self._doubt = (reason, since)
                    while not self._fed:
                        yield NEED_DATA
                elif reason == ZEROS and not data[pos:border].strip(b"\0"):
                    begun, hole, pos = -1, since, border
                else:
                    pos = border  # the length may be the lie: trust nothing more of this block
                    begun = hole = -1
                    yield self._lost(since, base + pos, reason)
                continue

            # A sound chunk.  A FULL one never comes here: the loop above has taken it.
            pos = stop
            if kind == FIRST:
                if begun >= 0:
                    yield self._lost(begun, here, UNFINISHED)
                begun, pieces, n_bytes = here, [b""], 0
            elif kind != MIDDLE and kind != LAST:
                yield self._lost(begun if begun >= 0 else here, base + pos, KIND)
                begun = -1
                continue
            elif begun < 0:
                yield self._lost(here, base + pos, NO_BEGINNING)
                continue
            if (
                len(pieces[-1]) + length <= BLOCK_BYTES
            ):  # what no writer cuts up so small must not cost memory
                pieces[-1] += data[stop - length : stop]
            else:
                pieces.append(data[stop - length : stop])
            n_bytes += length
            if n_bytes > MAX_RECORD_BYTES:
                since, begun, pieces = begun, -1, [b""]
                yield self._lost(since, base + pos, TOO_LARGE)
            elif kind == LAST:
                payload, pieces = b"".join(pieces), [b""]
                since, begun = begun, -1
                self.came_from, self.position = self.position, base + pos
                yield JoinedRecord(since, self.position, payload)

    def _lost(self, offset: int, end: int, reason: str) -> Lost:
        self.came_from, self.position = self.position, end
        return Lost(offset, end - offset, reason)


def _check_file_header(data: bytes) -> None:
    """Raise BadFileHeader as soon as `data`, the first bytes of a file, cannot be those of a log."""
    seen = data[: len(FILE_HEADER)]
    if FILE_HEADER.startswith(seen):
        return
    version_at = len(FILE_HEADER) - 1
    if seen[:version_at] == FILE_HEADER[:version_at]:
        raise BadFileHeader(
            f"a .wandb log of version {seen[version_at]}; this release reads {FILE_HEADER[version_at]}",
            hint="a newer release may read it",
        )
    raise BadFileHeader(
        f"not a .wandb log: it begins with {seen!r}, not {FILE_HEADER!r}",
        hint="if it was one, and only its first bytes are damaged, repair can save its records",
    )


def _holds_a_chunk(data: bytes) -> bool:
    """True if a sound chunk begins anywhere in `data`, the end of a file.

    Then the chunk in front of it does not reach to the end of the file, as its length says: that length is
    damaged, and the end of the file is not a torn tail.
    """
    for pos in range(len(data) - CHUNK_HEADER_BYTES + 1):
        if FULL <= data[pos + CHUNK_HEADER_BYTES - 1] <= LAST:
            checksum, length, _ = CHUNK_HEADER.unpack_from(data, pos)
            stop = pos + CHUNK_HEADER_BYTES + length
            if stop <= len(data) and crc32(data[pos + CHUNK_HEADER_BYTES - 1 : stop]) == checksum:
                return True
    return False
