"""Removing run directories that are proven to be on a server.

Rule 1: a directory goes only with a receipt for every log in it, and only if the log is still the one of the
        receipt, byte for byte.  A `.synced` marker proves nothing.
Rule 2: nothing that is being synced or written goes.
"""

from __future__ import annotations

import os
import shutil
import time
import zlib
from pathlib import Path
from typing import Dict, List, Sequence

from wandb_sync.discover import LOG_SUFFIX, Log, sidecars
from wandb_sync.run_sync import read_receipts

DEFAULT_MIN_AGE_HOURS = 24.0  # as the real client's --clean-old-hours


def removable(logs: Sequence[Log], min_age_hours: float) -> List[Path]:
    """Return the run directories that may go.

    Args:
        min_age_hours: Since the log was last written to.
    """
    by_directory: Dict[Path, List[Log]] = {}
    for log in logs:
        by_directory.setdefault(log.directory, []).append(log)
    found = []
    for directory, inside in sorted(by_directory.items()):
        all_logs = {path.name for path in directory.glob("*" + LOG_SUFFIX)}
        if all_logs == {log.path.name for log in inside} and all(
            _is_proven(log, min_age_hours) for log in inside
        ):
            found.append(directory)
    return found


def remove(directory: Path) -> None:
    """Remove a run directory; links in it go, what they lead to stays."""
    shutil.rmtree(directory)


def _is_proven(log: Log, min_age_hours: float) -> bool:
    cars = sidecars(log)
    if cars.lease.exists():
        return False
    try:
        status = os.stat(log.path)
        if time.time() - status.st_mtime < min_age_hours * 3600:
            return False
        receipts = read_receipts(cars.receipt)
        return any(_is_same(log.path, receipt["log"]) for receipt in receipts.values())
    except (OSError, KeyError, TypeError):
        return False


def _is_same(path: Path, proven: Dict[str, int]) -> bool:
    crc32 = 0
    n_bytes = 0
    with open(path, "rb") as file:
        for piece in iter(lambda: file.read(1 << 20), b""):
            crc32 = zlib.crc32(piece, crc32)
            n_bytes += len(piece)
    return n_bytes == proven["file_n_bytes"] and crc32 == proven["crc32"]
