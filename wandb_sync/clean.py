"""Removing run directories that are proven to be on a server.

Rule 1: a directory goes only with a receipt for every log in it, and only if the log is still the one of the
        receipt, byte for byte.  A `.synced` marker proves nothing.
Rule 2: nothing that is being synced or written goes.
Rule 3: a directory goes only if it is called as run directories are and holds nothing but what a recorder and
        the syncer put there.  Whoever copied a log among his own files loses none of them.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Dict, List, Sequence, Tuple

from wandb.errors import LogError
from wandb.transaction_log.compaction import UNFINISHED
from wandb.transaction_log.format import COMPRESSED_SUFFIX
from wandb.transaction_log.log_file import status
from wandb.transaction_log.side_logs import side_logs
from wandb_sync.checkpoint import checkpoints_of
from wandb_sync.discover import Log, logs_in, sidecars
from wandb_sync.run_sync import checksum, read_receipts

DEFAULT_MIN_AGE_HOURS = 24.0  # as the real client's --clean-old-hours
RUN_PREFIXES = ("run-", "offline-run-")
RUN_PARTS = frozenset(("files", "logs", "tmp", "code"))  # beside the log; ours and the real client's


def removable(logs: Sequence[Log], min_age_hours: float) -> Tuple[List[Path], Dict[Path, str]]:
    """Return the run directories that may go, and why the others that are on the server may not (rule 3).

    Args:
        min_age_hours: Since the log was last written to.
    """
    by_directory: Dict[Path, List[Log]] = {}
    for log in logs:
        by_directory.setdefault(log.directory, []).append(log)
    found: List[Path] = []
    refused: Dict[Path, str] = {}
    for directory, inside in sorted(by_directory.items()):
        all_logs = {path.name for path in logs_in(directory)}
        if all_logs == {log.path.name for log in inside} and all(
            _is_proven(log, min_age_hours) for log in inside
        ):
            reason = _foreign(directory, inside)
            if reason:
                refused[directory] = reason
            else:
                found.append(directory)
    return found, refused


def remove(directory: Path) -> None:
    """Remove a run directory; links in it go, what they lead to stays."""
    shutil.rmtree(directory)


def _foreign(directory: Path, logs: Sequence[Log]) -> str:
    """Return why a directory is more than a run's own; empty if it is not."""
    if not directory.name.startswith(RUN_PREFIXES):
        return f"it is not called {'... or '.join(RUN_PREFIXES)}..."
    names = [name for log in logs for name in (log.path.name, *_side_names(log))]
    own = {name + suffix for name in names for suffix in ("", COMPRESSED_SUFFIX)}
    cars = [sidecars(log) for log in logs]
    strange = [
        name
        for name in sorted(os.listdir(directory))
        if name not in RUN_PARTS and name not in own and not any(car.is_one(name) for car in cars)
        if not (name.endswith(UNFINISHED) and any(name.startswith(f"{its}.") for its in own))
    ]
    return f"{', '.join(strange[:3])} {'are' if strange[1:] else 'is'} no part of a run" if strange else ""


def _is_proven(log: Log, min_age_hours: float) -> bool:
    cars = sidecars(log)
    if cars.is_leased():
        return False
    try:
        if time.time() - status(log.path).st_mtime < min_age_hours * 3600:
            return False
        if not all(entry.get("is_complete") for entry in checkpoints_of(cars.checkpoint).values()):
            return False  # it is on its way to another server
        receipts = read_receipts(cars.receipt)
        return any(
            _is_same(log.path, receipt["log"]) and _are_same(log, receipt.get("sides", {}))
            for receipt in receipts.values()
        )
    except (OSError, LogError, KeyError, TypeError):
        return False


def _is_same(path: Path, proven: Dict[str, int]) -> bool:
    found = checksum(path)
    return all(found[name] == proven[name] for name in found)


def _are_same(log: Log, proven: Dict[str, Dict[str, int]]) -> bool:
    """Whether every side log in the log's directory is one of the receipt's, byte for byte."""
    return all(name in proven and _is_same(log.directory / name, proven[name]) for name in _side_names(log))


def _side_names(log: Log) -> List[str]:
    return [os.path.basename(path) for path in side_logs(log.path)]
