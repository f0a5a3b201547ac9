"""The proof that a whole run arrived: `run-ID.wandb.receipt`, beside the log; schema/checkpoint/FORMAT.md.

Rule: a receipt is for one state of a log, byte for byte, and of its files.  Whether it still holds is asked
      of them each time, never remembered.
"""

from __future__ import annotations

import contextlib
import os
import zlib
from pathlib import Path
from typing import Any, Dict, List, Mapping, Sequence

from wandb.errors import CheckpointUnreadable, LogError
from wandb.transaction_log.log_file import open_log, size
from wandb.transaction_log.side_logs import side_logs
from wandb_sync.checkpoint import replace_file, sealed, unsealed
from wandb_sync.discover import Log
from wandb_sync.files import MADE

FORMAT, VERSION = "wandb-ng receipt", 1


def checksum(path: Path) -> Dict[str, int]:
    """Return what tells whether a log is still the same, as receipts have it; compressed or not.

    Raises:
        OSError, LogError: It cannot be read.
    """
    crc32 = n_bytes = 0
    with open_log(path) as file:
        while piece := file.read_at(n_bytes, 1 << 20):
            crc32 = zlib.crc32(piece, crc32)
            n_bytes += len(piece)
    return {"file_n_bytes": n_bytes, "crc32": crc32}


def read_receipts(path: Path) -> Dict[str, Any]:
    """Return the receipts of a log by destination; empty if there are none that can be read."""
    with contextlib.suppress(OSError, CheckpointUnreadable, KeyError, TypeError):
        body = unsealed(path.read_bytes(), str(path))
        if body.get("format") == FORMAT and body.get("version") == VERSION:
            return dict(body["destinations"])
    return {}


def write_receipts(path: Path, receipts: Mapping[str, Any]) -> None:
    """Put receipts, by destination, in the place of those that are there.

    Raises:
        SyncError: They cannot be written; the old ones are as they were.
    """
    replace_file(path, sealed({"format": FORMAT, "version": VERSION, "destinations": dict(receipts)}))


def differs(log: Log, receipt: Any) -> str:
    """Return how a run differs from what a receipt was given for; empty if it does not."""
    reason = log_differs(log, receipt)
    if reason:
        return reason
    try:
        for path, stamp in receipt["files"].items():
            if path not in MADE and has_changed(log.files_dir / path, stamp):
                return f"files/{path} has changed since it was carried"
    except (KeyError, TypeError, AttributeError):
        return "the receipt cannot be understood"
    except OSError as error:
        return f"{error.filename}: {error.strerror}"
    return ""


def log_differs(log: Log, receipt: Any, elsewhere: Sequence[Path] = ()) -> str:
    """Return how a log and its side logs differ from those of a receipt; empty if they do not.

    Args:
        elsewhere: The side logs that are not beside it.
    """
    try:
        proven = {log.path.name: receipt["log"], **receipt.get("sides", {})}
        for path in (log.path, *map(Path, side_logs(log.path)), *elsewhere):
            name = path.name
            if name not in proven:
                return f"{name} had not arrived"
            wanted = {kind: proven[name][kind] for kind in ("file_n_bytes", "crc32")}
            n_bytes = size(path)
            if n_bytes != wanted["file_n_bytes"]:
                return f"{name} has {n_bytes} bytes, {wanted['file_n_bytes']} had arrived"
            if checksum(path) != wanted:
                return f"{name} has other bytes than had arrived"
    except (KeyError, TypeError, AttributeError):
        return "the receipt cannot be understood"
    except OSError as error:
        return f"{error.filename}: {error.strerror}"
    except LogError as error:
        return str(error)
    return ""


def side_names(log: Log) -> List[str]:
    """Return the names of the side logs in a log's own directory."""
    return [os.path.basename(path) for path in side_logs(log.path)]


def has_changed(path: Path, stamp: Sequence[int]) -> bool:
    """Whether a file is another one than was uploaded; one that is gone is not."""
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return [status.st_size, status.st_mtime_ns] != list(stamp)
