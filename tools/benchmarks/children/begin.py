"""How long it takes to begin: begin.py new | resume | scan

Prints milliseconds, of the clock and of the CPU: of init() for a run that is new, of init() for one that goes
on from `bench0` below ./wandb, or of reading that run's longest log once, whole.
"""

from __future__ import annotations

import glob
import os
import sys
import time


def main() -> None:
    """Command line; see the top of the file."""
    kind = sys.argv[1]
    if kind == "scan":
        from wandb.transaction_log.reader import read_records

        log = max(glob.glob("wandb/offline-run-*-bench0/*.wandb"), key=os.path.getsize)
        began, used = time.perf_counter(), time.process_time()
        for _ in read_records(log):
            pass
    else:
        import wandb

        settings = wandb.Settings(console="off", x_disable_stats=True, silent=True)
        is_resumed = kind == "resume"
        began, used = time.perf_counter(), time.process_time()
        wandb.init(
            project="bench",
            mode="offline",
            id="bench0" if is_resumed else None,
            resume="allow" if is_resumed else None,
            settings=settings,
        )
    print((time.perf_counter() - began) * 1e3, (time.process_time() - used) * 1e3, flush=True)
    os._exit(0)  # what goes on from it finds it killed, too


if __name__ == "__main__":
    main()
