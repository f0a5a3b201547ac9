"""History rows -> columns of numbers -> few enough points to draw.

Columns of the runs that were looked at last stay in memory and grow with the run: only new lines are read.

Rule 1: downsampling keeps each bucket's lowest and highest point, so that no spike disappears.
Rule 2: a number that is not finite is a gap: a point without y, also after downsampling, so that no line
        runs over it.  Lines that were never written are none: nobody knows what stands in them.
Rule 3: what is nested more than MAX_DEPTH deep is not drawn.
"""

from __future__ import annotations

import json
import math
import threading
from array import array
from collections import OrderedDict
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

from wandb.server.store import Store

MAX_KEPT_VALUES = 20_000_000  # 16 bytes each
MAX_POINTS = 4000
MAX_DEPTH = 50

_NUMBERS = {int, float}  # not bool


class Column:
    """The numbers of one key: `values[i]` stood in row `rows[i]`; `n_gaps` of them are not finite."""

    __slots__ = ("rows", "values", "n_gaps")

    def __init__(self) -> None:
        self.rows = array("q")
        self.values = array("d")
        self.n_gaps = 0

    def add_numbers(self, numbers: List[int], values: List[Any]) -> None:
        """Take in those values that are numbers."""
        for number, value in zip(numbers, values):
            if type(value) in _NUMBERS:
                self.rows.append(number)
                self.values.append(_as_double(value))
                self.n_gaps += not math.isfinite(self.values[-1])


class Curve(NamedTuple):
    """Points to draw, in the order of the rows."""

    x: List[float]
    y: List[Optional[float]]  # None: a gap
    n_values: int  # of which the points were taken
    n_gaps: int  # in the whole column
    last: Union[float, str, None]  # of the points; "NaN", "Infinity" and "-Infinity" as JSON cannot have them


class Columns:
    """All numbers of one stream of one run."""

    def __init__(self) -> None:
        self.n_lines = 0
        self.columns: Dict[str, Column] = {}

    def add(self, first: int, lines: List[str]) -> None:
        """Take in further lines; the first has the number `first`."""
        try:
            rows = json.loads(f"[{','.join(lines)}]")
            whole = len(rows) == len(lines)
        except (ValueError, RecursionError):
            whole = False
        if not whole:
            rows = list(map(_parsed, lines))
        numbered = [(number, row) for number, row in enumerate(rows, first) if type(row) is dict]
        self._add_rows([number for number, _ in numbered], [row for _, row in numbered], "", 0)
        self.n_lines = first + len(lines)

    def _add_rows(self, numbers: List[int], rows: List[Dict[str, Any]], prefix: str, depth: int) -> None:
        # Key by key and not row by row: what is done per value decides how soon a long run is on the screen.
        keys: Dict[str, None] = {}
        for row in rows:
            keys.update(dict.fromkeys(row))
        for key in keys:
            values = [row[key] for row in rows if key in row]
            of_key = (
                numbers if len(values) == len(rows) else [n for n, row in zip(numbers, rows) if key in row]
            )
            kinds = set(map(type, values))
            if kinds <= _NUMBERS and _all_finite(values):
                column = self._column(prefix + key)
                column.rows.extend(of_key)
                column.values.extend(values)
                continue
            if kinds & _NUMBERS:
                self._column(prefix + key).add_numbers(of_key, values)
            if dict in kinds and depth < MAX_DEPTH:  # media are dicts with a `_type`
                inner = [(n, v) for n, v in zip(of_key, values) if type(v) is dict and "_type" not in v]
                self._add_rows([n for n, _ in inner], [v for _, v in inner], f"{prefix}{key}.", depth + 1)

    def _column(self, name: str) -> Column:
        column = self.columns.get(name)
        if column is None:
            column = self.columns[name] = Column()
        return column

    def n_values(self) -> int:
        return sum(len(column.values) for column in list(self.columns.values()))

    def curve(
        self,
        key: str,
        x_key: str,
        n_points: int,
        low: Optional[float] = None,
        high: Optional[float] = None,
    ) -> Curve:
        """`key` over `x_key`, limited to low <= x <= high, in about `n_points` points.

        Rows without a number for either are left out.
        """
        column = self.columns.get(key)
        if column is None:
            return Curve([], [], 0, 0, None)
        xs, ys = self._joined(column, x_key)
        if low is not None or high is not None:
            low, high = -math.inf if low is None else low, math.inf if high is None else high
            kept = [index for index, x in enumerate(xs) if low <= x <= high]
            # One neighbour on either side, so that the line runs out of the picture and does not end in it.
            if kept:
                begin, end = max(0, kept[0] - 1), min(len(xs), kept[-1] + 2)
                xs, ys = xs[begin:end], ys[begin:end]
            else:
                xs, ys = xs[:0], ys[:0]
        chosen = _chosen(ys, n_points)
        return Curve(
            x=[xs[i] for i in chosen],
            y=[ys[i] if math.isfinite(ys[i]) else None for i in chosen],
            n_values=len(ys),
            n_gaps=column.n_gaps,
            last=_readable(ys[-1]) if ys else None,
        )

    def _joined(self, column: Column, x_key: str) -> Tuple[array[float], array[float]]:
        x_column = self.columns.get(x_key)
        if x_column is None:
            return array("d"), array("d")
        if not x_column.n_gaps and (x_column is column or x_column.rows == column.rows):
            return x_column.values, column.values
        x_of_row = dict(zip(x_column.rows, x_column.values))
        xs, ys = array("d"), array("d")
        for row, value in zip(column.rows, column.values):
            x = x_of_row.get(row, math.nan)
            if math.isfinite(x):
                xs.append(x)
                ys.append(value)
        return xs, ys


class _Kept(NamedTuple):
    n_rewrites: int  # of the run, when its lines were read
    lock: threading.Lock
    columns: Columns


class Curves:
    """The columns of the runs that were looked at last."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._kept: OrderedDict[Tuple[int, str], _Kept] = OrderedDict()
        store.on_deleted.append(self.forget)

    def forget(self, run_id: int) -> None:
        """Give the memory of a deleted run back."""
        with self._lock:
            for key in [key for key in self._kept if key[0] == run_id]:
                del self._kept[key]

    def columns(self, run: Dict[str, Any], stream: str) -> Columns:
        """Columns with all lines that `run` (a row of the store) says there are."""
        key = (run["id"], stream)
        with self._lock:
            kept = self._kept.get(key)
            if kept is None or kept.n_rewrites < run["n_rewrites"]:
                kept = self._kept[key] = _Kept(run["n_rewrites"], threading.Lock(), Columns())
            self._kept.move_to_end(key)
            n_values = sum(one.columns.n_values() for one in self._kept.values())
            while n_values > MAX_KEPT_VALUES and len(self._kept) > 1:
                _, forgotten = self._kept.popitem(last=False)
                n_values -= forgotten.columns.n_values()
        found = kept.columns
        with kept.lock:  # two viewers wait for one reading instead of reading twice
            if found.n_lines < run[f"{stream}_lines"]:
                for first, lines in self._store.line_range(run["id"], stream, found.n_lines):
                    found.add(first, lines)
        return found


def _chosen(values: array[float], n_points: int) -> List[int]:
    """Which of the values to draw: first, last, and of each bucket the lowest, the highest and one gap."""
    n_values = len(values)
    if n_values <= n_points:
        return list(range(n_values))
    per_bucket = 2 if _all_finite(values) else 3
    n_buckets = max(1, (n_points - 2) // per_bucket)
    chosen = [0]
    for bucket in range(n_buckets):
        begin, end = n_values * bucket // n_buckets, n_values * (bucket + 1) // n_buckets
        part: Sequence[float] = values[begin:end]
        if per_bucket == 2:
            lowest, highest = begin + part.index(min(part)), begin + part.index(max(part))
            chosen += (lowest, highest) if lowest < highest else (highest, lowest)
        else:
            chosen += _chosen_with_gap(values, range(begin, end))
    chosen.append(n_values - 1)
    return list(dict.fromkeys(chosen))


def _chosen_with_gap(values: Sequence[float], bucket: Sequence[int]) -> List[int]:
    finite = [index for index in bucket if math.isfinite(values[index])]
    found = {min(finite, key=values.__getitem__), max(finite, key=values.__getitem__)} if finite else set()
    if len(finite) < len(bucket):
        found.add(next(index for index in bucket if not math.isfinite(values[index])))
    return sorted(found)


def _as_double(value: Union[int, float]) -> float:
    try:
        return float(value)
    except OverflowError:  # a whole number beyond what a double holds
        return math.inf if value > 0 else -math.inf


def _readable(value: float) -> Union[float, str]:
    return value if math.isfinite(value) else json.dumps(value)


def _all_finite(values: Sequence[Any]) -> bool:
    try:
        return math.isfinite(sum(values, 0.0))  # what is not finite makes the sum so
    except OverflowError:  # a whole number beyond what a double holds
        return False


def _parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None
