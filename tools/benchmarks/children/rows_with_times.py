"""Logs ten rows a second for so many seconds, and prints when each call began: rows_with_times.py SECONDS"""

from __future__ import annotations

import sys
import time
from typing import List

import wandb


def main() -> None:
    """Command line; see the top of the file."""
    seconds = float(sys.argv[1])
    times: List[float] = []
    run = wandb.init(project="bench", settings=wandb.Settings(console="off", x_disable_stats=True))
    end = time.time() + seconds
    while time.time() < end:
        times.append(time.time())
        run.log({f"m/{key}": times[-1] + key for key in range(10)})
        time.sleep(0.1)
    run.finish()
    print("\n".join(map(str, times)))


if __name__ == "__main__":
    main()
