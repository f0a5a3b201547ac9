"""What a log says, as plain Python values: one class per kind of record.

Rule 1: a class says what was logged, in the types in which it was logged; nothing is rounded or renamed.
Rule 2: what cannot be understood is a Loss.  Nothing here raises for what is in a log.
Rule 3: `offset` is where the record begins in the file `log`, in bytes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Dict, Iterator, List, Optional, Tuple, Union

from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message

from wandb.proto import record_pb2 as pb
from wandb_sync.json_tree import leaf_text, path_of
from wandb_sync.join import seconds

UNREADABLE = "unreadable"  # a whole record whose content nobody can read
SEGMENT_MISSING = "segment missing"  # a log of the run is not here, or not all of it


@dataclass(frozen=True)
class Row:
    """What was logged for one step.

    Attributes:
        values: As they were logged; what stood in a dict stands in a dict.  `_step`, `_runtime` (seconds) and
            `_timestamp` (seconds since the epoch) are among them.
        timestamp: When, in seconds since the epoch; None if the log does not say.
        is_late: Whether the step is smaller than that of a row before.
    """

    step: int
    values: Dict[str, Any]
    timestamp: Optional[float]
    offset: int
    log: str
    is_late: bool = False

    def flat(self) -> Dict[str, Any]:
        """Return the values by dotted name: {"train": {"loss": 1}} is "train.loss"."""
        if not any([type(value) is dict for value in self.values.values()]):
            return self.values
        found: Dict[str, Any] = {}
        _flatten(self.values, "", found)
        return found


@dataclass(frozen=True)
class RunInfo:
    """Which run it is; a later one replaces it.

    Attributes:
        started: Since when this segment was recorded, in seconds since the epoch.
    """

    id: str
    project: str
    entity: str
    name: str
    group: str
    job_type: str
    notes: str
    tags: Tuple[str, ...]
    host: str
    started: float
    offset: int
    log: str


@dataclass(frozen=True)
class ConfigChange:
    """Config values that were set and removed; a path is the keys from the top."""

    update: Dict[Tuple[str, ...], Any]
    remove: List[Tuple[str, ...]]
    offset: int
    log: str


@dataclass(frozen=True)
class SummaryChange:
    """Summary values that were set and removed; a path is the keys from the top."""

    update: Dict[Tuple[str, ...], Any]
    remove: List[Tuple[str, ...]]
    offset: int
    log: str


@dataclass(frozen=True)
class ConsoleText:
    """A piece of output as it was written: part of a line, one, or several.

    Attributes:
        is_line: Whether it is whole lines that were never meant for a terminal.
        process: The id of the side log, where a run has several processes; "" is the main one.
        label: What that process calls itself.
    """

    text: str
    is_error: bool
    timestamp: float
    offset: int
    log: str
    is_line: bool = False
    process: str = ""
    label: str = ""


@dataclass(frozen=True)
class ConsoleLine:
    """A line as a terminal shows it.

    Attributes:
        timestamp: When its first piece was written, in seconds since the epoch.
        label: What its process calls itself, where a run has several.
    """

    text: str
    is_error: bool
    timestamp: float
    label: str = ""


@dataclass(frozen=True)
class SystemMetrics:
    """One sample of the machine: name -> value."""

    values: Dict[str, Any]
    timestamp: float
    offset: int
    log: str


@dataclass(frozen=True)
class File:
    """A file of the run, relative to its directory `files`; `policy` is now, end or live."""

    path: str
    policy: str
    kind: str
    offset: int
    log: str


@dataclass(frozen=True)
class Metric:
    """A definition, as `define_metric` has made it."""

    name: str
    step_metric: str
    summary: Tuple[str, ...]
    goal: str
    hidden: bool
    offset: int
    log: str


@dataclass(frozen=True)
class Alert:
    """A message to the user."""

    title: str
    text: str
    level: str
    offset: int
    log: str


@dataclass(frozen=True)
class Environment:
    """Machine, program, versions: what wandb-metadata.json shows."""

    values: Dict[str, Any]
    offset: int
    log: str


@dataclass(frozen=True)
class Preempting:
    """The scheduler was about to take the machine away."""

    offset: int
    log: str


@dataclass(frozen=True)
class Exit:
    """The last word of a process that ended in order; `runtime` is in seconds."""

    exit_code: int
    runtime: int
    offset: int
    log: str


@dataclass(frozen=True)
class GivenUp:
    """Records that the recorder could not keep while the log could not be written."""

    reason: str
    rows: int
    console: int
    system_metrics: int
    other: int
    first_step: int
    last_step: int
    since: float
    until: float
    offset: int
    log: str

    @property
    def n_records(self) -> int:
        return self.rows + self.console + self.system_metrics + self.other


@dataclass(frozen=True)
class Loss:
    """A piece of the log that cannot be read; see `reason` in schema/log/FORMAT.md, "Reading"."""

    n_bytes: int
    reason: str
    offset: int
    log: str


@dataclass(frozen=True)
class Other:
    """A record without a class of its own: its kind in the schema, and the message itself."""

    kind: str
    message: Message = field(repr=False)
    offset: int = 0
    log: str = ""


TypedRecord = Union[
    Row,
    RunInfo,
    ConfigChange,
    SummaryChange,
    ConsoleText,
    SystemMetrics,
    File,
    Metric,
    Alert,
    Environment,
    Preempting,
    Exit,
    GivenUp,
    Loss,
    Other,
]

# A text's value and its end, in a third of the time of json.loads.
_scan = json.JSONDecoder().scan_once  # type: ignore[attr-defined]
_NO_VALUE = object()
MAX_DEPTH = 100  # of a value, and of a path; each level costs whoever walks through it a frame


class Decoder:
    """Makes typed records of the records of one log, in order.

    Attributes:
        starting_step: Added to each step: where the log goes on with one that does not say so itself.
    """

    def __init__(self, log: str, starting_step: int = 0, process: str = "", label: str = "") -> None:
        """Begin; `process` and `label` are those of a side log."""
        self.log = log
        self._who = (process, label)
        self.starting_step = starting_step
        self._pending: Dict[str, Any] = {}
        self._pending_step = 0
        self._pending_offset = 0
        self._last_at = 0.0  # of output; finished lines have no time of their own

    def decode(self, payload: bytes, offset: int) -> Iterator[TypedRecord]:
        """Yield what a record says: mostly one thing, sometimes none or several."""
        record = pb.Record()
        try:
            record.ParseFromString(payload)
            kind = record.WhichOneof("record_type")
            if kind == "history":
                self._pending = {}
                yield self._row(record.history, offset, False)
            elif kind is None:
                yield Loss(len(payload), UNREADABLE, offset, self.log)
            else:
                method = getattr(self, "_" + kind, None)
                message = getattr(record, kind)
                # A list: what is wrong within is to be found before anything of it is handed out.
                found = (
                    [Other(kind, message, offset, self.log)] if method is None else method(message, offset)
                )
                yield from found
        except (DecodeError, ValueError, TypeError, OverflowError, RecursionError):
            yield Loss(len(payload), UNREADABLE, offset, self.log)

    def pending(self) -> Optional[Row]:
        """Return the row that waits for its end, as far as it is; None if there is none."""
        if not self._pending:
            return None
        return self._made_row(self._pending, self._pending_step, self._pending_offset, False)

    # ---- kinds; the names are those of the fields of Record

    def _row(self, history: pb.HistoryRecord, offset: int, is_late: bool) -> Row:
        values = _values_of(history.item)
        return self._made_row(values, history.step.num, offset, is_late)

    def _made_row(self, values: Dict[str, Any], num: int, offset: int, is_late: bool) -> Row:
        said = values.get("_step")
        step = num or (int(said) if isinstance(said, (int, float)) else 0)
        step += self.starting_step
        values["_step"] = step
        at = values.get("_timestamp")
        timestamp = float(at) if isinstance(at, (int, float)) else None
        return Row(step, values, timestamp, offset, self.log, is_late)

    def _footer(self, footer: pb.FooterRecord, offset: int) -> List[TypedRecord]:
        found: List[TypedRecord] = []
        if footer.HasField("pending"):
            self._pending_step, self._pending_offset = footer.pending.step.num, offset
            _merge(self._pending, _values_of(footer.pending.item))
        if footer.HasField("late"):
            found.append(self._row(footer.late, offset, True))
        if footer.HasField("lost"):
            lost = footer.lost
            counts = (lost.history, lost.console, lost.stats, lost.other)
            span = (lost.first_step, lost.last_step, seconds(lost.since), seconds(lost.until))
            found.append(GivenUp(lost.reason, *counts, *span, offset, self.log))
        return found

    def _run(self, run: pb.RunRecord, offset: int) -> List[TypedRecord]:
        info = RunInfo(
            run.run_id,
            run.project,
            run.entity,
            run.display_name,
            run.run_group,
            run.job_type,
            run.notes,
            tuple(run.tags),
            run.host,
            seconds(run.start_time),
            offset,
            self.log,
        )
        found: List[TypedRecord] = [info]
        if run.config.update or run.config.remove:
            found += self._config(run.config, offset)
        if run.summary.update or run.summary.remove:
            found += self._summary(run.summary, offset)
        return found

    def _config(self, config: pb.ConfigRecord, offset: int) -> List[TypedRecord]:
        return [ConfigChange(*_changes(config), offset, self.log)]

    def _summary(self, summary: pb.SummaryRecord, offset: int) -> List[TypedRecord]:
        return [SummaryChange(*_changes(summary), offset, self.log)]

    def _output_raw(self, output: pb.OutputRawRecord, offset: int) -> List[TypedRecord]:
        is_error = output.output_type == pb.OutputRawRecord.STDERR
        self._last_at = seconds(output.timestamp)
        return [ConsoleText(output.line, is_error, self._last_at, offset, self.log, False, *self._who)]

    def _output_logger(self, output: pb.OutputLoggerRecord, offset: int) -> List[TypedRecord]:
        return [ConsoleText(output.line, False, self._last_at, offset, self.log, True, *self._who)]

    def _stats(self, stats: pb.StatsRecord, offset: int) -> List[TypedRecord]:
        return [SystemMetrics(_values_of(stats.item), seconds(stats.timestamp), offset, self.log)]

    def _files(self, files: pb.FilesRecord, offset: int) -> List[TypedRecord]:
        policies, kinds = pb.FilesItem.PolicyType, pb.FilesItem.FileType
        return [
            File(
                item.path,
                policies.Name(item.policy).lower() if item.policy in policies.values() else str(item.policy),
                kinds.Name(item.type).lower() if item.type in kinds.values() else str(item.type),
                offset,
                self.log,
            )
            for item in files.files
        ]

    def _metric(self, metric: pb.MetricRecord, offset: int) -> List[TypedRecord]:
        goals = {pb.MetricRecord.GOAL_MINIMIZE: "minimize", pb.MetricRecord.GOAL_MAXIMIZE: "maximize"}
        summary = tuple(bit.name for bit, is_set in metric.summary.ListFields() if is_set)
        name = metric.glob_name or metric.name
        goal = goals.get(metric.goal, "")
        return [Metric(name, metric.step_metric, summary, goal, metric.options.hidden, offset, self.log)]

    def _alert(self, alert: pb.AlertRecord, offset: int) -> List[TypedRecord]:
        return [Alert(alert.title, alert.text, alert.level, offset, self.log)]

    def _environment(self, environment: pb.EnvironmentRecord, offset: int) -> List[TypedRecord]:
        return [Environment(json_format.MessageToDict(environment), offset, self.log)]

    def _preempting(self, _: pb.RunPreemptingRecord, offset: int) -> List[TypedRecord]:
        return [Preempting(offset, self.log)]

    def _exit(self, record: pb.RunExitRecord, offset: int) -> List[TypedRecord]:
        if record.not_complete:
            return []
        return [Exit(record.exit_code, record.runtime, offset, self.log)]


def _value(text: str) -> Any:
    """Return the value of a JSON text; _NO_VALUE if it is none."""
    try:
        value, end = _scan(text, 0)
    except (StopIteration, ValueError, RecursionError):
        return _NO_VALUE
    if end != len(text):
        return _NO_VALUE
    # What is nested so deep was made to break readers: it stays a text.
    return text if text[:1] in "[{" and _depth(text) > MAX_DEPTH else value


def _depth(text: str) -> int:
    """Return how deep a JSON text may be nested, at most; brackets within its strings count too."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return 0
    depth = deepest = 0
    for char in text:
        depth += (char in "[{") - (char in "]}")
        deepest = max(deepest, depth)
    return deepest


def _values_of(items: Any) -> Dict[str, Any]:
    """Return the items of a record as a dict; a value that is no JSON is left out, as wandb does."""
    values: Dict[str, Any] = {}
    for item in items:
        text = item.value_json
        value = _value(text or leaf_text(item))
        if value is _NO_VALUE:
            continue
        key = item.key
        if key or isinstance(item, pb.StatsItem):  # whose names are never paths
            values[key] = value
        else:
            _put(values, path_of(item), value)
    return values


def _changes(record: Any) -> Tuple[Dict[Tuple[str, ...], Any], List[Tuple[str, ...]]]:
    update = {path_of(item): _value(leaf_text(item)) for item in record.update}
    kept = {path: value for path, value in update.items() if value is not _NO_VALUE}
    return kept, [path_of(item) for item in record.remove]


def _put(values: Dict[str, Any], path: Tuple[str, ...], value: Any) -> None:
    if len(path) > MAX_DEPTH:
        raise ValueError("nested too deep")
    for key in path[:-1]:
        below = values.get(key)
        if not isinstance(below, dict):
            below = values[key] = {}
        values = below
    values[path[-1]] = value


def _merge(values: Dict[str, Any], other: Dict[str, Any]) -> None:
    for key, value in other.items():
        below = values.get(key)
        if isinstance(value, dict) and isinstance(below, dict):
            _merge(below, value)
        else:
            values[key] = value


def _flatten(values: Dict[str, Any], prefix: str, found: Dict[str, Any]) -> None:
    for key, value in values.items():
        if type(value) is dict and value and "_type" not in value:
            _flatten(value, f"{prefix}{key}.", found)
        else:
            found[prefix + key] = value
