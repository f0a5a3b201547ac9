"""`run.log`: rows, their steps, and what follows from them.

Behaves as wandb 0.31 (observed): without `step` a call is a row; with `step=n`, or `commit=False`, calls are
merged until a larger step, a commit, or the end.  A row adds `_step`, `_runtime` and `_timestamp`; a user's
own `_timestamp` counts, a `_step` in the data does not.

Rule 1: the record is written before anything in memory changes: what cannot be written was not logged.  Only
        the step is taken before: an interrupt, or a signal handler that logs, comes in the midst of the
        write.
Rule 2: rows of numbers whose keys were seen before take the short way (`log`'s first half); whatever is not
        that takes `_log_any`, and both write the same.
Rule 3: a part of a row that waits for its end is in the log too, as a footer record (decision 0003), and so
        is a row whose step goes back (decision 0008): the syncer's user decides what becomes of it.
Rule 4: what the run has come to is noted every now and then: who goes on with it reads the end of the log
        only.
"""

from __future__ import annotations

from math import inf
from time import monotonic, time
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Mapping, Optional, Tuple

from wandb.backend.base import Backend
from wandb.errors import LogWriteError, ValidationError
from wandb.interface import records
from wandb.interface.limits import MAX_STEP
from wandb.interface.rows import FAST_KINDS, RowEncoder, check_keys, plain_row
from wandb.interface.values import Path, flatten, holds_media, kind_name
from wandb.sdk.wandb_metric import Metric, Metrics, aggregates_of
from wandb.sdk.wandb_summary import SummaryState, Watched

if TYPE_CHECKING:
    from wandb.sdk.wandb_media import RowMedia

SUMMARY_EVERY_S = 30.0  # for wandb's own reader, should the process be killed: the price is 8 kB per 200 keys
SUMMARY_BYTES = 65_536  # a larger summary is written less often, in proportion
STATE_EVERY_BYTES = 64 * 1024  # of rows: what a requeued job has to read of the log
MAX_PLANNED_KEYS = 50_000  # of all plans together; rows with ever new keys must not grow us without end
MAX_STATE_SHARE = 64  # ... or so many times what is written then, if that is more
OWN_KEYS = ("_step", "_runtime", "_timestamp")


class _Plan:
    """What is known in advance of rows with certain keys."""

    __slots__ = ("layout", "watched", "inserted", "axes")

    def __init__(
        self,
        layout: Any,
        watched: Watched,
        inserted: Tuple[str, ...],
        axes: Tuple[str, ...],
    ) -> None:
        self.layout = layout
        self.watched = watched
        self.inserted = inserted  # step metrics that the row lacks and that have a value
        self.axes = axes  # keys of the row that are some metric's step metric


class History:
    """The rows of one run.

    Attributes:
        step: The step of the next row, or of the row that waits for its end.
        late_rows: How many rows' steps went back, in all segments.
        late_rows_here: How many of these this process has logged.
    """

    __slots__ = (
        "step",
        "late_rows",
        "late_rows_here",
        "_describe",
        "_row_bytes",
        "_last_values",
        "_state_every_bytes",
        "_step_of_line_0",
        "_summary_due_step",
        "_append",
        "_media",
        "_backend",
        "_summary",
        "_metrics",
        "_warn",
        "_encoder",
        "_plans",
        "_n_planned_keys",
        "_axis_values",
        "_nested_axes",
        "_pending",
        "_pending_at_s",
        "_started",
        "_summary_due_s",
        "_lock",
    )

    def __init__(
        self,
        backend: Backend,
        summary: SummaryState,
        metrics: Metrics,
        warn: Callable[[str], None],
        describe: Callable[[], Mapping[str, Any]],
        *,
        media: Optional[Callable[[], RowMedia]] = None,
        starting_step: int = 0,
        runtime_s: float = 0.0,
        n_lines: int = 0,
        late_rows: int = 0,
        is_side: bool = False,
    ) -> None:
        """Begin with the next row.

        Args:
            describe: Returns what a RunState says beside rows, summary and definitions.
            media: Returns what writes media; without it, they are left out of the rows.
            starting_step: Of the next row.
            runtime_s: How long earlier segments ran.
            n_lines: How many rows they have.
            late_rows: How many whose steps went back.
            is_side: Other processes record rows of the run too: what these come to is not said here.
        """
        self.step = starting_step
        self.late_rows = late_rows
        self.late_rows_here = 0
        self._describe = describe
        self._last_values: List[Any] = []  # of the last row; those of OWN_KEYS are at the end
        self._row_bytes = 1  # of the last row that took the long way
        self._state_every_bytes = STATE_EVERY_BYTES
        self._step_of_line_0 = starting_step - n_lines  # were every step a row; moves with those left out
        self._summary_due_step = starting_step + STATE_EVERY_BYTES
        self._append: Callable[[bytes], None] = backend.append
        self._media = media
        self._backend = backend
        self._lock = backend.lock
        self._summary = summary
        self._metrics = metrics
        self._warn = warn
        self._encoder = RowEncoder()
        self._plans: Dict[Tuple[str, ...], Optional[_Plan]] = {}
        self._n_planned_keys = 0
        # Of a run that goes on, the summary has the axes' last values.
        self._axis_values: Dict[str, Any] = {
            axis: summary.tree[axis]
            for axis in metrics.step_metrics()
            if isinstance(summary.tree.get(axis), (int, float))
        }
        self._nested_axes: Dict[str, Tuple[str, ...]] = {}  # name of an axis inside a dict -> where it stands
        self._pending: Optional[Dict[Path, Any]] = None
        self._pending_at_s = 0.0
        self._started = monotonic() - runtime_s
        self._summary_due_s = runtime_s + SUMMARY_EVERY_S  # by the run's clock: that of the machine may jump
        if is_side:
            self._summary_due_step, self._summary_due_s = MAX_STEP, inf

    def log(self, data: Dict[str, Any], step: Optional[int] = None, commit: Optional[bool] = None) -> None:
        """Record one row, or a part of one; when this returns it is in the kernel's hands.

        Raises:
            ValidationError: A key or a value cannot be stored, or `step` is no int; nothing was recorded.
            LogWriteError: The log could not be written; nothing was recorded.
        """
        with self._lock:
            if step is None and commit is not False and self._pending is None and type(data) is dict:
                plan = self._plans.get(tuple(data))
                if plan is not None:
                    row = data
                    if plan.inserted:
                        row = {**data, **{name: self._axis_values[name] for name in plan.inserted}}
                    values = [*row.values()]
                    if FAST_KINDS.issuperset(map(type, values)):
                        runtime_s = monotonic() - self._started
                        number = self.step
                        values += (number, runtime_s, time())
                        body = self._encoder.fast_row(plan.layout, values, number)
                        self.step = number + 1
                        try:
                            self._append(body)
                        except LogWriteError:
                            self._give_back(number)
                            raise
                        self._last_values = values
                        self._summary.add_row(row, plan.watched)
                        if plan.axes:
                            for name in plan.axes:
                                self._axis_values[name] = row[name]
                        if number >= self._summary_due_step or runtime_s > self._summary_due_s:
                            self.write_summary()
                        return
            if not hasattr(data, "keys") or not any(map(holds_media, data.values())):
                self._log_any(data, step, commit)
                return
        self._log_media(dict(data), step, commit)

    def define(self, metric: Metric, overwrite: bool) -> None:
        """Take a metric definition; rows from here on follow it."""
        with self._lock:
            self._append(records.metric(metric.record_fields(overwrite)))
            self._metrics.add(metric, overwrite)
            self._summary.redefine(metric.name)
            self._plans.clear()

    def flush(self) -> None:
        """Write the row that waits for its end, if there is one."""
        with self._lock:
            if self._pending is not None:
                self._end_row()

    def end(self, refuse: Callable[[bytes], None]) -> None:
        """Take no more rows: what a thread still logs goes to `refuse` instead, which raises."""
        with self._lock:
            self._append = refuse

    def own_values(self) -> Dict[str, Any]:
        """Return what the last row has under OWN_KEYS; empty before the first one."""
        return dict(zip(OWN_KEYS, self._last_values[-len(OWN_KEYS) :]))

    @property
    def n_lines(self) -> int:
        """How many rows the run has, in all segments; without one that waits for its end."""
        return self.step - self._step_of_line_0

    def runtime_s(self) -> float:
        """Return the seconds since the run began, by a clock that does not jump."""
        return monotonic() - self._started

    def write_summary(self) -> None:
        """Write the whole summary, for readers that do not fold the rows, and what the run has come to."""
        with self._lock:
            tree = self._summary.tree
            size = 0
            if tree:
                whole: Dict[Path, Any] = dict(tree.items())
                whole.update(_runtime=self.runtime_s(), _timestamp=time())
                if self.step:
                    whole["_step"] = self.step - 1
                body = records.summary(whole, whole=True)
                size = len(body)
                self._append(body)
            state = self._state()
            self._append(state)
            size += len(state)
            self._summary_due_s = self.runtime_s() + SUMMARY_EVERY_S * max(1.0, size / SUMMARY_BYTES)
            self._state_every_bytes = max(STATE_EVERY_BYTES, MAX_STATE_SHARE * size)
            self._summary_due_step = self.step + self._state_every_bytes // self._row_bytes

    def _state(self) -> bytes:
        beside = self._describe()
        return records.run_state(
            {
                "next_step": self.step,
                "runtime": self.runtime_s(),
                **self._summary.record_fields(),
                "metrics": [metric.record_fields(False) for metric in self._metrics],
                **beside,
                "lines": {
                    **beside.get("lines", {}),
                    "history": self.n_lines - self._backend.given_up.rows,
                    "late_history": self.late_rows - self._backend.given_up.late_rows,
                },
            }
        )

    def _log_media(self, data: Dict[str, Any], step: Any, commit: Optional[bool]) -> None:
        """Record a row with media in it.  They are encoded first, while other threads may log."""
        check_keys(data)
        media = {key: value for key, value in data.items() if holds_media(value)}
        others = plain_row({key: value for key, value in data.items() if key not in media})
        row_media = None if self._media is None else self._media()
        made = None if row_media is None else row_media.made(media)
        with self._lock:
            number = self.step if step is None else _checked_step(step)
            stored = {}
            if row_media is not None and made is not None:
                stored = plain_row(row_media.stored(made, number))
            self._log_any({**others, **stored}, step, commit)

    def _log_any(self, data: Any, step: Any, commit: Optional[bool]) -> None:
        if not hasattr(data, "keys"):
            raise ValidationError("log", f"wandb.log must be passed a dictionary, not {kind_name(data)}")
        data = dict(data)
        row = plain_row(data)
        flat = dict(flatten(row))
        flat.pop("_step", None)
        flat.pop("_runtime", None)
        if step is not None:
            number = _checked_step(step)
            if number < self.step:
                self._keep_late(flat, number)
                return
            if number > self.step:
                if self._pending is not None:
                    self._end_row()
                self._step_of_line_0 += number - self.step
                self.step = number
        is_end = commit if commit is not None else step is None
        merged = flat if self._pending is None else {**_without_clashes(self._pending, flat), **flat}
        now = time()
        if is_end:
            self._write_row(merged, now)
            self._learn(data)
        else:
            own: Dict[Path, Any] = {"_runtime": self.runtime_s(), "_timestamp": now}
            self._append(self._encoder.pending({**own, **flat}, self.step))
            self._pending = merged
            self._pending_at_s = now

    def _keep_late(self, row: Dict[Path, Any], number: int) -> None:
        """Write a row whose step went back, where only our syncer looks for it."""
        whole = {"_timestamp": time(), **row, "_step": number, "_runtime": self.runtime_s()}
        self._append(self._encoder.late(whole, max(number, 0)))  # `_step` says it, should it be negative
        self.late_rows += 1
        self.late_rows_here += 1
        if self.late_rows_here == 1:  # there may be millions; how many is told at the end
            self._warn(
                f"Tried to log to step {number} that is less than the current step {self.step}. Steps must "
                "be monotonically increasing, so this data will be ignored (unless `wandb sync "
                "--step-policy` says otherwise)."
            )

    def _give_back(self, number: int) -> None:
        """Let the next row have a step that was taken for one that could not be written."""
        if self.step == number + 1:  # else a signal handler has logged since
            self.step = number

    def _end_row(self) -> None:
        assert self._pending is not None
        self._write_row(self._pending, self._pending_at_s)

    def _write_row(self, row: Dict[Path, Any], now: float) -> None:
        """Write a whole row and fold it into the summary; the next row has the next step."""
        row = dict(row)
        self._insert_axes(row)
        logged_at = row.pop("_timestamp", now)
        whole = dict(row)
        runtime_s = self.runtime_s()
        whole.update(_step=self.step, _runtime=runtime_s, _timestamp=logged_at)
        number = self.step
        body = self._encoder.row(whole, number)
        pending, self._pending = self._pending, None
        self.step = number + 1
        try:
            self._append(body)
        except LogWriteError:
            self._give_back(number)
            self._pending = pending
            raise
        self._last_values = [whole[name] for name in OWN_KEYS]
        self._row_bytes = len(body)
        due_step = number + self._state_every_bytes // len(body)
        if due_step < self._summary_due_step < MAX_STEP:  # rows have become larger
            self._summary_due_step = due_step
        for path, value in row.items():
            self._summary.fold(path, value)
        if self._metrics:
            for path, value in row.items():
                key = path if isinstance(path, str) else ".".join(path)
                metric = self._metrics.of(key)
                if metric is not None and metric.summary:
                    self._summary.aggregate(key, path, metric, value)
        if self.step > self._summary_due_step or runtime_s > self._summary_due_s:
            self.write_summary()

    def _insert_axes(self, row: Dict[Path, Any]) -> None:
        """Add the last value of each step metric that the row's metrics want and the row lacks."""
        if not self._metrics:
            return
        names = {path if isinstance(path, str) else ".".join(path): path for path in row}
        wanted = set()
        for name in names:
            metric = self._metrics.of(name)
            if metric is not None and metric.step_sync and metric.step_metric not in names:
                wanted.add(metric.step_metric)
        for axis in self._metrics.step_metrics():
            path = names.get(axis)
            if path is None:
                if axis in wanted and axis in self._axis_values:
                    row[self._nested_axes.get(axis, axis)] = self._axis_values[axis]
                continue
            if axis not in self._axis_values:
                self._plans.clear()  # plans made so far do not insert it
            self._axis_values[axis] = row[path]
            if isinstance(path, tuple):
                self._nested_axes[axis] = path
            else:
                self._nested_axes.pop(axis, None)

    def _learn(self, data: Dict[str, Any]) -> None:
        """Make a plan for rows with these keys, if they can take the short way."""
        keys = tuple(data)
        if keys in self._plans or not FAST_KINDS.issuperset(map(type, data.values())):
            return
        if any(type(key) is not str or key in OWN_KEYS for key in keys):
            return
        inserted: List[str] = []
        axes: Tuple[str, ...] = ()
        if self._metrics:
            for key in keys:
                metric = self._metrics.of(key)
                axis = metric.step_metric if metric is not None and metric.step_sync else None
                if axis in self._nested_axes and axis not in keys:
                    return
                if axis and axis not in keys and axis not in inserted and axis in self._axis_values:
                    inserted.append(axis)
            axes = tuple(axis for axis in set(self._metrics.step_metrics()) if axis in keys)
        self._n_planned_keys += len(keys)
        if self._n_planned_keys > MAX_PLANNED_KEYS:
            self._plans.clear()
            self._n_planned_keys = len(keys)
        all_keys = (*keys, *inserted)
        self._plans[keys] = _Plan(
            self._encoder.layout((*all_keys, *OWN_KEYS)),
            self._summary.watch(aggregates_of(self._metrics, all_keys)),
            tuple(inserted),
            axes,
        )


def _without_clashes(row: Dict[Path, Any], newer: Dict[Path, Any]) -> Dict[Path, Any]:
    """Return `row` without what `newer` replaces by a value above or below it in the tree."""
    if not any(isinstance(path, tuple) for path in (*row, *newer)):
        return row

    def parts(path: Path) -> Tuple[str, ...]:
        return (path,) if isinstance(path, str) else path

    fresh = [parts(path) for path in newer]
    return {
        path: value
        for path, value in row.items()
        if not any(_is_prefix(parts(path), other) or _is_prefix(other, parts(path)) for other in fresh)
    }


def _is_prefix(short: Tuple[str, ...], long: Tuple[str, ...]) -> bool:
    return len(short) < len(long) and long[: len(short)] == short


def _checked_step(step: Any) -> int:
    if type(step) is not int:
        if isinstance(step, bool) or not hasattr(step, "__index__"):
            raise ValidationError("log: step", f"{kind_name(step)} is no int", hint="pass step=int(...)")
        step = step.__index__()
    if not -MAX_STEP <= step < MAX_STEP:  # the next row has a step too
        raise ValidationError("log: step", "does not fit into 64 bits")
    return int(step)
