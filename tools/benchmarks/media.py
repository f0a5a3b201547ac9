"""Media: what `log()` of a picture, of 10,000 pictures and of a large table costs, beside the real client.

The contenders take turns, whole programs at a time.
"""

from __future__ import annotations

import json
import sys
from statistics import median
from typing import Any, Dict, List

from benchmarks.bench_place import CHILDREN, BenchPlace
from benchmarks.tables import Table, percentile

OURS, REAL = "wandb-ng", "wandb 0.31"
CASES = {  # the table's name -> arguments of children/log_media.py: as usual, and for --quick
    "{:,} pictures, 256 x 256": (["image", 200, 256], ["image", 50, 256]),
    "{:,} pictures, 32 x 32": (["image", 10_000, 32], ["image", 1_000, 32]),
    "a table of {:,} rows": (["table", 200_000], ["table", 20_000]),
}
N_ROUNDS = 3


def tables(place: BenchPlace, quick: bool) -> List[Table]:
    """Measure, and return the table."""
    rows: List[List[Any]] = []
    for name, arguments in CASES.items():
        found: Dict[str, List[Dict[str, Any]]] = {OURS: [], REAL: []}
        for _ in range(1 if quick else N_ROUNDS):
            for who, runs in found.items():
                python = sys.executable if who == OURS else place.real_python
                if python is not None:
                    command = [python, CHILDREN / "log_media.py", *arguments[quick]]
                    runs.append(json.loads(place.run(command).splitlines()[-1]))
        for who, runs in found.items():
            if runs:
                calls = [seconds for run in runs for seconds in run["calls"]]
                copies = [seconds for run in runs for seconds in run["copies"]]
                own = [seconds for run in runs for seconds in run["cpu_calls"]]
                rows.append(
                    [
                        name.format(arguments[quick][1]),
                        who,
                        median(calls) * 1000,
                        percentile(calls, 99) * 1000,
                        median(own) * 1000,
                        median(copies) * 1000,
                        median(run["whole"] for run in runs),
                        median(run["cpu"] for run in runs),
                        median(run["bytes"] for run in runs) / 1e6,
                    ]
                )
    columns = ["what", "recorder", "p50 ms", "p99 ms", "CPU ms", "copy ms", "whole s", "CPU s", "MB"]
    notes = [
        "CPU ms: what a call takes of a processor in its own thread; on a busy machine the clock says less.",
        "copy: of the same data in memory, for comparison.",
        "whole, CPU: from init to the end of finish, in the program itself.",
        "a table is kept as an artifact, too, by both.",
    ]
    return [
        Table(
            "log() of media, per call",
            columns,
            rows,
            {"p50 ms": 2, "CPU ms": 2, "copy ms": 3, "MB": 1},
            notes,
        )
    ]
