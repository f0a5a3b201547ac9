"""Reads a log while it is written: tail.py DIRECTORY, until it is killed."""

from __future__ import annotations

import glob
import sys
import time

from wandb.transaction_log.reader import Reader

PAUSE_S = 0.01


def main() -> None:
    """Command line; see the top of the file."""
    (log,) = glob.glob(f"{sys.argv[1]}/wandb/offline-run-*/*.wandb")
    print("open", flush=True)
    with Reader(log) as reader:
        while True:
            for _ in reader.events():
                pass
            time.sleep(PAUSE_S)


if __name__ == "__main__":
    main()
