"""Promise 2: records, "need more", or a counted loss; never an exception, never a false record, however cut.

Each test is one sentence of the promise, tried on many logs.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import List, Tuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wandb.errors import BadFileHeader
from wandb.transaction_log.format import BLOCK_BYTES, FILE_HEADER
from wandb.transaction_log.parser import Event, Lost, Parser, Record
from wandb.transaction_log.reader import read_records
from wandb.transaction_log.verify import verify
from wandb.transaction_log.writer import Writer, frame

# Quick enough for each run; `HYPOTHESIS_PROFILE` of a soak may ask for more.
few = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

sizes = st.one_of(
    st.integers(1, 300),
    st.integers(BLOCK_BYTES - 40, BLOCK_BYTES + 40),
    st.integers(2 * BLOCK_BYTES - 60, 2 * BLOCK_BYTES + 60),
)


def log_of(payloads: List[bytes]) -> bytes:
    data = bytearray(FILE_HEADER)
    for payload in payloads:
        data += frame(payload, len(data))
    return bytes(data)


def parse(pieces: List[bytes]) -> Tuple[List[object], int, object]:
    """Return the events, the final position and the verdict on the tail."""
    parser = Parser()
    events: List[object] = []
    try:
        for piece in pieces:
            parser.feed(piece)
            events += parser.events()
    except BadFileHeader:
        return ["BadFileHeader"], 0, None
    return events, parser.position, parser.loss_at_end()


def cut(data: bytes, places: List[int]) -> List[bytes]:
    borders = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:stop] for start, stop in zip(borders, borders[1:])]


@functools.lru_cache(maxsize=None)
def corpus() -> Tuple[bytes, List[Record]]:
    """A log of four blocks: many small records, some that span a border, and one that spans two."""
    payloads = [b"%03d " % number * (1 + number % 60) for number in range(600)]
    payloads.insert(400, b"long" * 10000)
    data = log_of(payloads)
    records = [event for event in parse([data])[0] if isinstance(event, Record)]
    return data, records


@few
@given(data=st.binary(max_size=400), header=st.booleans(), places=st.lists(st.integers(0, 500)))
def test_any_bytes_give_the_same_events_however_they_are_cut(
    data: bytes, header: bool, places: List[int]
) -> None:
    data = (FILE_HEADER if header else b"") + data
    whole = parse([data])
    assert parse(cut(data, places)) == whole
    assert parse([data[at : at + 1] for at in range(len(data))]) == whole


@few
@given(
    lengths=st.lists(sizes, max_size=6),
    places=st.lists(st.integers(0, 1 << 20), max_size=8),
    hits=st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), max_size=5),
    holes=st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(1, 70000)), max_size=2),
)
def test_a_damaged_log_gives_the_same_events_however_it_is_cut(
    lengths: List[int], places: List[int], hits: List[Tuple[int, int]], holes: List[Tuple[int, int]]
) -> None:
    payloads = [b"%d " % index * length for index, length in enumerate(lengths)]
    data = bytearray(log_of([payload[:length] for payload, length in zip(payloads, lengths)]))
    for at, n_bytes in holes:
        start = at % len(data)
        data[start : start + n_bytes] = bytes(len(data[start : start + n_bytes]))
    for at, value in hits:
        data[at % len(data)] = value
    whole = parse([bytes(data)])
    assert parse(cut(bytes(data), places)) == whole
    written = {payload[:length] for payload, length in zip(payloads, lengths)}
    assert all(event.payload in written for event in whole[0] if isinstance(event, Record))


@few
@given(lengths=st.lists(sizes, max_size=12))
def test_what_the_writer_wrote_is_what_the_reader_reads(lengths: List[int], tmp_path: Path) -> None:
    path = tmp_path / "log.wandb"
    path.unlink() if path.exists() else None
    writer = Writer.create(path)
    ends = [writer.write(bytes([index]) * length) for index, length in enumerate(lengths)]
    writer.close()
    records = list(read_records(path))
    assert [record.end for record in records] == ends
    assert [record.payload for record in records] == [
        bytes([index]) * length for index, length in enumerate(lengths)
    ]
    assert path.read_bytes() == log_of([record.payload for record in records])


def test_a_log_cut_at_any_byte_gives_its_first_records_and_no_loss() -> None:
    data, records = corpus()
    places = sorted({*range(1000), *range(BLOCK_BYTES - 300, BLOCK_BYTES + 300), *range(0, len(data), 23)})
    parser = Parser()
    events: List[Event] = []
    fed = 0
    for place in places:
        parser.feed(data[fed:place])
        fed = place
        events += parser.events()
        assert parser.loss_at_end() is None
        assert len(events) == sum(record.end <= place for record in records)
    assert events == records[: len(events)]


def test_a_byte_changed_anywhere_costs_at_most_its_own_block() -> None:
    data, records = corpus()
    sound = {record.payload: record for record in records}
    for place in sorted(
        {*range(7, 600), *range(BLOCK_BYTES - 120, BLOCK_BYTES + 120), *range(7, len(data), 211)}
    ):
        damaged = bytearray(data)
        damaged[place] ^= 1 << place % 8
        events, position, at_end = parse([bytes(damaged)])
        block = range(place // BLOCK_BYTES * BLOCK_BYTES, (place // BLOCK_BYTES + 1) * BLOCK_BYTES)
        found = [event for event in events if isinstance(event, Record)]
        lost = [event for event in events if isinstance(event, Lost)] + [at_end] * (at_end is not None)
        assert all(sound[record.payload] == record for record in found)
        missing = set(records) - set(found)
        assert all(record.end > place and record.offset < block.stop for record in missing)
        assert bool(missing) <= bool(lost or position < len(data))


def test_a_byte_zeroed_or_missing_anywhere_gives_no_false_record() -> None:
    data, records = corpus()
    sound = {record.payload for record in records}
    for place in range(7, len(data), 977):
        for damaged in (data[:place] + b"\0" + data[place + 1 :], data[:place] + data[place + 1 :]):
            events, _, _ = parse([damaged])
            found = [event.payload for event in events if isinstance(event, Record)]
            assert sound.issuperset(found)
            assert found == [record.payload for record in records if record.payload in set(found)]


def test_reading_may_start_again_at_the_end_of_every_event() -> None:
    data, _ = corpus()
    damaged = bytearray(data)
    for place in (5000, 40000, 70000):
        damaged[place] ^= 1
    events = [event for event in parse([bytes(damaged)])[0] if isinstance(event, (Record, Lost))]
    assert sum(isinstance(event, Lost) for event in events) >= 3
    for index, event in enumerate(events):
        parser = Parser(event.end)
        parser.feed(bytes(damaged[event.end :]))
        assert list(parser.events()) == events[index + 1 :]


@few
@given(
    lengths=st.lists(sizes, min_size=1, max_size=4),
    place=st.integers(0, 1 << 20),
    more=st.lists(sizes, min_size=1, max_size=3),
)
def test_after_any_crash_a_writer_goes_on_without_loss(
    lengths: List[int], place: int, more: List[int], tmp_path: Path
) -> None:
    path = tmp_path / "log.wandb"
    data = log_of([bytes([index]) * length for index, length in enumerate(lengths)])
    path.write_bytes(data[: place % (len(data) + 1)])
    before = [record.payload for record in read_records(path)]
    writer = Writer.append_to(path)
    for length in more:
        writer.write(b"m" * length)
    writer.close()
    assert [record.payload for record in read_records(path)] == before + [b"m" * length for length in more]
    assert verify(path).verdict == "sound"
