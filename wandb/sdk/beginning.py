"""Where a run begins: at nothing, or where its earlier segments have ended (found out in wandb_resume.py)."""

from __future__ import annotations

from typing import Any, Dict, Mapping, NamedTuple, Optional, Tuple

from wandb import env
from wandb.interface.console_lines import ConsoleLines
from wandb.interface.records import path_of, value_of
from wandb.interface.values import Path, put, remove
from wandb.sdk.wandb_metric import Metric, Metrics
from wandb.sdk.wandb_summary import SummaryState

WHO = ("project", "entity", "display_name", "notes", "tags", "run_group", "job_type", "sweep_id")


class Earlier:
    """What the earlier segments of a run have come to.

    Attributes:
        next_step: The step behind the last row.
        runtime_s: How long they ran, together.
        who: Fields of the run record: project, display_name, tags ...
        exit_code: Of the last one; None if it has no exit record.
        end: How much of the last log was read, in bytes.
    """

    def __init__(self) -> None:
        self.next_step = 0
        self.runtime_s = 0.0
        self.config: Dict[str, Any] = {}
        self.summary = SummaryState()
        self.metrics = Metrics()
        self.who: Dict[str, Any] = {}
        self.exit_code: Optional[int] = None
        self.end = 0
        self.n_history = 0
        self.n_late_history = 0
        self.n_events = 0
        self.console = ConsoleLines()
        self._has_begun = False
        self._pending: Dict[Path, Any] = {}
        self._pending_step = 0

    def take(self, record: Mapping[str, Any]) -> None:
        """Take a decoded record of one of the segments, in their order."""
        for kind, fields in record.items():
            taker = getattr(self, f"_take_{kind}", None)
            if taker is not None:
                taker(fields)

    def end_row(self) -> None:
        """Take the row that waited for its end when the log ended: the syncer uploads it too."""
        if self._pending:
            row, self._pending = self._pending, {}
            self._add_row(row, self._pending_step)

    def lines(self) -> Dict[str, int]:
        """Return the fields of a StreamLines."""
        return {
            "history": self.n_history,
            "late_history": self.n_late_history,
            "events": self.n_events,
            "console": self.console.n_lines,
        }

    def take_side(self, record: Mapping[str, Any]) -> None:
        """Take a decoded record of a side log: it says nothing of the run as a whole."""
        footer = record.get("footer", {})
        if "pending" in footer:
            self.next_step = max(self.next_step, step_of(footer["pending"]) + 1)
        if not ("run" in record or "exit" in record or "state" in footer or "pending" in footer):
            self.take(record)

    def begin_with(self, state: Mapping[str, Any]) -> None:
        """Take a decoded RunState; it says all that the records before it have said."""
        self._has_begun = True
        self.next_step = state.get("next_step", 0)
        self.runtime_s = state.get("runtime", 0.0)
        self.summary = SummaryState.restore(state)
        for fields in state.get("metrics", ()):
            self.metrics.add(Metric.from_record(fields), True)
        self._take_config(state.get("config", {}))
        self.take_lines(state.get("lines", {}))
        self._take_who(state.get("run", {}))

    def take_lines(self, lines: Mapping[str, int]) -> None:
        """Take the counts of a decoded StreamLines."""
        self.n_history = lines.get("history", 0)
        self.n_late_history = lines.get("late_history", 0)
        self.n_events = lines.get("events", 0)
        self.console.n_lines = lines.get("console", 0)

    def _take_who(self, fields: Mapping[str, Any]) -> None:
        self.who = {name: fields[name] for name in WHO if name in fields}

    # -- records; the names are those of the fields of Record ------------------------------------------------

    def _take_run(self, fields: Mapping[str, Any]) -> None:
        self._take_who(fields)
        self._take_config(fields.get("config", {}))
        self.runtime_s = max(self.runtime_s, fields.get("runtime", 0))
        if not self._has_begun:  # what comes behind other records is a change of parameters
            self.take_lines(fields.get("segment", {}).get("begin", {}))
        self._has_begun = True

    def _take_config(self, fields: Mapping[str, Any]) -> None:
        for item in fields.get("update", ()):
            put(self.config, path_of(item), value_of(item.get("value_json", "")))
        for item in fields.get("remove", ()):
            remove(self.config, path_of(item))

    def _take_summary(self, fields: Mapping[str, Any]) -> None:
        self.summary.apply(fields)

    def _take_metric(self, fields: Mapping[str, Any]) -> None:
        metric = Metric.from_record(fields)
        self.metrics.add(metric, bool(fields.get("_control", {}).get("overwrite")))
        self.summary.redefine(metric.name)

    def _take_history(self, fields: Mapping[str, Any]) -> None:
        self._pending = {}
        self._add_row(_row_of(fields), step_of(fields))

    def _take_footer(self, fields: Mapping[str, Any]) -> None:
        if "pending" in fields:
            self._pending.update(_row_of(fields["pending"]))
            self._pending_step = step_of(fields["pending"])
        if "late" in fields:
            self.n_late_history += 1

    def _take_stats(self, fields: Mapping[str, Any]) -> None:
        self.n_events += 1

    def _take_output_raw(self, fields: Mapping[str, Any]) -> None:
        self.console.add(fields.get("output_type", 0), fields.get("line", ""))

    def _take_output_logger(self, fields: Mapping[str, Any]) -> None:
        self.console.add_lines(fields.get("line", ""))

    def _take_exit(self, fields: Mapping[str, Any]) -> None:
        if not fields.get("not_complete"):
            self.exit_code = fields.get("exit_code", 0)

    def _add_row(self, row: Dict[Path, Any], step: int) -> None:
        self.n_history += 1
        self.next_step = max(self.next_step, step + 1)
        runtime = row.get("_runtime")
        if isinstance(runtime, (int, float)):
            self.runtime_s = max(self.runtime_s, runtime)
        for path, value in row.items():
            if isinstance(path, str) and path.startswith("_"):
                continue  # what the recorder adds
            self.summary.fold(path, value)
            key = path if isinstance(path, str) else ".".join(path)
            metric = self.metrics.of(key)
            if metric is not None and metric.summary:
                self.summary.aggregate(key, path, metric, value)


class Beginning(NamedTuple):
    """Where a run begins.

    Attributes:
        earlier: What its earlier segments have come to, if it goes on from them.
        starting_step: Of its first row.
        run_fields: What its run record says of it.
        was_here: The run directories of this id that had a log, by name.
        side_id: Of the side log, if another process has the run's main log.
    """

    run_id: str
    earlier: Optional[Earlier] = None
    starting_step: int = 0
    run_fields: Mapping[str, Any] = {}
    was_here: Tuple[str, ...] = ()
    side_id: str = ""


def in_job() -> bool:
    """Return whether a scheduler runs this process and may take the machine away again."""
    return any(env.get(name) for name in ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "JOB_ID"))


def was_requeued() -> bool:
    """Return whether Slurm or torchrun says that this job was started before."""
    counts = (env.get("SLURM_RESTART_COUNT"), env.get("TORCHELASTIC_RESTART_COUNT"))
    return any((count or "").isdigit() and int(count or "") > 0 for count in counts)


def step_of(fields: Mapping[str, Any]) -> int:
    """Return the step of a decoded HistoryRecord."""
    step = fields.get("step", {}).get("num")
    if step is None:
        for item in fields.get("item", ()):
            if path_of(item) == "_step":
                step = value_of(item.get("value_json", ""))
    return int(step) if isinstance(step, (int, float)) else 0


def _row_of(fields: Mapping[str, Any]) -> Dict[Path, Any]:
    return {path_of(item): value_of(item.get("value_json", "")) for item in fields.get("item", ())}
