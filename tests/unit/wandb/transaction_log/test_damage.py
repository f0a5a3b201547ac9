"""What a reader makes of damage: LevelDB's list of cases for this format, in our words, and our own.

Every name is a sentence with the verdict.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import List, Optional, Tuple

import pytest

from wandb.errors import LogError
from wandb.transaction_log import parser as parser_module
from wandb.transaction_log.format import (
    BLOCK_BYTES,
    CHUNK_HEADER,
    CHUNK_HEADER_BYTES,
    FILE_HEADER,
    FIRST,
    LAST,
    MIDDLE,
)
from wandb.transaction_log.parser import NEED_DATA, Lost, Parser, Record
from wandb.transaction_log.writer import Writer, frame


def big(text: str, n_bytes: int) -> bytes:
    """`text` repeated to `n_bytes`."""
    return (text.encode() * (n_bytes // len(text) + 1))[:n_bytes]


class Log:
    """A log in memory with verbs to write it, damage it and read it."""

    def __init__(self) -> None:
        self.data = bytearray(FILE_HEADER)
        self.offsets: List[int] = []  # where each record's first chunk begins

    def write(self, payload: bytes) -> "Log":
        left = BLOCK_BYTES - len(self.data) % BLOCK_BYTES
        self.offsets.append(len(self.data) + (left if left < CHUNK_HEADER_BYTES else 0))
        self.data += frame(payload, len(self.data))
        return self

    def fill(self, left: int) -> "Log":
        """Write one record that leaves `left` bytes of the block."""
        room = BLOCK_BYTES - len(self.data) % BLOCK_BYTES
        return self.write(big("f", room - CHUNK_HEADER_BYTES - left))

    def set_byte(self, offset: int, value: int) -> "Log":
        self.data[offset] = value
        return self

    def add_to_byte(self, offset: int, delta: int) -> "Log":
        self.data[offset] = (self.data[offset] + delta) % 256
        return self

    def shrink(self, n_bytes: int) -> "Log":
        del self.data[-n_bytes:]
        return self

    def fix_checksum(self, offset: int) -> "Log":
        _, length, kind = CHUNK_HEADER.unpack_from(self.data, offset)
        body = bytes(self.data[offset + CHUNK_HEADER_BYTES - 1 : offset + CHUNK_HEADER_BYTES + length])
        CHUNK_HEADER.pack_into(self.data, offset, zlib.crc32(body), length, kind)
        return self

    def read(self, offset: int = 0) -> Tuple[List[bytes], List[Tuple[str, int]], int]:
        """Return the payloads, the losses as (reason, bytes), and the length of the tail."""
        parser = Parser(offset)
        parser.feed(bytes(self.data[offset:]))
        payloads, lost = [], []
        for event in parser.events():
            if isinstance(event, Record):
                payloads.append(event.payload)
            else:
                lost.append((event.reason, event.n_bytes))
        at_end = parser.loss_at_end()
        tail = max(0, len(self.data) - parser.position)
        if at_end:
            lost.append((at_end.reason, at_end.n_bytes))
            tail = len(self.data) - at_end.end
        return payloads, lost, tail


@pytest.fixture
def log() -> Log:
    return Log()


def sound(*payloads: bytes) -> Tuple[List[bytes], List[Tuple[str, int]], int]:
    return list(payloads), [], 0


# Sound logs.


def test_an_empty_log_has_no_records(log: Log) -> None:
    assert log.read() == sound()


def test_what_was_written_is_read(log: Log) -> None:
    log.write(b"foo").write(b"bar").write(b"").write(b"xxxx")
    assert log.read() == sound(b"foo", b"bar", b"", b"xxxx")


def test_ten_thousand_records_over_many_blocks_are_read(log: Log) -> None:
    payloads = [b"%d." % number for number in range(10000)]
    for payload in payloads:
        log.write(payload)
    assert log.read() == sound(*payloads)


def test_a_record_is_put_together_from_its_chunks(log: Log) -> None:
    payloads = [b"small", big("medium", 50000), big("large", 100000)]
    for payload in payloads:
        log.write(payload)
    assert log.read() == sound(*payloads)


def test_with_seven_bytes_left_a_record_begins_with_an_empty_chunk(log: Log) -> None:
    log.fill(CHUNK_HEADER_BYTES).write(b"").write(b"bar")
    assert log.read() == ([log.read()[0][0], b"", b"bar"], [], 0)
    log = Log().fill(CHUNK_HEADER_BYTES).write(b"bar")
    assert CHUNK_HEADER.unpack_from(log.data, BLOCK_BYTES - 7) == (zlib.crc32(bytes([FIRST])), 0, FIRST)
    assert log.read()[0][1:] == [b"bar"]


@pytest.mark.parametrize("left", range(7))
def test_fewer_than_seven_bytes_left_are_a_trailer(log: Log, left: int) -> None:
    log.fill(left).write(b"bar")
    assert bytes(log.data[BLOCK_BYTES - left : BLOCK_BYTES]) == bytes(left)
    assert log.read()[0][1:] == [b"bar"]
    assert log.read()[1:] == ([], 0)


def test_damage_in_a_trailer_costs_nothing(log: Log) -> None:
    log.fill(3).write(b"bar").set_byte(BLOCK_BYTES - 2, 0xFF)
    assert log.read()[0][1:] == [b"bar"]
    assert log.read()[1:] == ([], 0)


def test_a_log_may_end_where_a_trailer_would_begin(log: Log) -> None:
    log.fill(4)
    assert log.read()[1:] == ([], 0)


def test_records_of_random_sizes_are_read(log: Log) -> None:
    import random

    dice = random.Random(301)
    payloads = [big(f"{number}.", dice.randint(0, 1 << dice.randint(0, 17))) for number in range(200)]
    for payload in payloads:
        log.write(payload)
    assert log.read() == sound(*payloads)


def test_chunks_need_not_fill_their_block(log: Log) -> None:
    """No writer does it, but the format allows it."""
    for kind, piece in ((FIRST, b"a"), (MIDDLE, b"b"), (LAST, b"c")):
        log.data += CHUNK_HEADER.pack(zlib.crc32(bytes([kind]) + piece), 1, kind) + piece
    assert log.read() == sound(b"abc")


# Torn tails: no loss.


def test_a_torn_last_record_is_not_reported(log: Log) -> None:
    log.write(b"foo").shrink(4)
    assert log.read() == ([], [], CHUNK_HEADER_BYTES - 1)


def test_a_torn_payload_at_the_end_is_not_reported(log: Log) -> None:
    log.write(b"foo").write(b"bar").shrink(1)
    assert log.read() == ([b"foo"], [], CHUNK_HEADER_BYTES + 2)


def test_a_missing_last_chunk_at_the_end_is_not_reported(log: Log) -> None:
    log.write(big("bar", BLOCK_BYTES)).shrink(14 + CHUNK_HEADER_BYTES)
    assert log.read() == ([], [], BLOCK_BYTES - len(FILE_HEADER))


def test_a_torn_last_chunk_at_the_end_is_not_reported(log: Log) -> None:
    log.write(big("bar", BLOCK_BYTES)).shrink(1)
    assert log.read() == ([], [], len(log.data) - len(FILE_HEADER))


def test_zeros_at_the_end_are_not_reported(log: Log) -> None:
    log.write(b"foo")
    log.data += bytes(3 * BLOCK_BYTES + 11)
    assert log.read() == ([b"foo"], [], 3 * BLOCK_BYTES + 11)


def test_zeros_behind_the_first_chunk_of_a_record_are_a_torn_tail_too(log: Log) -> None:
    log.write(big("bar", BLOCK_BYTES + 500))
    log.data[BLOCK_BYTES:] = bytes(1000)
    assert log.read() == ([], [], BLOCK_BYTES + 1000 - len(FILE_HEADER))


# Damage: counted, and at most to the end of its block.


def test_a_wrong_checksum_costs_the_rest_of_the_block(log: Log) -> None:
    log.write(b"foo").write(b"bar").fill(0).write(b"next block").add_to_byte(7, 1)
    assert log.read() == ([b"next block"], [("checksum", BLOCK_BYTES - 7)], 0)


def test_records_before_the_damage_are_read(log: Log) -> None:
    log.write(b"foo").write(b"bar").fill(0).write(b"next block").add_to_byte(log.offsets[1], 1)
    assert log.read() == ([b"foo", b"next block"], [("checksum", BLOCK_BYTES - log.offsets[1])], 0)


def test_a_length_beyond_the_block_costs_the_rest_of_the_block(log: Log) -> None:
    log.write(b"foo").fill(0).write(b"next block").set_byte(log.offsets[0] + 5, 0xFF)
    assert log.read() == ([b"next block"], [("length", BLOCK_BYTES - 7)], 0)


def test_a_length_one_too_long_at_the_end_of_the_block_is_found(log: Log) -> None:
    log.fill(0).write(b"foo").add_to_byte(log.offsets[0] + 4, 1)
    assert log.read() == ([b"foo"], [("length", BLOCK_BYTES - 7)], 0)


def test_a_length_that_points_behind_the_end_is_taken_for_a_torn_tail(log: Log) -> None:
    """Nothing tells the two apart if no record follows; nothing but this record is lost."""
    log.write(b"foo").write(b"bar").add_to_byte(log.offsets[1] + 4, 1)
    assert log.read() == ([b"foo"], [], CHUNK_HEADER_BYTES + 3)


def test_a_length_that_points_behind_the_end_over_other_records_is_damage(log: Log) -> None:
    log.write(b"foo").write(b"bar").write(b"baz").add_to_byte(log.offsets[1] + 4, 100)
    assert log.read() == ([b"foo"], [("length", len(log.data) - log.offsets[1])], 0)


def test_an_unknown_kind_with_a_good_checksum_costs_its_chunk_only(log: Log) -> None:
    log.write(b"foo").write(b"bar").set_byte(13, 0x7F).fix_checksum(7)
    assert log.read() == ([b"bar"], [("kind", CHUNK_HEADER_BYTES + 3)], 0)


def test_a_chunk_of_kind_zero_that_is_not_all_zeros_is_damage(log: Log) -> None:
    log.write(b"foo").write(b"bar").set_byte(13, 0)
    assert log.read() == ([], [("checksum", len(log.data) - 7)], 0)


def test_a_middle_chunk_without_a_first_one_is_reported(log: Log) -> None:
    log.write(b"foo").write(b"bar").set_byte(13, MIDDLE).fix_checksum(7)
    assert log.read() == ([b"bar"], [("no beginning", CHUNK_HEADER_BYTES + 3)], 0)


def test_a_last_chunk_without_a_first_one_is_reported(log: Log) -> None:
    log.write(b"foo").write(b"bar").set_byte(13, LAST).fix_checksum(7)
    assert log.read() == ([b"bar"], [("no beginning", CHUNK_HEADER_BYTES + 3)], 0)


def test_a_whole_record_within_an_unfinished_one_is_read(log: Log) -> None:
    log.write(b"foo").write(b"bar").set_byte(13, FIRST).fix_checksum(7)
    assert log.read() == ([b"bar"], [("unfinished", CHUNK_HEADER_BYTES + 3)], 0)


def test_a_first_chunk_within_an_unfinished_record_begins_the_next_one(log: Log) -> None:
    log.write(b"foo").write(big("bar", 100000)).set_byte(13, FIRST).fix_checksum(7)
    assert log.read() == ([big("bar", 100000)], [("unfinished", CHUNK_HEADER_BYTES + 3)], 0)


def test_chunks_of_two_records_are_never_joined_over_a_damaged_block(log: Log) -> None:
    """FIRST of A in block 0, LAST of A and FIRST of B in the damaged block 1, LAST of B in block 2."""
    log.fill(100).write(big("foo", 20000)).write(big("bar", BLOCK_BYTES)).write(b"correct")
    log.set_byte(BLOCK_BYTES + 3, 0x2A)
    payloads, lost, tail = log.read()
    assert payloads[1:] == [b"correct"]
    assert lost == [
        ("checksum", 2 * BLOCK_BYTES - log.offsets[1]),
        ("no beginning", log.offsets[3] - 2 * BLOCK_BYTES),
    ]
    assert tail == 0


def test_a_zeroed_block_costs_its_own_records_only(log: Log) -> None:
    log.write(b"foo").fill(0).write(b"gone").fill(0).write(b"next")
    log.data[BLOCK_BYTES : 2 * BLOCK_BYTES] = bytes(BLOCK_BYTES)
    payloads, lost, tail = log.read()
    assert (payloads[0], payloads[-1], len(payloads)) == (b"foo", b"next", 3)
    assert (lost, tail) == ([("zeros", BLOCK_BYTES)], 0)


def test_zeros_over_several_blocks_are_one_loss(log: Log) -> None:
    log.write(b"foo")
    log.data += bytes(4 * BLOCK_BYTES - len(log.data))
    log.write(b"bar")
    assert log.read() == ([b"foo", b"bar"], [("zeros", 4 * BLOCK_BYTES - log.offsets[0] - 10)], 0)


def test_zeros_in_the_middle_of_a_record_cost_that_record(log: Log) -> None:
    log.write(big("foo", 2 * BLOCK_BYTES)).write(b"bar")
    log.data[BLOCK_BYTES : 2 * BLOCK_BYTES] = bytes(BLOCK_BYTES)
    payloads, lost, tail = log.read()
    assert (payloads, tail) == ([b"bar"], 0)
    assert lost == [
        ("zeros", 2 * BLOCK_BYTES - log.offsets[0]),
        ("no beginning", log.offsets[1] - 2 * BLOCK_BYTES),
    ]


def test_zeros_and_other_bytes_in_the_last_block_are_damage(log: Log) -> None:
    log.write(b"foo").write(b"bar").write(b"baz")
    log.data[log.offsets[1] : log.offsets[1] + 10] = bytes(10)
    assert log.read() == ([b"foo"], [("zeros", 20)], 0)


def test_a_record_above_the_limit_is_lost_and_the_next_one_read(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parser_module, "MAX_RECORD_BYTES", 2 * BLOCK_BYTES)
    log.write(b"foo").write(big("bar", 5 * BLOCK_BYTES)).write(b"baz")
    payloads, lost, tail = log.read()
    assert (payloads, tail) == ([b"foo", b"baz"], 0)
    assert lost[0][0] == "too large"
    assert {reason for reason, _ in lost[1:]} == {"no beginning"}
    assert sum(n_bytes for _, n_bytes in lost) == log.offsets[2] - log.offsets[1]


def test_a_hostile_log_of_middle_chunks_does_not_fill_the_memory(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tracemalloc

    monkeypatch.setattr(parser_module, "MAX_RECORD_BYTES", 4 * BLOCK_BYTES)
    parser = Parser(BLOCK_BYTES)  # at the start of a block, so that the chunks can fill theirs
    data = bytes(BLOCK_BYTES - CHUNK_HEADER_BYTES)
    first, middle = (
        CHUNK_HEADER.pack(zlib.crc32(bytes([kind]) + data), len(data), kind) + data
        for kind in (FIRST, MIDDLE)
    )
    tracemalloc.start()
    parser.feed(first)
    for _ in range(300):
        parser.feed(middle)
        list(parser.events())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12 * BLOCK_BYTES


# Starting somewhere.


@pytest.mark.parametrize("start", range(6))
def test_reading_starts_at_the_end_of_any_record(log: Log, start: int) -> None:
    payloads = [
        b"a" * 10000,
        b"b" * 10000,
        b"c" * (2 * BLOCK_BYTES - 1000),
        b"d",
        b"e" * (BLOCK_BYTES - 30),
        b"f",
    ]
    for payload in payloads:
        log.write(payload)
    ends = [len(FILE_HEADER)]
    parser = Parser()
    parser.feed(bytes(log.data))
    ends += [event.end for event in parser.events()]
    assert log.read(ends[start]) == sound(*payloads[start:])


def test_at_the_end_of_the_log_there_is_nothing(log: Log) -> None:
    log.write(b"foo")
    assert log.read(len(log.data)) == sound()


def test_a_start_inside_of_a_block_that_holds_the_rest_of_a_record_reports_that(log: Log) -> None:
    log.write(big("foo", BLOCK_BYTES)).write(b"bar")
    rest = log.offsets[1] - BLOCK_BYTES
    assert log.read(BLOCK_BYTES) == ([b"bar"], [("no beginning", rest)], 0)


# Growing logs.


def test_need_data_is_the_answer_until_a_record_is_whole(log: Log) -> None:
    log.write(b"foo")
    parser = Parser()
    for byte in log.data[:-1]:
        parser.feed(bytes([byte]))
        assert parser.next_event() is NEED_DATA
    parser.feed(bytes(log.data[-1:]))
    assert parser.next_event() == Record(7, len(log.data), b"foo")
    assert parser.next_event() is NEED_DATA


def test_damage_in_a_block_that_still_grows_is_held_back(log: Log) -> None:
    """Over NFS, the end of a growing file can be zeros for a moment."""
    log.write(b"foo").write(b"bar").add_to_byte(log.offsets[0], 1)
    parser = Parser()
    parser.feed(bytes(log.data))
    assert parser.next_event() is NEED_DATA
    assert parser.loss_at_end() == Lost(7, len(log.data) - 7, "checksum")
    parser.feed(bytes(BLOCK_BYTES - len(log.data)))
    assert parser.next_event() == Lost(7, BLOCK_BYTES - 7, "checksum")


def test_loss_at_end_changes_nothing(log: Log) -> None:
    log.write(b"foo").write(b"bar")
    parser: Optional[Parser] = Parser()
    assert parser is not None
    for start in range(len(log.data)):
        parser.feed(bytes(log.data[start : start + 1]))
        list(parser.events())
        assert parser.loss_at_end() is None
    assert parser.position == len(log.data)


# A read error.


def test_a_file_that_cannot_be_read_is_a_log_error(tmp_path: Path) -> None:
    from wandb.transaction_log.reader import Reader

    with pytest.raises(LogError, match="cannot be read"):
        Reader(tmp_path / "missing.wandb")
    with pytest.raises(LogError, match="cannot be read"):
        Reader(tmp_path)


def test_records_of_the_writer_are_those_of_this_file(tmp_path: Path, log: Log) -> None:
    payloads = [b"foo", big("bar", 100000), b"baz" * 10]
    writer = Writer.create(tmp_path / "log.wandb")
    for payload in payloads:
        log.write(payload)
        assert writer.write(payload) == len(log.data)
    writer.close()
    assert (tmp_path / "log.wandb").read_bytes() == bytes(log.data)


@pytest.mark.long
@pytest.mark.parametrize("n_bytes", [0, 2])
def test_a_record_of_very_many_small_chunks_takes_no_more_memory_than_its_data(n_bytes: int) -> None:
    import tracemalloc

    def chunk(kind: int, data: bytes) -> bytes:
        return CHUNK_HEADER.pack(zlib.crc32(bytes([kind]) + data), len(data), kind) + data

    middle = chunk(MIDDLE, b"ab"[:n_bytes])
    n_middles = BLOCK_BYTES // len(middle) - 1
    last_of_block = chunk(MIDDLE, bytes(BLOCK_BYTES - n_middles * len(middle) - CHUNK_HEADER_BYTES))
    block = middle * n_middles + last_of_block
    parser = Parser(BLOCK_BYTES)
    parser.feed(chunk(FIRST, bytes(BLOCK_BYTES - CHUNK_HEADER_BYTES)))
    tracemalloc.start()
    for _ in range(10):
        parser.feed(block)
        assert list(parser.events()) == []
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 * BLOCK_BYTES + 3 * 10 * n_middles * n_bytes
