"""A log from its end, or from a step on, without reading what stands before: the log is its own index.

Reading can begin at any border of a block (schema/log/FORMAT.md), so the last rows are found by reading
back in growing pieces, and a step by halving: steps do not fall within a log.  No other file is made, trusted
or needed (decision 0021).

Rule: these functions only say where to begin to read.  What is read from there on is checked as ever.
"""

from __future__ import annotations

from pathlib import Path
from typing import Callable, Iterator, Optional, Tuple

from google.protobuf.message import DecodeError

from wandb.errors import LogError
from wandb.proto import record_pb2 as pb
from wandb.transaction_log.format import BLOCK_BYTES
from wandb.transaction_log.log_file import size
from wandb.transaction_log.parser import NO_BEGINNING, Event, Lost, Record
from wandb.transaction_log.reader import Reader

_FIRST_LOOK_BYTES = 8 * BLOCK_BYTES  # the recorder's notes are about that far apart
_NEAR_ENOUGH_BLOCKS = 8  # what is read through instead of halved further

Weight = Callable[[pb.Record], int]


def log_size(path: Path) -> int:
    """Return how long a log is now, in bytes.

    Raises:
        LogError: It cannot be looked at.
    """
    try:
        return size(path)
    except OSError as error:
        raise LogError(f"{path}: cannot be read: {error.strerror}") from error


def events_from(path: Path, begin: int, until: int = 0) -> Iterator[Event]:
    """Yield the records and losses of a log from `begin` on.

    Args:
        begin: 0, the end of an event, or a border of blocks; the rest of a record that reaches over the
            border is passed over.
        until: Only what ends there or before; 0: all.

    Raises:
        LogError: The log cannot be read, or is none.
    """
    is_inside = begin == 0
    with Reader(path, begin) as reader:
        for event in reader.events():
            if until and event.end > until:
                return
            if not is_inside and isinstance(event, Lost) and event.reason == NO_BEGINNING:
                continue
            is_inside = True
            yield event


def last_note(path: Path, until: int = 0) -> Tuple[Optional[pb.RunState], int]:
    """Return the recorder's last note (RunState) in a log, and where it ends; (None, 0): there is none.

    Raises:
        LogError: The log cannot be read.
    """
    for begin in _looks(path, until):
        found: Tuple[Optional[pb.RunState], int] = (None, 0)
        for event in events_from(path, begin, until):
            if isinstance(event, Record) and _FOOTER in event.payload[:24]:
                record = _parsed(event.payload)
                if record is not None and record.footer.HasField("state"):
                    found = (record.footer.state, event.end)
        if found[0] is not None:
            return found
    return None, 0


def start_of_last(path: Path, n: int, weight: Weight, until: int = 0) -> Tuple[int, int]:
    """Return where to begin to read for the last `n` of something, and how many stand from there on.

    These are `n` or more, or all.

    Args:
        weight: How many of it a record is.
        until: As for `events_from`.

    Raises:
        LogError: The log cannot be read.
    """
    begin = n_found = 0
    for begin in _looks(path, until):
        n_found = 0
        for event in events_from(path, begin, until):
            record = _parsed(event.payload) if isinstance(event, Record) else None
            n_found += weight(record) if record is not None else 0
        if n_found >= n:
            break
    return begin, n_found


def start_of_step(path: Path, step: int, until: int = 0) -> int:
    """Return a border from which on every row of a step that is not smaller stands; mostly few stand before.

    Raises:
        LogError: The log cannot be read.
    """
    low, high = 0, (until or log_size(path)) // BLOCK_BYTES
    while high - low > _NEAR_ENOUGH_BLOCKS:
        middle = (low + high) // 2
        first = _first_step(path, middle * BLOCK_BYTES, until)
        if first is None or first >= step:
            high = middle
        else:
            low = middle
    return low * BLOCK_BYTES


def step_of(history: pb.HistoryRecord) -> int:
    """Return the step of a row; 0 if it does not say."""
    step = history.step.num
    for item in () if step else history.item:
        if item.key == "_step" or tuple(item.nested_key) == ("_step",):
            try:
                return int(float(item.value_json))
            except (ValueError, OverflowError):
                return 0
    return int(step)


_FOOTER = b"\xb2\x01"  # the tag of Record.footer; what else has it near its begin is parsed in vain


def _first_step(path: Path, begin: int, until: int) -> Optional[int]:
    for event in events_from(path, begin, until):
        if isinstance(event, Record):
            record = _parsed(event.payload)
            if record is not None and record.HasField("history"):
                return step_of(record.history)
    return None


def _looks(path: Path, until: int) -> Iterator[int]:
    """Yield where to begin: a little before the end, then further and further, at last 0."""
    end = min(until, log_size(path)) if until else log_size(path)
    look_back = _FIRST_LOOK_BYTES
    while True:
        begin = max(0, end - look_back) // BLOCK_BYTES * BLOCK_BYTES
        yield begin
        if begin == 0:
            return
        look_back *= 4


def _parsed(payload: bytes) -> Optional[pb.Record]:
    record = pb.Record()
    try:
        record.ParseFromString(payload)
    except DecodeError:
        return None
    return record
