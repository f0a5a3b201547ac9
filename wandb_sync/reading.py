"""A recorded run as typed records, whatever state it is in: `wandb_sync.read`.

    run = wandb_sync.read("wandb/latest-run")
    for row in run.history(keys=["loss"], last=100): ...
    run.config, run.summary, run.state
    for record in run: ...                               # everything, in order

Rule 1: reading changes nothing, on disk or for the recorder; it makes no file.
Rule 2: memory does not depend on the length of the logs.
Rule 3: the rows are those that `wandb sync` would upload with the same step policy, each once; a run of
        several segments reads as one.
Rule 4: what cannot be read is a Loss among the records, and is counted in `damage`; never an exception.
"""

from __future__ import annotations

import bisect
import contextlib
import heapq
import math
import re
import time
from collections import deque
from dataclasses import replace
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple

from wandb.errors import UsageError
from wandb.proto import record_pb2 as pb
from wandb.transaction_log.parser import NO_BEGINNING, Record
from wandb.transaction_log.reader import Reader
from wandb_sync.backwards import Weight, events_from, log_size, start_of_last, start_of_step
from wandb_sync.console import STDERR, STDOUT, Console, Line
from wandb_sync.facts import Facts, facts_of, state_of
from wandb_sync.follow import ASSUME_DEAD_AFTER_S, POLL_EVERY_S, has_ended
from wandb_sync.join import Part, join
from wandb_sync.run_lookup import Found
from wandb_sync.segments import Segment, run_of, run_record
from wandb_sync.sides import Side, sides_of, zero_s
from wandb_sync.typed_records import (
    SEGMENT_MISSING,
    ConsoleLine,
    ConsoleText,
    Decoder,
    Exit,
    GivenUp,
    Loss,
    Row,
    RunInfo,
    TypedRecord,
)

STEP_POLICIES = ("drop", "keep", "rewind")
MAX_LOSSES_LISTED = 1000
_MAX_LOOK_BACK = 1 << 20  # rows or lines; beyond that all are read
_LINES_IN_HAND = 4096  # console lines that wait for one with a smaller number


def is_row(record: pb.Record) -> int:
    """Say 1 if a record is a row, 0 else."""
    return int(record.HasField("history"))


def n_lines(record: pb.Record) -> int:
    """Return how many lines of output a record ends."""
    text: str = record.output_raw.line
    return text.count("\n") if text else int(record.HasField("output_logger"))


class Damage:
    """What reading has met that could not be read.

    Attributes:
        n_bytes, n_places: Of the logs.
        losses: The first of them.
        n_given_up: Records that the recorder could not keep, by its own count.
    """

    def __init__(self) -> None:
        self.n_bytes = 0
        self.n_places = 0
        self.losses: List[Loss] = []
        self.n_given_up = 0
        self._seen: Dict[str, int] = {}  # log -> how far its losses were counted

    def __bool__(self) -> bool:
        return bool(self.n_places or self.n_given_up)

    def take(self, record: TypedRecord) -> None:
        """Count a record, if it is a loss that was not counted before."""
        if not isinstance(record, (Loss, GivenUp)) or record.offset < self._seen.get(record.log, 0):
            return
        self._seen[record.log] = record.offset + 1
        if isinstance(record, GivenUp):
            self.n_given_up += record.n_records
            return
        self.n_bytes += record.n_bytes
        self.n_places += 1
        if len(self.losses) < MAX_LOSSES_LISTED:
            self.losses.append(record)


class RecordedRun:
    """A run as its logs tell it; iterating yields its typed records, in order.

    Attributes:
        segments: Its logs, in order.
        earlier: Logs of earlier recordings under the same id, which are no part of it.
        damage: What could not be read so far, by whatever read it.
        n_late: Rows that the last reading left out because their step went back.
        poll_every_s: How often a followed log is looked at, in seconds; may be changed.
        wait: Called with that when all that is there was read, and more may come; may be exchanged.
        tail_bytes: What the last reading found behind the last whole record of the last log.
    """

    def __init__(
        self,
        found: Found,
        *,
        follow: bool = False,
        step_policy: str = "drop",
    ) -> None:
        """Read nothing yet; see `wandb_sync.read` for the arguments.  `found` is as find_run returns it."""
        if step_policy not in STEP_POLICIES:
            raise UsageError(f"step_policy: {step_policy!r} is none of {', '.join(STEP_POLICIES)}")
        if follow and step_policy == "rewind":
            raise UsageError(
                "step_policy: rewind takes rows back, which a reading that follows has handed out already",
                hint="say drop or keep",
            )
        self.segments = list(found.segments)
        self.earlier = found.earlier
        self.damage = Damage()
        self.n_late = 0
        self.tail_bytes = 0
        self._is_one_log = found.is_one_log
        self._follow = follow
        self._policy = step_policy
        self.poll_every_s = POLL_EVERY_S
        self.wait: Callable[[float], object] = time.sleep
        self._first_runs: Dict[Segment, pb.RunRecord] = {}
        self._facts: Optional[Facts] = None
        self._facts_of: Tuple[Any, ...] = ()

    def __iter__(self) -> Iterator[TypedRecord]:
        return self.records()

    # ---- what the run is

    @property
    def facts(self) -> Facts:
        """Who it is and what it has come to, as of now."""
        now = tuple((segment.log.path, log_size(segment.log.path)) for segment in self.segments)
        if self._facts is None or self._facts_of != now:
            self._facts, self._facts_of = facts_of(self.segments), now
        return self._facts

    @property
    def id(self) -> str:
        """The run's id; empty if the log does not say."""
        return self.facts.run.run_id

    @property
    def config(self) -> Dict[str, Any]:
        """The config that the user has set, as of now."""
        return self.facts.config

    @property
    def summary(self) -> Dict[str, Any]:
        """The summary as it would be uploaded, as of now."""
        return self.facts.summary

    @property
    def state(self) -> str:
        """running, finished, crashed (it says so by its exit code) or killed."""
        return state_of(self.segments[-1], self.facts)

    # ---- records

    def records(
        self,
        *,
        last: Optional[int] = None,
        weight: Weight = is_row,
        step_from: Optional[int] = None,
    ) -> Iterator[TypedRecord]:
        """Yield typed records in order; those of a run that is followed until it has ended.

        Args:
            last: Begin where that many rows are left, or somewhat before.
            weight: What is counted instead of rows: how much of it a record is.
            step_from: Begin at the first row of that step, or somewhat before.

        Raises:
            LogError: A log cannot be read, or was cut while it was read.
        """
        self.n_late = 0
        begins = self._begins(last, weight, step_from)
        gone = self._rewinds()
        number = 0
        while number < len(self.segments):
            begin = begins[number] if number < len(begins) else {}
            if begin is not None:
                for record in self._records_of(number, begin, gone):
                    self.damage.take(record)
                    yield record
            number += 1
            if self._follow and number == len(self.segments) and self._look_for_more():
                gone = self._rewinds()

    def history(
        self,
        keys: Optional[Sequence[str]] = None,
        *,
        last: Optional[int] = None,
        step_from: Optional[int] = None,
        step_to: Optional[int] = None,
    ) -> Iterator[Row]:
        """Yield rows.

        Args:
            keys: Only rows that have one of them, and of those only these, by dotted name (`train.loss`); a
                name with a `*` stands for all that match.
            last: Only so many, from the end.
            step_from, step_to: Only these steps, both included.

        Raises:
            LogError: A log cannot be read.
        """
        if last is None:
            yield from self._rows(keys, None, step_from, step_to)
            return
        # How many rows are left out is known when they are read: look back further until enough are left.
        look_back: Optional[int] = last if keys is None and step_to is None else 4 * last + 100
        while True:
            rows = deque(self._rows(keys, look_back, step_from, step_to), maxlen=last)
            if len(rows) == last or look_back is None:
                yield from rows
                return
            look_back = look_back * 16 if look_back < _MAX_LOOK_BACK else None

    def console(self, last: Optional[int] = None) -> Iterator[ConsoleLine]:
        """Yield lines as a terminal shows them: a progress bar is one line, in its last form.

        The lines come in the order in which they were begun; one that is still rewritten thousands of lines
        later comes late.

        Args:
            last: Only so many, from the end.

        Raises:
            LogError: A log cannot be read.
        """
        look_back = last
        while last is not None:
            lines = deque(_lines_of(self.records(last=look_back, weight=n_lines)), maxlen=last)
            if len(lines) == last or look_back is None:
                yield from lines
                return
            look_back = look_back * 16 if look_back < _MAX_LOOK_BACK else None
        yield from _lines_of(self.records())

    # ---- parts

    def _rows(
        self, keys: Optional[Sequence[str]], last: Optional[int], first: Optional[int], to: Optional[int]
    ) -> Iterator[Row]:
        pick = keys_picker(keys) if keys is not None else None
        # Else smaller steps may follow.
        may_stop = self._policy == "drop" and len(self.segments) == 1 and not sides_of(self.segments, 0)
        for record in self.records(last=last, step_from=first):
            if not isinstance(record, Row) or (first is not None and record.step < first):
                continue
            if to is not None and record.step > to:
                if may_stop:
                    return
                continue
            if pick is None:
                yield record
                continue
            values = pick(record.flat())
            if values:
                yield replace(record, values=values)

    def _begins(self, last: Optional[int], weight: Weight, step_from: Optional[int]) -> List[Optional[Begin]]:
        """Return from where on each segment is read; None: not at all."""
        begins: List[Optional[Begin]] = [{} for _ in self.segments]
        if self._policy == "rewind":  # which rows are left is known only to who has read all
            return begins
        for number, segment in reversed(list(enumerate(self.segments))):
            if last is not None and last <= 0:
                begins[number] = None
                continue
            n_found = 0
            # The last of all processes are among the last of each of them.
            logs = [("", segment.log.path, segment.read_until)]
            logs += [(side.id, side.path, 0) for side in sides_of(self.segments, number)]
            begin: Begin = {}
            for id, path, until in logs:
                begin[id] = 0
                if last is not None:
                    begin[id], n = start_of_last(path, last, weight, until)
                    n_found += n
                if step_from is not None:
                    step = step_from - self._starting_step(number)
                    begin[id] = max(begin[id], start_of_step(path, step, until))
            begins[number] = begin
            last = None if last is None else last - n_found
        return begins

    def _records_of(self, number: int, begin: Begin, gone: _Rewinds) -> Iterator[TypedRecord]:
        segment = self.segments[number]
        path = str(segment.log.path)
        if segment.lacks:
            yield Loss(segment.first.previous_end, SEGMENT_MISSING, 0, segment.lacks)
        decoder = Decoder(path, self._starting_step(number))
        for record in self._decoded(number, begin, decoder):
            if not isinstance(record, Row) or self._is_wanted(record, number, gone):
                yield record
        if not self._has_ended(segment):
            return
        row = decoder.pending()
        if row is not None and self._is_wanted(row, number, gone):
            yield row
        size = log_size(segment.log.path)
        if segment.read_until > size:
            yield Loss(segment.read_until - size, SEGMENT_MISSING, size, path)

    def _decoded(self, number: int, begin: Begin, decoder: Decoder) -> Iterator[TypedRecord]:
        """Yield what the segment's log and its side logs say from `begin` on, in order of time."""
        segment = self.segments[number]
        is_followed = self._follow and number == len(self.segments) - 1
        at_rest = {id for id, offset in begin.items() if offset}  # of a record that reaches over the border
        has_exit = False
        sides: Dict[str, _ReadSide] = {}
        with contextlib.ExitStack() as stack:
            reader = stack.enter_context(Reader(segment.log.path, begin.get("", 0)))
            main = Part(reader, self._zero_s(segment), limit=segment.read_until)
            while True:
                for found in sides_of(self.segments, number):
                    side_id = found.run.writer.id
                    if side_id not in sides:
                        side_reader = Reader(found.path, begin.get(side_id, 0), keeps_open=False)
                        part = Part(side_reader, zero_s(found.run), id=side_id)
                        sides[side_id] = _ReadSide(found, part, decoder.starting_step)
                # Asked before what is there is read: what a process has written last is read too.
                may_end = not is_followed or has_exit or self._has_ended(segment)
                may_end = may_end and (not is_followed or all(side.has_ended() for side in sides.values()))
                for part, event in join([main, *(side.part for side in sides.values())], math.inf):
                    its = sides[part.id].decoder if part.id else decoder
                    if not isinstance(event, Record):
                        if part.id not in at_rest or event.reason != NO_BEGINNING:
                            yield Loss(event.n_bytes, event.reason, event.offset, its.log)
                        continue
                    at_rest.discard(part.id)
                    for record in its.decode(event.payload, event.offset):
                        if not part.id:
                            has_exit = has_exit or isinstance(record, Exit)
                        elif isinstance(record, Exit):
                            sides[part.id].has_exit = True
                            continue  # says nothing of the run
                        elif isinstance(record, RunInfo):
                            continue
                        yield record
                if may_end:
                    break
                if not has_exit or sides:
                    self.wait(self.poll_every_s)
            if reader.at_end:
                self.tail_bytes = reader.tail_bytes
            if not (has_exit or self._has_ended(segment)):
                return
            for part, its in [(main, decoder), *((side.part, side.decoder) for side in sides.values())]:
                loss = part.reader.loss_at_end() if part.reader.at_end else None
                if loss is not None:
                    yield Loss(loss.n_bytes, loss.reason, loss.offset, its.log)
            for its in [side.decoder for side in sides.values()]:
                row = its.pending()
                if row is not None:
                    yield row

    def _zero_s(self, segment: Segment) -> float:
        run = self._first_run(segment)
        return zero_s(run) if run is not None else 0.0

    def _is_wanted(self, row: Row, number: int, gone: _Rewinds) -> bool:
        if row.is_late and self._policy == "drop":
            self.n_late += 1
            return False
        return not gone.takes(row.step, (number, row.offset))

    def _has_ended(self, segment: Segment) -> bool:
        """Whether nobody writes to a segment any more, or what is written does not count."""
        if segment is not self.segments[-1]:
            return True
        return has_ended(segment.log.path, self._first_run(segment), ASSUME_DEAD_AFTER_S, time.time())

    def _first_run(self, segment: Segment) -> Optional[pb.RunRecord]:
        if segment not in self._first_runs:
            run = run_record(segment.log.path)
            if run is None:
                return None  # not yet: its process has just begun
            self._first_runs[segment] = run
        return self._first_runs[segment]

    def _starting_step(self, number: int) -> int:
        """Return what is added to the steps of a segment that counts from 0 again, as other clients' do."""
        first = self.segments[number].first
        if number == 0 or first.is_ours or not first.resumes:
            return 0
        before = self.segments[number - 1]
        last = -1
        begin, _ = start_of_last(before.log.path, 1, is_row, before.read_until)
        for event in events_from(before.log.path, begin, before.read_until):
            if isinstance(event, Record):
                for record in Decoder("").decode(event.payload, event.offset):
                    last = record.step if isinstance(record, Row) else last
        return last + 1 + self._starting_step(number - 1)

    def _rewinds(self) -> _Rewinds:
        """Return where the run goes back: where segments say so, and by the policy where rows do."""
        found: List[Tuple[Position, int]] = []
        last_step = -1
        for number, segment in enumerate(self.segments):
            if number and segment.first.is_rewound:
                last_step = int(segment.first.rewound_to)
                found.append(((number, -1), last_step + 1))
            if self._policy != "rewind":
                continue
            for record in self._decoded(number, {}, Decoder("", self._starting_step(number))):
                if isinstance(record, Row):
                    if record.is_late and record.step <= last_step:
                        found.append(((number, record.offset), record.step))
                    last_step = record.step
        return _Rewinds(found)

    def _look_for_more(self) -> bool:
        """Take in segments that have come since; says whether there are any."""
        log = self.segments[-1].log
        if self._is_one_log:
            return False
        now = run_of(log)
        if len(now) <= len(self.segments):
            return False
        self.segments = now
        return True


class _ReadSide:
    """A side log while it is read."""

    def __init__(self, side: Side, part: Part, starting_step: int) -> None:
        self.side = side
        self.part = part
        writer = side.run.writer
        self.decoder = Decoder(str(side.path), starting_step, writer.id, writer.label)
        self.has_exit = False

    def has_ended(self) -> bool:
        """Whether nobody writes to it any more."""
        ended = has_ended(self.side.path, self.side.run, ASSUME_DEAD_AFTER_S, time.time())
        return self.has_exit or ended


Position = Tuple[int, int]  # number of the segment, offset in it
Begin = Dict[str, int]  # offsets in the logs of a segment, by the ids of its side logs; of others it is 0


class _Rewinds:
    """Which rows are taken back by something that comes later."""

    def __init__(self, found: Sequence[Tuple[Position, int]]) -> None:
        """Take positions, in order, and the step from which on each of them takes back what was before."""
        self._positions = [position for position, _ in found]
        self._smallest: List[int] = []  # step, of this one and those behind it
        for _, step in reversed(found):
            self._smallest.append(min([step, *self._smallest[-1:]]))
        self._smallest.reverse()

    def takes(self, step: int, position: Position) -> bool:
        """Whether the row of a step that stands at a position is taken back."""
        at = bisect.bisect_right(self._positions, position)
        return at < len(self._positions) and self._smallest[at] <= step


def keys_picker(keys: Sequence[str]) -> Callable[[Mapping[str, Any]], Dict[str, Any]]:
    """Return what picks the values of these names, in this order, out of a row by dotted name."""
    if not any("*" in key for key in keys):
        return lambda flat: {key: flat[key] for key in keys if key in flat}
    patterns = [re.compile(re.escape(key).replace(r"\*", ".*") + r"\Z", re.DOTALL) for key in keys]

    def pick(flat: Mapping[str, Any]) -> Dict[str, Any]:
        return {name: flat[name] for pattern in patterns for name in flat if pattern.match(name)}

    return pick


def _lines_of(records: Iterable[TypedRecord]) -> Iterator[ConsoleLine]:
    console = Console()
    final: List[Tuple[int, ConsoleLine]] = []  # a heap by number
    console.on_final = lambda _, line: heapq.heappush(final, (line.number, _line(line)))
    for record in records:
        if not isinstance(record, ConsoleText):
            continue
        at_us = int(record.timestamp * 1e6)
        if record.is_line:
            console.write_line(record.text, at_us, record.label)
        else:
            stream = STDERR if record.is_error else STDOUT
            console.write(stream, record.text, at_us, record.process, record.label)
        console.changed = {}
        if final:
            first_live = min([line.number for line in console.live_lines()], default=console.n_lines)
            while final and (final[0][0] < first_live or len(final) > _LINES_IN_HAND):
                yield heapq.heappop(final)[1]
    final += [(line.number, _line(line)) for line in console.live_lines()]
    yield from (line for _, line in sorted(final, key=lambda numbered: numbered[0]))


def _line(line: Line) -> ConsoleLine:
    return ConsoleLine(line.text, line.is_error, line.at_us / 1e6, line.label)
