"""Writes logs: write_runs.py N_RUNS N_ROWS [cut]; each row has 10 scalars.  The runs are below ./wandb.

With "cut" they have no end, as if the process was killed.
"""

from __future__ import annotations

import os
import random
import sys

import wandb


def main() -> None:
    """Command line; see the top of the file."""
    n_runs, n_rows = int(sys.argv[1]), int(sys.argv[2])
    settings = wandb.Settings(console="off", x_disable_stats=True, silent=True)
    for number in range(n_runs):
        run = wandb.init(project="bench", mode="offline", id=f"bench{number}", settings=settings)
        for _ in range(n_rows):
            run.log({f"m/{key}": random.random() * 10 for key in range(10)})
        if sys.argv[3:] == ["cut"]:
            os._exit(0)
        run.finish()


if __name__ == "__main__":
    main()
