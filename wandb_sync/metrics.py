"""Metric definitions of a run: what the log says of them -> what the config tells the server.

Rule 1: definitions of one name are merged, unless a later one says that it replaces the earlier.
Rule 2: the order of the log is the order of the server's list; a step metric that nobody defined comes
        after the one that first names it.
Rule 3: what a glob says of a name when it is first logged stays: later globs do not change it, a definition
        of the name itself adds to it.
"""

from __future__ import annotations

import base64
from typing import Any, Dict, Iterable, List, Mapping, Optional, Tuple

from wandb.proto.record_pb2 import MetricRecord
from wandb_sync.json_tree import leaves

# Bits of MetricOptions and MetricSummary -> their numbers on the wire, in the order in which the server
# sees them.
_OPTIONS = (("step_sync", 1), ("defined", 3), ("hidden", 2))
_SUMMARIES = (("min", 1), ("max", 2), ("mean", 3), ("best", 4), ("last", 5), ("none", 6), ("first", 8))


class Metrics:
    """All definitions so far.

    Attributes:
        shape_summary: Whether any of them makes a summary other than "the last value".
    """

    __slots__ = ("shape_summary", "_has_globs", "_by_name", "_of_logged", "_kinds")

    def __init__(self) -> None:
        self.shape_summary = False
        self._has_globs = False
        self._by_name: Dict[Tuple[bool, str], MetricRecord] = {}  # (is a glob, name) -> definition
        self._of_logged: Dict[str, MetricRecord] = {}  # name that a glob met -> what holds for it (rule 3)
        self._kinds: Dict[str, Optional[MetricRecord]] = {}  # name of a value -> what defines its summary

    def add(self, record: MetricRecord) -> None:
        """Take one definition from the log."""
        key = (True, record.glob_name) if record.glob_name else (False, record.name)
        known = self._by_name.get(key)
        if known is None or record._control.overwrite:
            known = self._by_name[key] = MetricRecord()
        known.MergeFrom(record)
        for internal in ("_control", "_info", "expanded_from_glob"):
            known.ClearField(internal)
        if record._control.overwrite:
            self._of_logged.pop(record.name, None)
        elif record.name in self._of_logged:
            self._of_logged[record.name].MergeFrom(known)
        self._kinds.clear()
        self._look_around()

    def meet(self, row: Mapping[str, Any]) -> None:
        """Let the globs know what is logged; for rows that no summary is shaped of."""
        if self._has_globs and not row.keys() <= self._kinds.keys():
            for path, _ in leaves(row):
                self.summary_of(".".join(path))

    def summary_of(self, name: str) -> Optional[MetricRecord]:
        """Return the definition that says how `name` is summarised; None if it is just the last value.

        An exact name counts before a glob.
        """
        if name not in self._kinds:
            self._kinds[name] = self._find(name)
        return self._kinds[name]

    def _find(self, name: str) -> Optional[MetricRecord]:
        found = self._of_logged.get(name) or self._by_name.get((False, name))
        if found is None and self._has_globs:
            glob = self._glob_of(name)
            if glob is not None:
                found = self._of_logged[name] = MetricRecord(name=name)
                found.MergeFrom(glob)
                found.ClearField("glob_name")
        return found if found is not None and found.HasField("summary") else None

    def _glob_of(self, name: str) -> Optional[MetricRecord]:
        """Return the longest glob that means `name`; names that begin with "_" are ours: none means them."""
        globs = [
            (len(pattern), record)
            for (is_glob, pattern), record in self._by_name.items()
            if is_glob and name.startswith(pattern.rstrip("*")) and not name.startswith("_")
        ]
        return max(globs, key=lambda glob: glob[0])[1] if globs else None

    def _look_around(self) -> None:
        self._has_globs = any(is_glob for is_glob, _ in self._by_name)
        records = (*self._by_name.values(), *self._of_logged.values())
        self.shape_summary = any(record.HasField("summary") for record in records)

    def wire(self) -> List[Dict[str, Any]]:
        """Return what stands under `_wandb.m` in the config."""
        listed: Dict[Tuple[bool, str], MetricRecord] = {}
        for key, record in self._by_name.items():
            listed[key] = record
            axis = (False, record.step_metric)
            if record.step_metric and axis not in self._by_name:
                listed.setdefault(axis, MetricRecord(name=record.step_metric))
        index = {key: number for number, key in enumerate(listed, 1)}
        found = []
        for (is_glob, name), record in listed.items():
            entry: Dict[str, Any] = {"2" if is_glob else "1": name}
            if record.step_metric:
                entry["5"] = index[False, record.step_metric]
            # wandb 0.31 does not send "defined" for globs.
            options = [(bit, n) for bit, n in _OPTIONS if not (is_glob and bit == "defined")]
            entry["6"] = [number for bit, number in options if getattr(record.options, bit)]
            entry["7"] = [number for bit, number in _SUMMARIES if getattr(record.summary, bit)]
            found.append(entry)
        return found

    def state(self) -> List[str]:
        """Return what `restore` takes; JSON."""
        kept = []
        for record in self._of_logged.values():
            copy = MetricRecord(expanded_from_glob=True)
            copy.MergeFrom(record)
            kept.append(copy)
        records = (*self._by_name.values(), *kept)
        return [base64.b64encode(record.SerializeToString()).decode() for record in records]

    @classmethod
    def restore(cls, state: Iterable[str]) -> Metrics:
        metrics = cls()
        for text in state:
            record = MetricRecord.FromString(base64.b64decode(text))
            if record.expanded_from_glob:
                record.ClearField("expanded_from_glob")
                metrics._of_logged[record.name] = record
            else:
                key = (True, record.glob_name) if record.glob_name else (False, record.name)
                metrics._by_name[key] = record
        metrics._look_around()
        return metrics
