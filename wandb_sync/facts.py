"""What a run has come to: who it is, config, summary, state; from the end of its log where that is enough.

Our recorder notes every 64 KiB what the run has come to (RunState), so a log of any size
costs its first records, its last note and what follows that.  Logs of other clients have no notes and are
read whole.

Rule: config and summary are those that `wandb sync` would bring to the server; its own parts make them here.
"""

from __future__ import annotations

import contextlib
import json
import math
import time
from typing import Any, Dict, List, Mapping, Optional, Sequence

from google.protobuf import json_format
from google.protobuf.message import DecodeError

from wandb.proto import record_pb2 as pb
from wandb.transaction_log.format import BLOCK_BYTES
from wandb.transaction_log.parser import Record
from wandb.transaction_log.reader import Reader
from wandb_sync.backwards import events_from, last_note
from wandb_sync.follow import ASSUME_DEAD_AFTER_S, has_ended
from wandb_sync.json_tree import Tree, row_tree
from wandb_sync.metrics import Metrics
from wandb_sync.run_config import RunConfig
from wandb_sync.join import Part, join, seconds
from wandb_sync.segments import Segment, run_record
from wandb_sync.session import OUR_PRODUCER
from wandb_sync.sides import Side, sides_of, zero_s
from wandb_sync.summary import Summary

RUNNING = "running"  # its process lives, or the log has changed lately
FINISHED = "finished"  # exit code 0
CRASHED = "crashed"  # another exit code
KILLED = "killed"  # by a signal: without a last word, or with an exit code that says so

_OF_THE_RUN = ("header", "run", "exit", "footer", "preempting", "environment")
_SIGNALLED = range(129, 160)  # 128 + the number of a signal
_HEAD_BYTES = 2 * BLOCK_BYTES  # what is said at the begin: run, environment
# What a note says of the run instead of its first record; see RunState.run.
_NOTED = ("project", "display_name", "notes", "tags", "run_group", "job_type")


class Facts:
    """What the records said, taken in the order of the log.

    Attributes:
        run: The last run record; its start time is that of the last segment.
        started_s: When the run's first segment began, in seconds since the epoch.
        n_rows: Rows of all segments; without late ones.
        n_late: Rows whose step went back.
        last_step: None if there is no row.
        exit_code: Of the last segment; None as long as it has not said its last word.
    """

    def __init__(self) -> None:
        self.run = pb.RunRecord()
        self.started_s = 0.0
        self.n_rows = 0
        self.n_late = 0
        self.last_step: Optional[int] = None
        self.exit_code: Optional[int] = None
        self.exit_runtime_s: Optional[int] = None
        self.is_preempted = False
        self.environment = pb.EnvironmentRecord()
        self.metrics = Metrics()
        self._config = RunConfig()
        self._folded = Summary()
        self._is_ours = False
        self._starting_step = 0
        self._noted_runtime_s: Optional[float] = None
        self._pending: Tree = {}

    @property
    def config(self) -> Dict[str, Any]:
        """The config that the user has set."""
        return _public(self._config.values)

    @property
    def summary(self) -> Dict[str, Any]:
        """The summary as it would be uploaded, without what wandb itself adds."""
        return _public(self.whole_summary)

    @property
    def whole_summary(self) -> Dict[str, Any]:
        """The summary with `_step`, `_runtime` and the like."""
        try:
            return dict(json.loads(self._folded.text()))
        except (ValueError, RecursionError):  # what no syncer could upload either
            return {}

    @property
    def host_facts(self) -> Dict[str, Any]:
        """What the log says of machine and program."""
        return dict(json_format.MessageToDict(self.environment))

    @property
    def runtime_s(self) -> Optional[float]:
        """How long the run ran, all segments together, as far as the log says."""
        summary = self.whole_summary
        said: List[Any] = [summary.get("_runtime"), self.exit_runtime_s, self._noted_runtime_s]
        if isinstance(summary.get("_wandb"), dict):
            said.append(summary["_wandb"].get("runtime"))
        numbers = [float(value) for value in said if isinstance(value, (int, float))]
        return max(numbers, default=None)

    def take(self, payload: bytes, side: str = "") -> None:
        """Take a record; what cannot be read is passed over.

        Args:
            side: The id of the side log it is from; such a record says nothing of the run as a whole.
        """
        record = pb.Record()
        try:
            record.ParseFromString(payload)
            kind = record.WhichOneof("record_type")
            method = getattr(self, f"_take_{kind}", None)
            if method is None or (side and kind in _OF_THE_RUN):
                return
            last_step = self.last_step
            method(getattr(record, str(kind)))
            if side and last_step is not None and self.last_step is not None:
                self.last_step = max(last_step, self.last_step)  # each process has steps of its own
        except (DecodeError, ValueError, TypeError, OverflowError, RecursionError):
            pass

    def take_note(self, state: pb.RunState) -> None:
        """Take a note of the recorder, which says all that the records before it have said."""
        self._config.values = {}
        self._config.apply(state.config)
        self._folded = Summary.of_state(state)
        self.metrics = Metrics()
        for definition in state.metrics:
            self.metrics.add(definition)
        self.n_rows, self.n_late = state.lines.history, state.lines.late_history
        self.last_step = state.next_step - 1 if state.next_step else None
        self._pending = {}
        self._noted_runtime_s = state.runtime or None
        for name in _NOTED:
            self.run.ClearField(name)
        self.run.MergeFrom(state.run)

    def end_row(self) -> None:
        """Take the row that waits for its end: its process has ended."""
        if self._pending:
            self._add_row(self._pending)

    # ---- kinds; `_take_` and the name of a field of Record

    def _take_header(self, header: pb.HeaderRecord) -> None:
        self._is_ours = header.version_info.producer.startswith(OUR_PRODUCER)

    def _take_run(self, run: pb.RunRecord) -> None:
        if not self.run.run_id and run.HasField("segment"):
            self.n_rows = run.segment.begin.history
            self.n_late = run.segment.begin.late_history
        self.exit_code = self.exit_runtime_s = None  # those of a segment before
        if (run.resume or run.resumed) and self.last_step is not None and not self._is_ours:
            self._starting_step = self.last_step + 1
        if not self.started_s:
            first = run.segment.first_start_time if run.HasField("segment") else run.start_time
            self.started_s = seconds(first)
        self._config.apply(run.config)
        self._folded.apply(run.summary)
        self.run.CopyFrom(run)
        for name in ("config", "summary", "telemetry"):
            self.run.ClearField(name)

    def _take_history(self, history: pb.HistoryRecord) -> None:
        self._pending = {}
        if self._is_ours:
            row = row_tree(history.item)
            if "_step" not in row:
                row["_step"] = str(history.step.num)
            self._add_row(row)
            return
        self.n_rows += 1
        step = history.step.num
        for item in () if step else history.item:
            if (item.key or ".".join(item.nested_key)) == "_step":
                step = int(float(item.value_json))
        self.last_step = step + self._starting_step

    def _add_row(self, row: Tree) -> None:
        self._pending = {}
        self.n_rows += 1
        step = row.get("_step")
        self.last_step = int(float(step)) if isinstance(step, str) else self.last_step
        self._folded.fold(row, self.metrics)

    def _take_footer(self, footer: pb.FooterRecord) -> None:
        if footer.HasField("state"):
            return
        if footer.HasField("pending"):
            self._pending.update(row_tree(footer.pending.item))
            self._pending.setdefault("_step", str(footer.pending.step.num))
        if footer.HasField("late"):
            self.n_late += 1

    def _take_config(self, config: pb.ConfigRecord) -> None:
        self._config.apply(config)

    def _take_summary(self, summary: pb.SummaryRecord) -> None:
        self._folded.apply(summary)

    def _take_metric(self, metric: pb.MetricRecord) -> None:
        self.metrics.add(metric)
        self._folded.redefine(metric)

    def _take_environment(self, environment: pb.EnvironmentRecord) -> None:
        self.environment.MergeFrom(environment)

    def _take_preempting(self, _: pb.RunPreemptingRecord) -> None:
        self.is_preempted = True

    def _take_exit(self, record: pb.RunExitRecord) -> None:
        if not record.not_complete:
            self.exit_code, self.exit_runtime_s = record.exit_code, record.runtime


def facts_of(segments: Sequence[Segment]) -> Facts:
    """Return what a run has come to, reading no more of its logs than that takes.

    Raises:
        LogError: A log cannot be read.
    """
    facts = Facts()
    last = segments[-1]
    says_all = last.first.is_ours and (len(segments) == 1 or bool(last.first.previous))
    for segment in [last] if says_all else segments:
        path = segment.log.path
        sides = sides_of(segments, segments.index(segment))
        may_have_note = segment.first.is_ours and not sides  # it knows nothing of other processes
        note, note_end = last_note(path, segment.read_until) if may_have_note else (None, 0)
        if sides:
            _take_all(facts, segment, sides)
        elif note is None:
            for event in events_from(path, 0, segment.read_until):
                if isinstance(event, Record):
                    facts.take(event.payload)
        else:
            for event in events_from(path, 0, min(note_end, _HEAD_BYTES)):
                if isinstance(event, Record):
                    facts.take(event.payload)
            facts.take_note(note)
            for event in events_from(path, note_end, segment.read_until):
                if isinstance(event, Record):
                    facts.take(event.payload)
        if segment is not last:
            facts.end_row()
    if state_of(last, facts) != RUNNING:
        facts.end_row()
    return facts


def _take_all(facts: Facts, segment: Segment, sides: Sequence[Side]) -> None:
    """Take the records of a log and of its side logs, in order of time."""
    with contextlib.ExitStack() as stack:
        run = run_record(segment.log.path)
        main = stack.enter_context(Reader(segment.log.path))
        parts = [Part(main, zero_s(run) if run is not None else 0.0, limit=segment.read_until)]
        for side in sides:
            parts.append(Part(Reader(side.path, keeps_open=False), zero_s(side.run), id=side.id))
        for part, event in join(parts, math.inf):
            if isinstance(event, Record):
                facts.take(event.payload, part.id)


def state_of(last: Segment, facts: Facts, now_s: Optional[float] = None) -> str:
    """Return RUNNING, FINISHED, CRASHED or KILLED.

    Args:
        last: The run's last segment.
        now_s: Seconds since the epoch.
    """
    if facts.exit_code is not None:
        if facts.exit_code in _SIGNALLED:
            return KILLED
        return CRASHED if facts.exit_code else FINISHED
    now_s = time.time() if now_s is None else now_s
    ended = has_ended(last.log.path, facts.run, ASSUME_DEAD_AFTER_S, now_s)
    return KILLED if ended else RUNNING


def _public(values: Mapping[str, Any]) -> Dict[str, Any]:
    return {key: value for key, value in values.items() if not key.startswith("_")}
