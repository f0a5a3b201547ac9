"""Rows as tables: which columns there are, and what a cell holds."""

from __future__ import annotations

import json
import math
from typing import Any, Dict, Iterable, List, Tuple

from wandb_sync.typed_records import Row


def names_of(rows: Iterable[Row]) -> Tuple[List[str], int]:
    """Return the names of all values, `_step` first, and how many rows there are.

    Who then writes that many rows has a column for each of their values, also if the run goes on meanwhile.
    """
    names: Dict[str, None] = {"_step": None}
    n_rows = 0
    for row in rows:
        n_rows += 1
        flat = row.flat()
        if not flat.keys() <= names.keys():
            names.update(dict.fromkeys(flat))
    return list(names), n_rows


def cell_text(value: Any) -> str:
    """Return a value as a cell of a CSV file: empty for nothing, JSON for lists and dicts."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return json.dumps(value, ensure_ascii=False)
