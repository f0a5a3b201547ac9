"""Logs media with whichever wandb the interpreter has, and prints what it took as one line of JSON.

log_media.py image N SIDE       N pictures of SIDE x SIDE pixels, in rows of their own
log_media.py table N            one table of N rows and 4 columns
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any, Dict, List

import numpy as np

import wandb


def pictures(side: int) -> List[Any]:
    """Return pictures that compress neither well nor badly: a smooth ground, and a little noise."""
    random = np.random.default_rng(0)
    ground = np.add.outer(np.arange(side), np.arange(side))[:, :, None] * 255 // (2 * side)
    return [(ground + random.integers(0, 12, (side, side, 3))).astype(np.uint8) for _ in range(8)]


def _clocked(function: Any, seconds: List[float], cpu_seconds: List[float]) -> None:
    began, cpu = time.perf_counter(), time.thread_time()
    function()
    seconds.append(time.perf_counter() - began)
    cpu_seconds.append(time.thread_time() - cpu)


def main(case: str, n: int, side: int) -> Dict[str, Any]:
    """Return seconds of each call (`calls`, and `cpu_calls` of its own thread), of `copies` of the same data, and
    of the `whole`, with init and finish."""
    given = pictures(side)
    rows = [[index, index * 0.5, f"text {index}", index % 3 == 0] for index in range(n)]
    began = time.perf_counter()
    cpu = time.process_time()
    calls: List[float] = []
    cpu_calls: List[float] = []
    copies: List[float] = []
    with wandb.init(mode="offline", project="bench") as run:
        directory = Path(run.dir)
        if case == "image":
            for index in range(n):
                picture = given[index % len(given)]
                _clocked(lambda: run.log({"picture": wandb.Image(picture), "loss": 0.5}), calls, cpu_calls)
                _clocked(picture.copy, copies, [])
        else:
            columns = ["a", "b", "c", "d"]
            table = {"columns": columns, "data": rows}
            _clocked(lambda: run.log({"t": wandb.Table(**table), "x": 1}), calls, cpu_calls)
            _clocked(lambda: [list(row) for row in rows], copies, [])
    whole = time.perf_counter() - began
    n_bytes = sum(path.stat().st_size for path in (directory / "media").rglob("*") if path.is_file())
    return {
        "calls": calls,
        "cpu_calls": cpu_calls,
        "copies": copies,
        "whole": whole,
        "cpu": time.process_time() - cpu,
        "bytes": n_bytes,
    }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) if sys.argv[3:] else 8)))
