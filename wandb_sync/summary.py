"""The summary of a run: what the log says of it, or what its rows make of it.

wandb writes a summary record after every row; such a log is applied as it is (`apply`).  wandb-ng writes
only what the user set; there the rows make the summary (`fold`), so that a killed run has it to its last
row.

Rule 1: the order of the log decides: a record replaces what rows have made of a key, a later row replaces
        that.
        What the user has set is no longer shaped by a metric definition: from there on the last value counts.
Rule 2: None never enters, except as the first or last value of a metric that is defined so.
Rule 3: what a row adds depends on that row, the definitions and the state, never on how often we were
        restarted.
"""

from __future__ import annotations

import json
import math
from typing import Any, Dict, List, Mapping, Optional, Set, Tuple

from wandb.proto.record_pb2 import MetricRecord, RunState, SummaryRecord
from wandb_sync.json_tree import (
    Tree,
    dumps,
    leaf_text,
    leaves,
    merge,
    path_of,
    put,
    put_node,
    remove,
    text_of,
    tidy,
)
from wandb_sync.metrics import Metrics


class Summary:
    """The latest value of everything.

    Attributes:
        tree: The values, as JSON texts.
    """

    __slots__ = ("tree", "_folded", "_set_by_user")

    def __init__(self) -> None:
        self.tree: Tree = {}
        self._folded: Dict[str, _Fold] = {}  # by dotted name
        self._set_by_user: Set[str] = set()  # dotted names

    def apply(self, record: SummaryRecord) -> None:
        """Take a summary record: changes first, then removals."""
        tree = self.tree
        names: List[str] = []
        for item in record.update:
            path, text = path_of(item), leaf_text(item)
            names.append(".".join(path))
            if text != "null":
                put(tree, path, text, keep_empty=True)
        for item in record.remove:
            remove(tree, path_of(item))
        # A record with a step, or with the run's time, is the recorder's own word and not the user's.
        if "_step" not in names and "_wandb.runtime" not in names:
            self._set_by_user.update(names)

    def go_on_from(self, state: RunState) -> None:
        """Take over what earlier segments have seen; the values themselves come in a record of their own."""
        for item in state.aggregates:
            low, high = _number(item.low_json), _number(item.high_json)
            self._folded[item.name] = _Fold(
                first if isinstance(first := tidy(item.first_json), str) else "",
                item.count,
                item.total,
                math.inf if low is None else low,
                -math.inf if high is None else high,
            )
        self._set_by_user.update(state.set_by_user)

    @classmethod
    def of_state(cls, state: RunState) -> Summary:
        """Return what the recorder notes that the summary has come to: the values too."""
        summary = cls()
        summary.apply(state.summary)
        summary._set_by_user = set()
        summary.go_on_from(state)
        return summary

    def redefine(self, definition: MetricRecord) -> None:
        """Shape the metric by its definition again, though the user has set it: the definition is newer."""
        self._set_by_user.discard(definition.name)

    def fold(self, row: Mapping[str, Any], metrics: Metrics) -> None:
        """Take one row, a tree as json_tree.row_tree makes it."""
        if metrics.shape_summary:
            self._fold_by_definition(row, metrics)
            return
        metrics.meet(row)
        if "null" in row.values() or any([isinstance(node, dict) for node in row.values()]):
            merge(self.tree, _without_null(row))
        else:
            self.tree.update(row)

    def _fold_by_definition(self, row: Mapping[str, Any], metrics: Metrics) -> None:
        for path, text in leaves(row):
            name = ".".join(path)
            definition = metrics.summary_of(name)
            fold = None
            if definition is not None:
                fold = self._folded.get(name)
                if fold is None:
                    fold = self._folded[name] = _Fold()
                fold.add(text)  # in any case: a later definition may ask for it
            if definition is None or fold is None or name in self._set_by_user or not _shapes(definition):
                if text != "null":
                    put_node(self.tree, path, text)
                continue
            node = fold.summary(definition, text)
            if node is None:
                remove(self.tree, path)
            else:
                put_node(self.tree, path, node)

    def text(self) -> str:
        """Return the summary as the server's one line."""
        return text_of(self.tree)

    def state(self) -> Dict[str, Any]:
        """Return what `restore` takes; JSON."""
        return {
            "tree": self.tree,
            "folded": {name: fold.state() for name, fold in self._folded.items()},
            "set_by_user": sorted(self._set_by_user),
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Summary:
        summary = cls()
        summary.tree = json.loads(json.dumps(state["tree"]))
        summary._folded = {name: _Fold(*values) for name, values in state["folded"].items()}
        summary._set_by_user = set(state["set_by_user"])
        return summary


class _Fold:
    """What has been seen of one metric.  NaN spoils min, max and mean for good, as in wandb."""

    __slots__ = ("first", "n", "total", "low", "high")

    def __init__(
        self, first: str = "", n: int = 0, total: float = 0.0, low: float = math.inf, high: float = -math.inf
    ) -> None:
        self.first = first  # JSON text
        self.n = n  # numbers seen; what is no number counts for first and last only
        self.total = total
        self.low = low
        self.high = high

    def state(self) -> List[Any]:
        return [self.first, self.n, self.total, self.low, self.high]

    def add(self, text: str) -> None:
        self.first = self.first or text
        number = _number(text)
        if number is None:
            return
        self.n += 1
        self.total += number
        self.low = math.nan if math.isnan(number) or math.isnan(self.low) else min(self.low, number)
        self.high = math.nan if math.isnan(number) or math.isnan(self.high) else max(self.high, number)

    def summary(self, definition: MetricRecord, text: str) -> Any:
        """Return what goes into the summary after `text` was added: a leaf, a tree, or None for nothing."""
        wanted = definition.summary
        if wanted.none:
            return None
        tree: Tree = {}
        if self.n:
            if wanted.min:
                tree["min"] = dumps(self.low)
            if wanted.max:
                tree["max"] = dumps(self.high)
            if wanted.mean:
                tree["mean"] = dumps(self.total / self.n)
            if wanted.best:
                tree["best"] = dumps(self.high if definition.goal == MetricRecord.GOAL_MAXIMIZE else self.low)
        if wanted.last:
            tree["last"] = text
        if wanted.first:
            tree["first"] = self.first
        return tree or None


def _shapes(definition: MetricRecord) -> bool:
    """Whether a definition asks for anything else than the last value; `copy` does not."""
    return any(bit.name != "copy" for bit, is_set in definition.summary.ListFields() if is_set)


def _number(text: str) -> Optional[float]:
    try:
        return float(text)  # JSON's NaN and Infinity are among what Python reads
    except ValueError:
        return None


def _without_null(row: Mapping[str, Any]) -> Tree:
    kept: List[Tuple[str, Any]] = []
    for key, node in row.items():
        if isinstance(node, dict):
            below = _without_null(node)
            if below:
                kept.append((key, below))
        elif node != "null":
            kept.append((key, node))
    return dict(kept)
