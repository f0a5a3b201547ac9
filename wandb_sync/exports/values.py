"""Values as JSON and as cells of a table."""

from __future__ import annotations

import json
import math
from typing import Any


def json_text(value: Any) -> str:
    """Return a value as JSON; NaN and infinities, which JSON has no numbers for, as texts as W&B has them."""
    return json.dumps(finite(value), ensure_ascii=False)


def cell_text(value: Any) -> str:
    """Return a value as a cell of a CSV file: empty for nothing, JSON for lists and dicts."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and not math.isfinite(value):
        return _notfinite(value)
    return json_text(value)


def finite(value: Any) -> Any:
    """Return a value with NaN and infinities as texts."""
    if isinstance(value, float) and not math.isfinite(value):
        return _notfinite(value)
    if isinstance(value, dict):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value


def _notfinite(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
