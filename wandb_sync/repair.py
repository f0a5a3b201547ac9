"""A damaged log -> a sound one in its place, with everything that can be read, and the damaged one beside it.

Rule 1: never without a backup: the damaged log gets the name `run-ID.wandb.damaged` (or `.damaged.2` ...)
        before another one takes its own.  At any moment one of them is at the log's own path.
Rule 2: never under a writer or a syncer.
Rule 3: what was lost is written into the repaired log, so that a sync of it says so too and gives no receipt.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from pathlib import Path
from typing import NamedTuple, Optional

from wandb.errors import LogError, SyncError, UsageError
from wandb.proto.record_pb2 import Record as RecordMessage
from wandb.transaction_log import verify
from wandb.transaction_log.log_file import on_disk
from wandb.transaction_log.writer import Writer
from wandb_sync.check import Checked, check
from wandb_sync.checkpoint import sync_directory
from wandb_sync.discover import Log, sidecars
from wandb_sync.follow import ASSUME_DEAD_AFTER_S, has_ended
from wandb_sync.lease import Lease
from wandb_sync.segments import run_record

REASON = "damage"  # LostRecords.reason of what was lost before a repair
_TEMPORARY = ".repairing"


class Repaired(NamedTuple):
    """What became of a log.

    Attributes:
        before: What it held; with all that was lost.
        path: Where the sound log is; None: nothing had to be repaired.
        backup: Where the damaged one is.
    """

    before: Checked
    path: Optional[Path] = None
    backup: Optional[Path] = None


def repair(log: Log, *, out: Optional[Path] = None, force: bool = False, dry_run: bool = False) -> Repaired:
    """Repair a log in its place, or to another file.

    Args:
        out: Where the sound log goes; the damaged one stays as it is.
        force: Whether to take the run as ended.

    Raises:
        UsageError: The run goes on; or `out` is there already.
        LeaseHeld: Somebody syncs the run.
        LogError: It cannot be read, or is no log.
        SyncError: The disk does not take it.  The log is as it was.
    """
    checked = check(log.path)
    if not checked.n_lost:
        return Repaired(checked)
    if dry_run:
        return Repaired(checked, out or log.path)
    if out is not None:
        if os.path.lexists(out):
            raise UsageError(f"{out}: is there already", hint="give another name")
        _copy_sound(log.path, out, checked)
        return Repaired(checked, out)
    with contextlib.suppress(LogError):
        if not force and not has_ended(log.path, run_record(log.path), ASSUME_DEAD_AFTER_S, time.time()):
            raise UsageError(
                f"{log.shown}: the run goes on", hint="wait for its end, or give --out; --force if it is dead"
            )
    held = Path(on_disk(log.path))  # a compressed log is repaired to a plain one
    with Lease(sidecars(log).lease):
        for lease in sidecars(log).leases():
            if lease != sidecars(log).lease:
                Lease(lease).check()
        status = os.stat(held)
        temporary = log.path.with_name(log.path.name + _TEMPORARY)
        try:
            temporary.unlink(missing_ok=True)  # of a repair that was killed
            _copy_sound(log.path, temporary, checked)
            os.utime(temporary, ns=(status.st_mtime_ns, status.st_mtime_ns))
            backup = _back_up(held)
            os.replace(temporary, log.path)
            sync_directory(log.directory)
            if held != log.path:
                held.unlink()
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise SyncError(
                f"{log.shown}: cannot be repaired here: {error.strerror}", hint="give --out"
            ) from error
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    return Repaired(checked, log.path, backup)


def _copy_sound(path: Path, out: Path, checked: Checked) -> None:
    """Write every whole record to a new log, and behind them how many there are not."""
    try:
        verify.repair(path, out)
        writer = Writer.append_to(out)
        try:
            note = RecordMessage(num=(checked.last_record or checked.n_records) + 1)
            note.footer.lost.reason = REASON
            note.footer.lost.other = max(1, checked.n_lost_records)
            writer.write(note.SerializeToString())
            writer.sync()
        finally:
            writer.close()
    except BaseException:
        with contextlib.suppress(OSError):
            out.unlink()
        raise


def _back_up(path: Path) -> Path:
    """Give the file a second name that no file has; it keeps its first."""
    number = 1
    while True:
        backup = path.with_name(path.name + ".damaged" + (f".{number}" if number > 1 else ""))
        try:
            os.link(path, backup)
            break
        except FileExistsError:
            if os.path.samefile(path, backup):
                return backup  # a repair that was killed has made it
            number += 1
        except OSError:  # no hard links here
            if backup.exists():
                number += 1
                continue
            unfinished = backup.with_name(backup.name + ".unfinished")
            shutil.copy2(path, unfinished)
            with open(unfinished, "rb") as file:
                os.fsync(file.fileno())
            os.replace(unfinished, backup)
            break
    sync_directory(path.parent)
    return backup
