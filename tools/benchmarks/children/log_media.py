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


def _clocked(function: Any, *arguments: Any) -> float:
    began = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - began


def main(case: str, n: int, side: int) -> Dict[str, Any]:
    """Return seconds: `calls` one per call, `copies` of the same data, `whole` with init and finish."""
    given = pictures(side)
    rows = [[index, index * 0.5, f"text {index}", index % 3 == 0] for index in range(n)]
    began = time.perf_counter()
    cpu = time.process_time()
    calls: List[float] = []
    copies: List[float] = []
    with wandb.init(mode="offline", project="bench") as run:
        directory = Path(run.dir)
        if case == "image":
            for index in range(n):
                picture = given[index % len(given)]
                calls.append(_clocked(lambda: run.log({"picture": wandb.Image(picture), "loss": 0.5})))
                copies.append(_clocked(picture.copy))
        else:
            columns = ["a", "b", "c", "d"]
            calls.append(_clocked(lambda: run.log({"t": wandb.Table(columns=columns, data=rows), "x": 1})))
            copies.append(_clocked(lambda: [list(row) for row in rows]))
    whole = time.perf_counter() - began
    n_bytes = sum(path.stat().st_size for path in (directory / "media").rglob("*") if path.is_file())
    return {
        "calls": calls,
        "copies": copies,
        "whole": whole,
        "cpu": time.process_time() - cpu,
        "bytes": n_bytes,
    }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) if sys.argv[3:] else 8)))
