"""`run.summary`: the last word on each metric, filled from the history and settable by the user.

The log carries what the user sets, at once; what follows from the rows is not repeated there row by row:
readers of ours fold it out of the history (wandb_sync/summary.py holds the same rules), and for wandb's own
reader the run writes the whole summary from time to time and at the end.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Set, Tuple, Union

from wandb.errors import ValidationError
from wandb.interface.records import path_of, summary_fields, value_of
from wandb.interface.values import (
    SUMMARY,
    Path,
    holds_media,
    json_text,
    key_text,
    plain,
    put,
    remove,
)
from wandb.sdk.guard import Failed, is_deliberate, pass_on
from wandb.sdk.wandb_metric import Aggregate, Metric

Record = Callable[[Mapping[Path, Any], Tuple[Path, ...]], None]  # (update, remove) -> into the log


Store = Callable[[Mapping[str, Any]], Dict[str, Any]]

RECORDER_KEYS = frozenset(("_step", "_runtime", "_timestamp", "_wandb"))  # not the user's
Watched = Dict[str, Tuple[Aggregate, Metric]]  # top-level keys whose summary is not simply the last value


class SummaryState:
    """The summary as a tree of plain values; the run's lock guards it."""

    __slots__ = ("_tree", "_aggregates", "_set_by_user", "_unshaped", "_watched")

    def __init__(self) -> None:
        self._tree: Dict[str, Any] = {}
        self._aggregates: Dict[str, Aggregate] = {}
        self._set_by_user: Set[str] = set()
        self._unshaped: Watched = {}  # keys at which the last value stands, instead of what is kept of all
        self._watched: Optional[Watched] = None  # what was added to `_unshaped` last

    @classmethod
    def restore(cls, fields: Mapping[str, Any]) -> SummaryState:
        """Return what `fields` of a RunState say; the inverse of `record_fields`."""
        state = cls()
        state.apply(fields.get("summary", {}))
        state._set_by_user = set(fields.get("set_by_user", ()))
        for item in fields.get("aggregates", ()):
            aggregate = state._aggregates[item["name"]] = Aggregate(value_of(item.get("first_json", "null")))
            aggregate.low, aggregate.high = value_of(item["low_json"]), value_of(item["high_json"])
            aggregate.total, aggregate.count = item.get("total", 0.0), item.get("count", 0)
        return state

    def record_fields(self) -> Dict[str, Any]:
        """Return the fields of a RunState that are the summary's."""
        return {
            "summary": summary_fields(self.tree),
            "set_by_user": sorted(self._set_by_user),
            "aggregates": [
                {
                    "name": name,
                    "first_json": json_text(aggregate.first),
                    "low_json": json_text(aggregate.low),
                    "high_json": json_text(aggregate.high),
                    "total": aggregate.total,
                    "count": aggregate.count,
                }
                for name, aggregate in self._aggregates.items()
            ],
        }

    def apply(self, fields: Mapping[str, Any]) -> None:
        """Take what a SummaryRecord of an earlier log says."""
        paths = []
        for item in fields.get("update", ()):
            path = path_of(item)
            paths.append(".".join(path) if isinstance(path, tuple) else path)
            value = value_of(item.get("value_json", "null"))
            if value is not None and paths[-1].partition(".")[0] not in RECORDER_KEYS:
                self.put(path, value)
        for item in fields.get("remove", ()):
            self.remove(path_of(item))
        # A record with a step, or with the run's time, is the recorder's own word and not the user's.
        if "_step" not in paths and "_wandb.runtime" not in paths:
            self._set_by_user.update(paths)

    @property
    def tree(self) -> Dict[str, Any]:
        """The summary; its owner may change it."""
        if self._unshaped:
            self._shape()
        return self._tree

    def watch(self, metrics: Iterable[Tuple[str, Metric]]) -> Watched:
        """Return what `add_row` wants for rows with these keys; of each a value was aggregated already."""
        return {key: (self._aggregates[key], metric) for key, metric in metrics}

    def add_row(self, row: Mapping[str, Any], watched: Watched) -> None:
        """Take a row of numbers under top-level keys.

        It is done in every `log()`, so what the definitions make of the values is left to whoever looks.
        """
        self._tree.update(row)
        if watched:
            if watched is not self._watched:
                self._unshaped.update(watched)
                self._watched = watched
            for key, (aggregate, _) in watched.items():
                aggregate.add_number(row[key])

    def fold(self, path: Path, value: Any) -> None:
        """Take a value of a row; None never enters the summary."""
        if value is None:
            return
        if isinstance(path, str):
            self.tree[path] = value
        else:
            self.put(path, value)

    def aggregate(self, key: str, path: Path, metric: Metric, value: Any) -> None:
        """Replace what `fold` has put at `path` by what the metric's definition keeps of it."""
        aggregate = self._aggregates.get(key)
        if aggregate is None:
            aggregate = self._aggregates[key] = Aggregate(value)
        aggregate.add(value)
        self._keep(key, path, metric, aggregate, value)

    def redefine(self, name: str) -> None:
        """Shape the metric by its definition again, though the user has set it: the definition is newer."""
        self._shape()
        self._set_by_user.discard(name)

    def override(self, path: Path, value: Any) -> None:
        """Take a value that the user has set; then the last value counts, as in wandb 0.31."""
        self._shape()
        self._set_by_user.add(path if isinstance(path, str) else ".".join(path))
        self.put(path, value)

    def put(self, path: Path, value: Any) -> None:
        """Set a value, replacing whatever stands in the way."""
        put(self.tree, path, value)

    def remove(self, path: Path) -> None:
        """Drop a value if it is there."""
        remove(self.tree, path)

    def get(self, parts: Tuple[str, ...]) -> Any:
        """Return what stands at a path.

        Raises:
            KeyError: Nothing does.
        """
        node: Any = self.tree
        for part in parts:
            if not isinstance(node, dict):
                raise KeyError(part)
            node = node[part]
        return node

    def _shape(self) -> None:
        """Put what is kept of metrics where `add_row` has left their last values."""
        unshaped, self._unshaped, self._watched = self._unshaped, {}, None
        for key, (aggregate, metric) in unshaped.items():
            self._keep(key, key, metric, aggregate, self._tree.get(key))

    def _keep(self, key: str, path: Path, metric: Metric, aggregate: Aggregate, last: Any) -> None:
        if key in self._set_by_user or metric.summary == {"copy"}:
            return
        entry = None if "none" in metric.summary else aggregate.entry(metric, last)
        if entry is None:
            self.remove(path)
        else:
            self.put(path, entry)


class Summary:
    """The summary, or the part of it below one key: a mapping whose changes are recorded at once.

    Keys are items and attributes alike: `run.summary["best"] = 1`, `run.summary.best`.
    """

    def __init__(
        self,
        state: SummaryState,
        record: Record,
        own: Callable[[], Dict[str, Any]],
        *prefix: str,
        failed: Failed = pass_on,
        store: Optional[Store] = None,
    ) -> None:
        """Look at `state`.

        Args:
            record: Told of each change, before it is made.
            own: Returns what the recorder adds to every row.
            prefix: The keys above.
            failed: Takes errors that are not the user's.
            store: Writes media, and returns what stands for them.
        """
        object.__setattr__(self, "_failed", failed)
        object.__setattr__(self, "_store", store)
        object.__setattr__(self, "_state", state)
        object.__setattr__(self, "_record", record)
        object.__setattr__(self, "_own", own)
        object.__setattr__(self, "_prefix", prefix)

    def __getitem__(self, key: str) -> Any:
        path = (*self._prefix, key)
        try:
            value = self._state.get(path)
        except KeyError:
            if self._prefix:
                raise
            return self._own()[key]
        if isinstance(value, dict):
            return Summary(
                self._state, self._record, self._own, *path, failed=self._failed, store=self._store
            )
        return value

    def __setitem__(self, key: str, value: Any) -> None:
        self.update({key: value})

    def __delitem__(self, key: str) -> None:
        path = self._path(key)
        self._state.get((*self._prefix, key))
        self._record({}, (path,))
        self._state.remove(path)

    def __getattr__(self, key: str) -> Any:
        if key.startswith("__"):
            raise AttributeError(key)
        try:
            return self[key]
        except KeyError:
            raise AttributeError(f"the summary has no {key!r}") from None

    __setattr__ = __setitem__

    def __delattr__(self, key: str) -> None:
        try:
            del self[key]
        except KeyError:
            raise AttributeError(f"the summary has no {key!r}") from None

    def update(self, d: Union[Mapping[str, Any], None] = None, **more: Any) -> None:
        """Set several keys at once.

        Raises:
            ValidationError: A value cannot be stored; nothing was changed.
        """
        if d is not None and not hasattr(d, "keys"):
            raise ValidationError("summary", f"update() wants a dict, not {type(d).__name__}")
        try:
            self._take({**(dict(d) if d else {}), **more})
        except Exception as error:
            if is_deliberate(error):
                raise
            self._failed("summary", error)

    def _take(self, values: Mapping[str, Any]) -> None:
        changes: Dict[Path, Any] = {}
        for key, value in values.items():
            where = ".".join(("summary", *self._prefix))
            text = key_text(key, where)
            value = value._as_dict() if isinstance(value, Summary) else value
            if self._store is not None and holds_media(value):
                for name, stored in self._store({text: value}).items():
                    changes[self._path(name)] = plain(stored, f"{where}.{name}", home=SUMMARY)
                continue
            changes[self._path(text)] = plain(value, f"{where}.{text}", home=SUMMARY)
        self._record(changes, ())
        for path, value in changes.items():
            self._state.override(path, value)

    def get(self, key: str, default: Any = None) -> Any:
        """Return a value, or `default`."""
        try:
            return self[key]
        except KeyError:
            return default

    def keys(self) -> List[str]:
        """Return the keys."""
        return list(self._as_dict())

    def items(self) -> List[Tuple[str, Any]]:
        """Return (key, value) pairs; values that are dicts are copies."""
        return list(self._as_dict().items())

    def _as_dict(self) -> Dict[str, Any]:
        try:
            values: Dict[str, Any] = _copy(self._state.get(self._prefix))
        except KeyError:
            return {}
        return values if self._prefix else {**values, **self._own()}

    def __contains__(self, key: object) -> bool:
        return key in self._as_dict()

    def __iter__(self) -> Iterator[str]:
        return iter(self._as_dict())

    def __len__(self) -> int:
        return len(self._as_dict())

    def __reduce__(self) -> Any:
        return _detached, (self._as_dict(),)

    def __eq__(self, other: object) -> bool:
        return self._as_dict() == (other._as_dict() if isinstance(other, Summary) else other)

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        return repr(self._as_dict())

    def _path(self, key: str) -> Path:
        return (*self._prefix, key) if self._prefix else key


def _detached(values: Dict[str, Any]) -> Summary:
    """Return a summary that is nobody's: what a pickled one becomes."""
    state = SummaryState()
    state.tree.update(values)
    return Summary(state, lambda update, remove: None, dict)


def _copy(value: Any) -> Any:
    return {key: _copy(item) for key, item in value.items()} if isinstance(value, dict) else value
