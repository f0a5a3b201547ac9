"""JSON lines: one object per row, values as they were logged."""

from __future__ import annotations

from typing import Optional

from wandb_sync.exports import Runs, Wanted, entries, replaced
from wandb_sync.exports.values import json_text


def write(runs: Runs, wanted: Wanted, path: Optional[str]) -> int:
    """Write all runs; returns how many rows that were."""
    n_rows = 0
    with replaced(path) as file:
        for name, run in runs:
            which = {"run": name} if len(runs) > 1 else {}
            for entry in entries(run, wanted, flat=wanted.keys is not None):
                text = json_text({**which, **entry})
                file.write(text.encode("utf-8", "backslashreplace") + b"\n")
                n_rows += 1
    return n_rows
