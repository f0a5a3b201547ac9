"""CSV: a column for each name that any row has; empty where a row has no such value."""

from __future__ import annotations

import csv
import io
from typing import Optional

from wandb_sync.exports import Runs, Wanted, columns, first_entries, replaced
from wandb_sync.exports.values import cell_text


def write(runs: Runs, wanted: Wanted, path: Optional[str]) -> int:
    """Write all runs; returns how many rows that were."""
    types, counts = columns(runs, wanted)
    several = len(runs) > 1
    with replaced(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", errors="backslashreplace", newline="")
        try:
            writer = csv.writer(text, lineterminator="\n")
            writer.writerow([*(["run"] if several else []), *types])
            for (name, run), count in zip(runs, counts):
                for entry in first_entries(run, wanted, count):
                    cells = [cell_text(entry.get(column)) for column in types]
                    writer.writerow([name, *cells] if several else cells)
        finally:
            text.detach()  # flushes; the file is closed by who has opened it
    return sum(counts)
