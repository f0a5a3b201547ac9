"""Metric definitions: which axis a metric has, and what of it goes into the summary.

Behaves as wandb 0.31 (observed), and keeps `goal` and the summary kinds `best` and `copy` of older versions:
an exact name wins over a glob, a longer glob over a shorter one; definitions of one name are merged unless
`overwrite`, and all see the values since the first of them; a metric with a step metric and `step_sync` gets
the axis' last value into rows that lack it.
"""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, Mapping, Optional, Set, Tuple

from wandb.errors import Error

SUMMARY_KINDS = ("min", "max", "mean", "best", "last", "none", "copy", "first")
AGGREGATES = frozenset(("min", "max", "mean", "best", "last", "first"))
GOALS = {"minimize": 1, "maximize": 2}  # MetricRecord.MetricGoal


class Metric:
    """One definition; what `run.define_metric` returns."""

    __slots__ = ("name", "step_metric", "step_sync", "hidden", "summary", "goal", "is_expanded")

    def __init__(self, name: str) -> None:
        self.name = name
        self.step_metric: Optional[str] = None
        self.step_sync: Optional[bool] = None
        self.hidden: Optional[bool] = None
        self.summary: Set[str] = set()
        self.goal: Optional[str] = None
        self.is_expanded = False  # a glob's word on a key that was logged, not the user's on that key

    @property
    def is_glob(self) -> bool:
        """Whether the name is a pattern: only a `*` at its end is one."""
        return self.name.endswith("*")

    def named(self, name: str) -> Metric:
        """Return the same definition for another name."""
        metric = Metric(name)
        for field in ("step_metric", "step_sync", "hidden", "goal"):
            setattr(metric, field, getattr(self, field))
        metric.summary = set(self.summary)
        metric.is_expanded = True
        return metric

    def record_fields(self, overwrite: bool) -> Dict[str, Any]:
        """Return the fields of a MetricRecord."""
        fields: Dict[str, Any] = {
            "glob_name" if self.is_glob else "name": self.name,
            "step_metric": self.step_metric,
            "options": {"step_sync": self.step_sync, "hidden": self.hidden, "defined": True},
            "goal": GOALS.get(self.goal or "", 0),
        }
        if self.summary:
            fields["summary"] = {kind: True for kind in self.summary}
        if overwrite:
            fields["_control"] = {"overwrite": True}
        if self.is_expanded:
            fields["expanded_from_glob"] = True
        return fields

    @classmethod
    def from_record(cls, fields: Mapping[str, Any]) -> Metric:
        """Return the definition that a MetricRecord's fields say."""
        metric = cls(fields.get("glob_name") or fields.get("name", ""))
        options = fields.get("options", {})
        metric.step_metric = fields.get("step_metric")
        metric.step_sync = options.get("step_sync", False)
        metric.hidden = options.get("hidden")
        metric.summary = {kind for kind in SUMMARY_KINDS if fields.get("summary", {}).get(kind)}
        metric.goal = {number: goal for goal, number in GOALS.items()}.get(fields.get("goal", 0))
        metric.is_expanded = bool(fields.get("expanded_from_glob"))
        return metric


def parse_definition(
    name: Any,
    step_metric: Any = None,
    step_sync: Any = None,
    hidden: Any = None,
    summary: Any = None,
    goal: Any = None,
    overwrite: Any = None,
) -> Metric:
    """Return the definition that the arguments of `run.define_metric` mean.

    Raises:
        Error: An argument is of the wrong type or has no meaning; its name is in the message.
    """
    if not isinstance(name, str):
        raise Error(f"Unhandled define_metric() arg: name type: {type(name).__name__}")
    if not name:
        raise Error("define_metric() requires non-empty name argument")
    if "*" in name[:-1]:
        raise Error(f"Unhandled define_metric() arg: name (glob suffixes only): {name}")
    if isinstance(step_metric, Metric):
        step_metric = step_metric.name
    for argument, value, kind in (
        ("step_metric", step_metric, str),
        ("step_sync", step_sync, bool),
        ("hidden", hidden, bool),
        ("summary", summary, str),
        ("goal", goal, str),
        ("overwrite", overwrite, bool),
    ):
        if value is not None and not isinstance(value, kind):
            raise Error(f"Unhandled define_metric() arg: {argument} type: {type(value).__name__}")
    metric = Metric(name)
    metric.step_metric = step_metric or None
    metric.step_sync = step_metric is not None if step_sync is None else step_sync
    metric.hidden = hidden
    for kind_name in (part.strip().lower() for part in (summary or "").split(",")):
        if kind_name and kind_name not in SUMMARY_KINDS:
            raise Error(
                f"Unhandled define_metric() arg: summary op: {kind_name}",
                hint=f"use {', '.join(SUMMARY_KINDS)}",
            )
        if kind_name:
            metric.summary.add(kind_name)
    if goal is not None and goal[:3].lower() not in ("min", "max"):
        raise Error(f"Unhandled define_metric() arg: goal: {goal}", hint="use minimize or maximize")
    metric.goal = None if goal is None else ("minimize" if goal[:3].lower() == "min" else "maximize")
    if "best" in metric.summary and metric.goal is None:
        metric.goal = "minimize"
    return metric


class Metrics:
    """All definitions of a run."""

    __slots__ = ("_exact", "_globs")

    def __init__(self) -> None:
        self._exact: Dict[str, Metric] = {}
        self._globs: Dict[str, Metric] = {}

    def __bool__(self) -> bool:
        return bool(self._exact or self._globs)

    def __iter__(self) -> Iterator[Metric]:
        return iter((*self._globs.values(), *self._exact.values()))

    def add(self, new: Metric, overwrite: bool) -> None:
        """Take a definition; merge it into one of the same name unless `overwrite`."""
        table = self._globs if new.is_glob else self._exact
        old = table.get(new.name)
        if old is None or overwrite:
            table[new.name] = new
            return
        old.is_expanded = old.is_expanded and new.is_expanded
        old.step_metric = new.step_metric or old.step_metric
        old.step_sync = new.step_sync or old.step_sync
        old.hidden = old.hidden if new.hidden is None else new.hidden
        old.summary |= new.summary
        old.goal = new.goal or old.goal

    def of(self, key: str) -> Optional[Metric]:
        """Return the definition that holds for a logged key, if any; no glob means keys like `_step`.

        What a glob says of a key when it is first logged stays: later globs do not change it, a definition of
        the key itself adds to it.
        """
        found = self._exact.get(key)
        if found is None and self._globs and not key.startswith("_"):
            matches = [glob for glob in self._globs if key.startswith(glob[:-1])]
            if matches:
                found = self._exact[key] = self._globs[max(matches, key=len)].named(key)
        return found

    def step_metrics(self) -> Iterator[str]:
        """Yield every key that is some metric's axis."""
        for metric in (*self._exact.values(), *self._globs.values()):
            if metric.step_metric:
                yield metric.step_metric


class Aggregate:
    """What has been seen of one metric; all of it, for a later definition may ask for more.

    Attributes:
        first: The first value.
        low, high: The smallest and the largest number.
        total, count: Of the numbers.
    """

    __slots__ = ("first", "low", "high", "total", "count")

    def __init__(self, first: Any) -> None:
        self.first = first
        self.low: Any = float("inf")
        self.high: Any = -self.low
        self.total = 0.0
        self.count = 0

    def add(self, value: Any) -> None:
        """Take one value.

        Text and other values that are no numbers change only `first` and `last`.  A NaN stays in minimum,
        maximum and mean, as in wandb 0.31: that a metric was NaN once is worth seeing.
        """
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            self.add_number(value)

    def add_number(self, number: Any) -> None:
        """Take a number; one that no float can hold makes the mean infinite."""
        self.count += 1
        try:
            self.total += number
        except OverflowError:
            self.total = float("inf") if number > 0 else -float("inf")
        if not self.low <= number <= self.high:
            self.widen(number)

    def widen(self, number: Any) -> None:
        """Let `low` and `high` take in a number."""
        # Written so that a NaN, which is not equal to itself and compares as false, gets in and stays.
        if not number >= self.low and self.low == self.low:
            self.low = number
        if not number <= self.high and self.high == self.high:
            self.high = number

    def entry(self, metric: Metric, last: Any) -> Optional[Dict[str, Any]]:
        """Return the summary's entry; None if there is nothing to show."""
        kinds = metric.summary
        entry: Dict[str, Any] = {}
        if self.count:
            if "min" in kinds:
                entry["min"] = self.low
            if "max" in kinds:
                entry["max"] = self.high
            if "mean" in kinds:
                entry["mean"] = self.total / self.count
            if "best" in kinds:
                entry["best"] = self.high if metric.goal == "maximize" else self.low
        if "last" in kinds:
            entry["last"] = last
        if "first" in kinds:
            entry["first"] = self.first
        return entry or None


def aggregates_of(metrics: Metrics, keys: Tuple[str, ...]) -> List[Tuple[str, Metric]]:
    """Return the keys whose summary is not simply the last value, with their definitions."""
    found = ((key, metrics.of(key)) for key in keys)
    return [(key, metric) for key, metric in found if metric is not None and metric.summary]
