"""Records that wait in memory until they can be written, and the account of those that had to be given up.

What goes first when they get too many: console output, system metrics, files, rows; last what a run is (its
config, its definitions, its exit).  Within a kind, the oldest.  Before all of them go notes of what the run
has come to (RunState): they count lines of which some may be about to go, and say nothing that is not there.

Rule 1: records come out in the order of their numbers.
Rule 2: what is given up is counted, and the count comes out as a record of its own, in the place and with the
        number of the last of them.
Rule 3: no I/O here, and no lock: the caller sees to that.
"""

from __future__ import annotations

from collections import deque
from time import time
from typing import Deque, Iterator, Optional, Tuple

from wandb.interface import records
from wandb.interface.wire import BYTES, FIXED64, fields_of

# Ranks: the smaller goes first.
STATE, CONSOLE, STATS, FILES, ROWS, RUN = range(6)
ENTRY_BYTES = 150  # what a waiting record takes beside its payload: a bytes object, a tuple, two ints

_RANKS = {
    "output": CONSOLE,
    "output_raw": CONSOLE,
    "output_logger": CONSOLE,
    "stats": STATS,
    "files": FILES,
    "history": ROWS,
    "summary": ROWS,
}
_RANK_OF_NUMBER = {fields_of("Record")[kind][0]: rank for kind, rank in _RANKS.items()}
_NUM = fields_of("Record")["num"][0]
_HISTORY = fields_of("Record")["history"][0]
_FOOTER = fields_of("Record")["footer"][0]
_STATS = fields_of("Record")["stats"][0]
_PENDING = fields_of("FooterRecord")["pending"][0]
_LATE = fields_of("FooterRecord")["late"][0]
_STATE = fields_of("FooterRecord")["state"][0]
_EXIT = fields_of("Record")["exit"][0]
_STEP = fields_of("HistoryRecord")["step"][0]


class GivenUp:
    """How many lines of the server's streams were given up: they were counted when they were logged.

    Attributes:
        rows, late_rows, samples: Records that will not be in the log.
    """

    __slots__ = ("rows", "late_rows", "samples")

    def __init__(self) -> None:
        self.rows = self.late_rows = self.samples = 0

    def count(self, payload: bytes) -> None:
        """Take a record into account."""
        kind, value = _body(payload)
        if kind == _HISTORY:
            self.rows += 1
        elif kind == _STATS:
            self.samples += 1
        elif kind == _FOOTER and any(number == _LATE for number, _ in _fields(value)):
            self.late_rows += 1


class Loss:
    """What was given up since the last account of it that is in the log.

    Attributes:
        number: Of the last record given up.
        since_s, until_s: When the first and the last were given up, in seconds since the epoch.
        history: How many rows; `first_step` and `last_step` are the smallest and the largest of theirs.
        console, stats, other: How many records of these kinds.
    """

    __slots__ = (
        "number",
        "since_s",
        "until_s",
        "history",
        "first_step",
        "last_step",
        "console",
        "stats",
        "other",
    )

    def __init__(self, now_s: float) -> None:
        self.number = 0
        self.since_s = self.until_s = now_s
        self.history = self.first_step = self.last_step = 0
        self.console = self.stats = self.other = 0

    def count(self, number: int, payload: bytes, now_s: float) -> None:
        """Take a record into account."""
        self.number = max(self.number, number)
        self.until_s = now_s
        rank, step = rank_of(payload), _step(payload)
        if step is not None:
            self._count_rows(1, step, step)
        elif rank == CONSOLE:
            self.console += 1
        elif rank == STATS:
            self.stats += 1
        else:
            self.other += 1

    def add(self, other: Loss) -> None:
        """Take another account into this one."""
        self.number = max(self.number, other.number)
        self.since_s = min(self.since_s, other.since_s)
        self.until_s = max(self.until_s, other.until_s)
        if other.history:
            self._count_rows(other.history, other.first_step, other.last_step)
        self.console += other.console
        self.stats += other.stats
        self.other += other.other

    def body(self, reason: str) -> bytes:
        """Return the record of it."""
        return records.lost(
            reason,
            self.since_s,
            self.until_s,
            history=self.history,
            first_step=self.first_step,
            last_step=self.last_step,
            console=self.console,
            stats=self.stats,
            other=self.other,
        )

    def __str__(self) -> str:
        parts = []
        if self.history:
            parts.append(f"rows: {self.history} (steps {self.first_step} to {self.last_step})")
        if self.console:
            parts.append(f"pieces of console output: {self.console}")
        if self.stats:
            parts.append(f"samples of system metrics: {self.stats}")
        if self.other:
            parts.append(f"other records: {self.other}")
        return ", ".join(parts)

    def _count_rows(self, n_rows: int, first_step: int, last_step: int) -> None:
        self.first_step = min(self.first_step, first_step) if self.history else first_step
        self.last_step = max(self.last_step, last_step)
        self.history += n_rows


class Entry:
    """A record on its way out of a backlog; `loss` if it is the account of what was given up."""

    __slots__ = ("number", "payload", "loss")

    def __init__(self, number: int, payload: bytes, loss: Optional[Loss] = None) -> None:
        self.number = number
        self.payload = payload
        self.loss = loss


class Backlog:
    """Waiting records, in bounded memory.

    Args:
        max_bytes: How much they may take; what is beyond is given up.

    Attributes:
        n_bytes: What they take.
        loss: What was given up and is not told in the log yet; None if nothing.
        reason: Why they wait, in the system's words; stands in the record of a loss.
        has_given_up: Whether anything was ever given up.
        given_up: How many lines were.
    """

    __slots__ = ("n_bytes", "loss", "reason", "has_given_up", "given_up", "_max_bytes", "_waiting")

    def __init__(self, max_bytes: int, given_up: Optional[GivenUp] = None) -> None:
        self.given_up = given_up or GivenUp()
        self.n_bytes = 0
        self.loss: Optional[Loss] = None
        self.reason = ""
        self.has_given_up = False
        self._max_bytes = max_bytes
        # One queue per rank, each in the order of the numbers.
        self._waiting: Tuple[Deque[Tuple[int, bytes]], ...] = tuple(deque() for _ in range(RUN + 1))

    def add(self, number: int, payload: bytes) -> None:
        """Let a record wait; `number` is its own, and greater than all before."""
        self._waiting[rank_of(payload)].append((number, payload))
        self.n_bytes += len(payload) + ENTRY_BYTES
        self._fit()

    def take(self) -> Optional[Entry]:
        """Take out the record that is to be written next; None if there is none."""
        queue = min(filter(None, self._waiting), key=_first_number, default=None)
        loss = self.loss
        if loss is not None and (queue is None or loss.number < queue[0][0]):
            self.loss = None
            return Entry(loss.number, records.numbered(loss.number, loss.body(self.reason)), loss)
        if queue is None:
            return None
        number, payload = queue.popleft()
        self.n_bytes -= len(payload) + ENTRY_BYTES
        return Entry(number, payload)

    def put_back(self, entry: Entry) -> None:
        """Take back the record taken last, which was not written; by now it may be the one to give up."""
        if entry.loss is not None:
            if self.loss is not None:
                entry.loss.add(self.loss)
            self.loss = entry.loss
            return
        self._waiting[rank_of(entry.payload)].appendleft((entry.number, entry.payload))
        self.n_bytes += len(entry.payload) + ENTRY_BYTES
        self._fit()

    def account(self) -> Optional[Loss]:
        """Return what is lost if nothing more can be written, None if nothing is."""
        if self.loss is None and not any(self._waiting[CONSOLE:]):
            return None
        now_s = time()
        whole = Loss(now_s)
        if self.loss is not None:
            whole.add(self.loss)
        for queue in self._waiting[CONSOLE:]:
            for number, payload in queue:
                whole.count(number, payload, now_s)
        return whole

    def _fit(self) -> None:
        while self.n_bytes > self._max_bytes:
            self._give_up_one()

    def _give_up_one(self) -> None:
        rank, queue = next((rank, queue) for rank, queue in enumerate(self._waiting) if queue)
        number, payload = queue.popleft()
        self.n_bytes -= len(payload) + ENTRY_BYTES
        if rank == STATE:
            return
        self.given_up.count(payload)
        self.has_given_up = True
        now_s = time()
        if self.loss is None:
            self.loss = Loss(now_s)
        self.loss.count(number, payload, now_s)


def _first_number(queue: Deque[Tuple[int, bytes]]) -> int:
    return queue[0][0]


def rank_of(payload: bytes) -> int:
    """Return the rank of a serialized Record, with or without its number."""
    kind, value = _body(payload)
    if kind != _FOOTER:
        return _RANK_OF_NUMBER.get(kind, RUN)
    inside = {number for number, _ in _fields(value)}
    if _STATE in inside:
        return STATE
    # A part of a row that waits for its end is told again when that comes, a late row never.
    return RUN if inside.isdisjoint((_PENDING, _LATE)) else ROWS


def is_exit(payload: bytes) -> bool:
    """Say whether a serialized Record is the one that ends a run."""
    return _body(payload)[0] == _EXIT


def _step(payload: bytes) -> Optional[int]:
    """Return the step if the record is a row, else None."""
    kind, history = _body(payload)
    if kind == _FOOTER:
        history = dict(_fields(history)).get(_LATE, b"")
        if not history:
            return None
    elif kind != _HISTORY:
        return None
    step = dict(_fields(history)).get(_STEP, b"")
    for _, number in _fields(step):
        return int.from_bytes(number, "little")
    return 0


def _body(payload: bytes) -> Tuple[int, bytes]:
    """Return kind (its field number) and content of a serialized Record."""
    for number, value in _fields(payload):
        if number != _NUM:
            return number, value
    return 0, b""


def _fields(message: bytes) -> Iterator[Tuple[int, bytes]]:
    """Yield (field number, content) of a message that we have encoded; numbers as little-endian bytes."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        if tag & 7 == BYTES:
            size, at = _varint(message, at)
            value = message[at : at + size]
            at += size
        elif tag & 7 == FIXED64:
            value = message[at : at + 8]
            at += 8
        else:
            number, at = _varint(message, at)
            value = number.to_bytes(10, "little")
        yield tag >> 3, value


def _varint(data: bytes, at: int) -> Tuple[int, int]:
    """Return the number at an offset, and the offset behind it."""
    number = shift = 0
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, at
        shift += 7
