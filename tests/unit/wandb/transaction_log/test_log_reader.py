"""The reader against files that grow, shrink and are damaged."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from wandb.errors import BadFileHeader, LogError
from wandb.transaction_log.format import BLOCK_BYTES, FILE_HEADER
from wandb.transaction_log.parser import Lost, Record
from wandb.transaction_log.reader import PIECE_BYTES, Reader, read_records
from wandb.transaction_log.writer import Writer, frame


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run-x.wandb"


def test_calling_again_goes_on_where_the_reader_stopped(path: Path) -> None:
    writer = Writer.create(path)
    with Reader(path) as reader:
        assert list(reader.events()) == []
        for number in range(3):
            writer.write(b"%d" % number * 20000)
            writer.write(b"%d" % number)
            assert [event.payload for event in reader.events() if isinstance(event, Record)] == [
                b"%d" % number * 20000,
                b"%d" % number,
            ]
            assert (reader.at_end, reader.tail_bytes, reader.position) == (True, 0, writer.end)
    writer.close()


def test_a_log_that_grows_byte_by_byte_gives_each_record_once_and_whole(tmp_path: Path, path: Path) -> None:
    writer = Writer.create(tmp_path / "whole.wandb")
    ends = [writer.write(b"a" * 30), writer.write(b"b" * 40), writer.write(b"c")]
    writer.close()
    data = (tmp_path / "whole.wandb").read_bytes()
    path.touch()
    seen = []
    with Reader(path) as reader, path.open("ab", buffering=0) as file:
        for n_bytes, byte in enumerate(data, start=1):
            file.write(bytes([byte]))
            seen += list(reader.events())
            assert [event.end for event in seen] == [end for end in ends if end <= n_bytes]
            assert reader.tail_bytes == n_bytes - reader.position
    assert [event.payload for event in seen if isinstance(event, Record)] == [b"a" * 30, b"b" * 40, b"c"]


def test_an_iteration_that_was_left_goes_on_with_the_next_event(path: Path) -> None:
    writer = Writer.create(path)
    for number in range(1000):
        writer.write(b"%d" % number * 50)
    writer.close()
    seen = []
    with Reader(path) as reader:
        while not reader.at_end:
            for index, event in enumerate(reader.events()):
                assert isinstance(event, Record)
                assert reader.position == event.end
                seen.append(event.payload)
                if index == 100:
                    break
    assert seen == [b"%d" % number * 50 for number in range(1000)]


def test_a_torn_tail_that_a_new_writer_replaced_is_read_as_it_is_now(path: Path) -> None:
    writer = Writer.create(path)
    writer.write(b"one")
    end = writer.write(b"two, which will be torn")
    writer.close()
    os.truncate(path, end - 5)
    with Reader(path) as reader:
        assert [event.end for event in reader.events()] == [17]
        assert reader.tail_bytes > 0
        writer = Writer.append_to(path)
        writer.write(b"three")
        writer.close()
        assert [event.payload for event in reader.events() if isinstance(event, Record)] == [b"three"]


def log_with_a_torn_record(path: Path, end: int, torn_at: int) -> None:
    """Small records up to `end`, behind it a large one of which there was room for half: to `torn_at`."""
    writer = Writer.create(path)
    while writer.end + 1000 <= end:
        writer.write(b"s" * 500)
    while writer.end < end:
        writer.write(b"s" * min(500, end - writer.end - 7))
    with path.open("ab") as file:
        file.write(frame(b"T" * 200_000, writer.end)[: torn_at - writer.end])
    writer.close()


@pytest.mark.parametrize(
    "end, torn_at",
    [
        (5000, 9000),
        (PIECE_BYTES - 400, PIECE_BYTES),
        (PIECE_BYTES - 40_000, PIECE_BYTES),  # whole chunks in front of the border of a piece and of a block
        (PIECE_BYTES - 40_000, PIECE_BYTES + 30_000),
    ],
)
@pytest.mark.parametrize("n_bytes", [40, 3000, 45_000, 80_000, 200_000])
def test_a_tail_that_is_written_anew_while_it_is_read_costs_nothing(
    path: Path, end: int, torn_at: int, n_bytes: int
) -> None:
    """The disk is full for a moment while a reader is in the middle of what it found."""
    log_with_a_torn_record(path, end, torn_at)
    with Reader(path) as reader:
        seen = []
        for event in reader.events():
            seen.append(event)
            if len(seen) == 2:  # the first piece has been read: what follows its last record is torn
                writer = Writer.append_to(path)
                for number in range(40):
                    writer.write(b"%02d" % number * (n_bytes // 2))
        seen += reader.events()
        assert seen == list(read_records(path))
        assert (reader.position, reader.tail_bytes, reader.loss_at_end()) == (writer.end, 0, None)
    writer.close()


def test_a_tail_that_is_cut_while_it_is_read_is_not_taken_for_a_shorter_log(path: Path) -> None:
    """The moment between the cut and the next record."""
    log_with_a_torn_record(path, PIECE_BYTES - 40_000, PIECE_BYTES + 30_000)
    with Reader(path) as reader:
        seen = []
        for event in reader.events():
            seen.append(event)
            if len(seen) == 2:
                Writer.append_to(path).close()
        assert list(reader.events()) == []
        writer = Writer.append_to(path)
        writer.write(b"more")
        writer.close()
        seen += reader.events()
        assert seen == list(read_records(path))


def test_damage_that_was_only_seen_in_a_mixture_of_states_is_no_loss_at_the_end(path: Path) -> None:
    log_with_a_torn_record(path, PIECE_BYTES - 400, PIECE_BYTES + 5000)
    with Reader(path) as reader:
        seen = []
        for event in reader.events():
            seen.append(event)
            if len(seen) == 2:
                writer = Writer.append_to(path)
                for _ in range(30):
                    writer.write(b"n" * 250)
                writer.close()
        assert (reader.at_end, reader.loss_at_end()) == (True, None)
        assert seen == list(read_records(path))


def test_damage_that_stays_is_told_while_the_log_grows(path: Path) -> None:
    writer = Writer.create(path)
    for number in range(400):
        writer.write(b"%03d" % number * 500)
    data = bytearray(path.read_bytes())
    data[2 * BLOCK_BYTES + 100] ^= 1
    path.write_bytes(data)
    seen = []
    with Reader(path) as reader:
        for event in reader.events():
            seen.append(event)
            writer.write(b"more")
    writer.close()
    assert [event.reason for event in seen if isinstance(event, Lost)] == ["checksum", "no beginning"]


def test_a_hole_at_the_end_that_is_filled_later_is_no_loss(path: Path) -> None:
    """What a network file system may show: the size first, the bytes later."""
    writer = Writer.create(path)
    end = writer.write(b"one")
    writer.write(b"two" * 100)
    writer.write(b"three")
    writer.close()
    data = path.read_bytes()
    path.write_bytes(data[: end + 50] + bytes(len(data) - end - 50))
    with Reader(path) as reader:
        assert [event.end for event in reader.events()] == [end]
        assert reader.loss_at_end() is not None
        path.write_bytes(data)
        assert [event.payload for event in reader.events() if isinstance(event, Record)] == [
            b"two" * 100,
            b"three",
        ]
        assert reader.loss_at_end() is None


def test_damage_in_the_last_block_is_told_when_asked(path: Path) -> None:
    writer = Writer.create(path)
    end = writer.write(b"one")
    writer.write(b"two")
    writer.close()
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with Reader(path) as reader:
        assert [event.end for event in reader.events()] == [end]
        assert reader.tail_bytes == 10
        assert reader.loss_at_end() == Lost(end, 10, "checksum")
    assert [record.payload for record in read_records(path)] == [b"one"]


def test_reading_starts_at_a_checkpoint(path: Path) -> None:
    writer = Writer.create(path)
    ends = [writer.write(b"%d" % number * 9000) for number in range(20)]
    writer.close()
    for index, end in enumerate(ends):
        with Reader(path, end) as reader:
            assert [event.end for event in reader.events()] == ends[index + 1 :]


def test_a_file_cut_below_the_position_is_an_error_and_not_silence(path: Path) -> None:
    writer = Writer.create(path)
    end = writer.write(b"one")
    writer.close()
    with Reader(path) as reader:
        list(reader.events())
        os.truncate(path, 10)
        with pytest.raises(LogError, match="ends at byte 10"):
            list(reader.events())
    with Reader(path, end) as reader:
        with pytest.raises(LogError, match="ends at byte 10"):
            list(reader.events())


@pytest.mark.parametrize("data", [b"x", b":W&B\xe1\xbe\x01", b"\0" * 100 + b"x", b"SQLite format 3\0"])
def test_another_file_is_refused_by_name(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    with Reader(path) as reader:
        with pytest.raises(BadFileHeader, match=path.name):
            list(reader.events())
        with pytest.raises(BadFileHeader, match=path.name):
            list(reader.events())


def test_the_beginning_of_a_header_may_become_a_log(path: Path) -> None:
    path.write_bytes(FILE_HEADER[:3])
    with Reader(path) as reader:
        assert list(reader.events()) == []
        assert reader.tail_bytes == 3


def test_a_read_only_log_in_a_read_only_directory_is_read(path: Path) -> None:
    writer = Writer.create(path)
    writer.write(b"one")
    writer.close()
    path.chmod(0o444)
    path.parent.chmod(0o555)
    before = path.stat()
    try:
        assert [record.payload for record in read_records(path)] == [b"one"]
    finally:
        path.parent.chmod(0o755)
    assert (path.stat().st_mtime_ns, path.stat().st_size) == (before.st_mtime_ns, before.st_size)


def test_memory_does_not_depend_on_the_length_of_the_log(path: Path) -> None:
    import tracemalloc

    writer = Writer.create(path)
    for _ in range(400):
        writer.write(bytes(50000))
    writer.close()
    assert path.stat().st_size > 600 * BLOCK_BYTES
    tracemalloc.start()
    assert sum(1 for _ in read_records(path)) == 400
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * 1024 * 1024
