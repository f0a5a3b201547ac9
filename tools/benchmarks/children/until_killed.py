"""Logs rows until it is killed, and keeps count of the calls that returned.

    until_killed.py COUNTER ROWS_PER_S    COUNTER: a file of eight bytes; 0 rows a second: as fast as it can

The count is kept in memory that is shared with the file, so that it is exact whenever the kill comes.
"""

from __future__ import annotations

import mmap
import struct
import sys
import time

import wandb


def main() -> None:
    """Command line; see the top of the file."""
    pause_s = 1 / float(sys.argv[2]) if float(sys.argv[2]) else 0.0
    run = wandb.init(project="bench", mode="offline", settings=wandb.Settings(console="off"))
    with open(sys.argv[1], "r+b") as file:
        counter = mmap.mmap(file.fileno(), 8)
    count = 0
    while True:
        run.log({f"m/{key}": count + key / 7 for key in range(10)})
        count += 1
        struct.pack_into("<Q", counter, 0, count)
        if pause_s:
            time.sleep(pause_s)


if __name__ == "__main__":
    main()
