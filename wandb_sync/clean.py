"""Removing run directories that are proven to be on a server.

Rule 1: a directory goes only with a receipt for every log in it, and only if the log is still the one of the
        receipt, byte for byte; or if somebody has said that it may go without.  A `.synced` marker proves
        nothing.
Rule 2: nothing that is being synced, packed or written goes, whatever anybody has said.
Rule 3: a directory goes only if it is called as run directories are and holds nothing but what a recorder and
        the syncer put there.  Whoever copied a log among his own files loses none of them.
Rule 4: a directory is judged by itself: of a run that was requeued, the segments that have arrived may go
        while it goes on.
Rule 5: the directories of a shared run's other processes go with that of its main log, and before it: all
        that is in them has to be proven too.
Rule 6: a directory gets another name before anything in it goes.  A kill leaves no half of a run; the next
        clean removes what is left.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from pathlib import Path
from typing import Dict, Iterable, List, NamedTuple, Optional, Sequence, Set, Tuple

from wandb.errors import Error, LeaseHeld, LogError, SyncError
from wandb.transaction_log.compaction import UNFINISHED
from wandb.transaction_log.format import COMPRESSED_SUFFIX
from wandb.transaction_log.log_file import status
from wandb.transaction_log.side_logs import side_logs
from wandb_sync.bundle import bundle_path
from wandb_sync.checkpoint import checkpoints_of
from wandb_sync.discover import Log, Sidecars, logs_in, sidecars
from wandb_sync.follow import is_over
from wandb_sync.lease import Lease
from wandb_sync.pack import memory
from wandb_sync.pack.manifest import MEMORY_NAME
from wandb_sync.printed import hand_on_printed
from wandb_sync.receipts import log_differs, read_receipts, side_names
from wandb_sync.segments import peek, run_of, segment_name
from wandb_sync.sides import sides_of

DEFAULT_MIN_AGE_HOURS = 24.0  # as the real client's --clean-old-hours
RUN_PREFIXES = ("run-", "offline-run-")
RUN_PARTS = frozenset(("artifacts", "files", "logs", "tmp", "code"))  # beside the log; ours and wandb's
REMOVING_PREFIX = ".removing-"

NO_RECEIPT = "no server is proven to have it"


class CleanOptions(NamedTuple):
    """What may go.

    Attributes:
        min_age_hours: Since a log was last written to.
        keep_last: How many of the newest run directories stay.
        include_unsynced: Whether a receipt is not needed.
        state_dir: Where receipts are kept; None: beside the logs.
    """

    min_age_hours: float = DEFAULT_MIN_AGE_HOURS
    keep_last: int = 0
    include_unsynced: bool = False
    state_dir: Optional[Path] = None


class Judged(NamedTuple):
    """One run directory.

    Attributes:
        sides: Those that go with it: of other processes of a shared run.
        reason: Why it stays; empty: it may go.
        is_proven: Whether a server has all of it, by receipts.
        n_bytes: What removing it frees.
    """

    directory: Path
    logs: Tuple[Log, ...]
    reason: str
    is_proven: bool
    n_bytes: int
    sides: Tuple[Path, ...] = ()


def judge(logs: Sequence[Log], options: CleanOptions = CleanOptions()) -> List[Judged]:
    """Say of each run directory whether it may go; nothing is removed."""
    by_directory: Dict[Path, List[Log]] = {}
    for log in logs:
        by_directory.setdefault(log.directory, []).append(log)
    ordered = sorted(by_directory.items(), key=lambda item: (item[0].name.rpartition("run-")[2], item[0]))
    newest = {directory for directory, _ in ordered[len(ordered) - options.keep_last :]}
    found = []
    for directory, inside in ordered:
        sides = {log: _sides_elsewhere(log) for log in inside}
        is_proven = all(_is_proven(log, options.state_dir, sides[log]) for log in inside)
        reason = _reason(directory, inside, options, is_proven)
        beside = tuple(sorted({side.parent for log in inside for side in sides[log]}))
        for path in beside:
            reason = reason or _reason_of_sides(path, inside, options, is_proven)
        if not reason and directory in newest and options.keep_last:
            reason = f"it is one of the newest {options.keep_last}"
        n_bytes = 0 if reason else sum(map(_n_bytes, (directory, *beside)))
        found.append(Judged(directory, tuple(inside), reason, is_proven, n_bytes, beside))
    return found


def removable(
    logs: Sequence[Log], min_age_hours: float
) -> Tuple[Dict[Path, Tuple[Path, ...]], Dict[Path, str]]:
    """Return the run directories that may go, each with those that go with it, and why the others that are on
    the server may not (rule 3).

    Args:
        min_age_hours: Since the log was last written to.
    """
    found: Dict[Path, Tuple[Path, ...]] = {}
    refused: Dict[Path, str] = {}
    for one in judge(logs, CleanOptions(min_age_hours)):
        if not one.reason:
            found[one.directory] = one.sides
        elif one.is_proven and one.reason == _foreign(one.directory, one.logs):
            refused[one.directory] = one.reason
    return found, refused


def remove(directory: Path, sides: Sequence[Path] = ()) -> None:
    """Remove a run directory; links in it go, what they lead to stays (rule 6).

    Args:
        sides: Directories that go before it, as `judge` says.

    Raises:
        LeaseHeld: Somebody has begun to sync or pack it; it is as it was.
        SyncError: What it has printed cannot be kept for the segment behind it; it is as it was.
        OSError: It cannot be removed.
    """
    logs = [Log(path, str(path)) for path in sorted(logs_in(directory))]
    with contextlib.ExitStack() as stack:
        try:
            for log in logs:
                stack.enter_context(Lease(sidecars(log).lease))
                for lease in sidecars(log).leases():
                    if lease != sidecars(log).lease:
                        Lease(lease).check()
            stack.enter_context(Lease(memory.lease_of(memory.path_of(directory))))
        except LeaseHeld:
            raise
        except SyncError as error:
            if isinstance(error.__cause__, OSError):
                raise error.__cause__ from None
            raise
        for log in logs:
            _hand_on(log)
        for path in sides:
            shutil.rmtree(_doomed(path))
        doomed = _doomed(directory)
    shutil.rmtree(doomed)


def _doomed(directory: Path) -> Path:
    """Give a directory the name under which it is removed, by us or by the next clean; returns that."""
    doomed = directory.with_name(REMOVING_PREFIX + directory.name)
    if os.path.lexists(doomed):
        shutil.rmtree(doomed)
    os.rename(directory, doomed)
    return doomed


def _sides_elsewhere(log: Log) -> List[Path]:
    """Return the side logs of a shared run's other processes, which have directories of their own."""
    with contextlib.suppress(LogError):
        first = peek(log.path)
        if first is not None and first.is_shared:
            segments = run_of(log)
            number = next(n for n, segment in enumerate(segments) if segment.log.path == log.path)
            return [side.path for side in sides_of(segments, number) if side.path.parent != log.directory]
    return []


def _reason_of_sides(path: Path, logs: Sequence[Log], options: CleanOptions, is_proven: bool) -> str:
    """Return why the directory of another process of a shared run stays; empty if it may go."""
    side = [Path(side) for log in logs for side in side_logs(log.path, is_shared=True)]
    mine = [log for log in side if log.parent == path]
    try:
        for log in mine:
            if time.time() - status(log).st_mtime < options.min_age_hours * 3600:
                return f"{path.name} was written to less than {options.min_age_hours:g} hours ago"
            if not is_proven and not _is_over(Log(log, str(log))):
                return "the run goes on"
    except OSError as error:
        return f"{error.filename or path}: {error.strerror}"
    strange = _strange(path, {log.name for log in mine}, [])
    return f"{path.name}: {strange}" if strange else ""


def _hand_on(log: Log) -> None:
    """Let the segment behind this one keep what was printed: `output.log` is made of all segments.

    Raises:
        SyncError: It cannot be kept.
    """
    run_id = log.path.stem[len("run-") :]
    for entry in list(os.scandir(log.directory.parent)):
        if f"-{run_id}" not in entry.name or entry.name == log.directory.name or entry.is_symlink():
            continue
        later = Log(Path(entry.path) / log.path.name, entry.path)
        with contextlib.suppress(LogError):
            first = peek(later.path)
            if first is not None and first.previous == segment_name(log):
                hand_on_printed(log, later)


def remove_left(parents: Iterable[Path]) -> List[Path]:
    """Remove what a killed clean has left in these directories of runs."""
    left = []
    for parent in sorted(set(parents)):
        for path in sorted(parent.glob(REMOVING_PREFIX + "*")):
            if path.name[len(REMOVING_PREFIX) :].startswith(RUN_PREFIXES) and not path.is_symlink():
                shutil.rmtree(path)
                left.append(path)
    return left


def _reason(directory: Path, logs: Sequence[Log], options: CleanOptions, is_proven: bool) -> str:
    """Return why a directory stays; empty if it may go."""
    if {path.name for path in logs_in(directory)} != {log.path.name for log in logs}:
        return "it has more logs than were named"
    try:
        memory_path = memory.path_of(directory, options.state_dir)
        Lease(memory.lease_of(memory_path)).check()
        for log in logs:
            for lease in {*sidecars(log).leases(), *sidecars(log, options.state_dir).leases()}:
                Lease(lease).check()
            if time.time() - status(log.path).st_mtime < options.min_age_hours * 3600:
                return f"its log was written to less than {options.min_age_hours:g} hours ago"
    except LeaseHeld as error:
        return error.message
    except OSError as error:
        return f"{error.filename or directory}: {error.strerror}"
    if not is_proven:
        if not options.include_unsynced:
            return NO_RECEIPT
        if not all(map(_is_over, logs)):
            return "the run goes on"
    return _foreign(directory, logs)


def _is_over(log: Log) -> bool:
    """Whether nobody will write to a log any more."""
    try:
        return is_over(log.path)
    except Error:
        return True  # it is no log that anybody could go on with


def _foreign(directory: Path, logs: Sequence[Log]) -> str:
    """Return why a directory is more than a run's own; empty if it is not."""
    if not directory.name.startswith(RUN_PREFIXES):
        return f"it is not called {'... or '.join(RUN_PREFIXES)}..."
    own = {path for log in logs for path in (log.path.name, *side_names(log))}
    return _strange(directory, own, [sidecars(log) for log in logs])


def _strange(directory: Path, own: Set[str], cars: Sequence[Sidecars]) -> str:
    """Say what in a directory is no part of a run; empty if nothing is.

    Args:
        own: Names of logs in it.
    """
    own = (
        own
        | {path + COMPRESSED_SUFFIX for path in own}
        | {os.path.basename(bundle_path(path)) for path in own}
    )
    strange = [
        path
        for path in sorted(os.listdir(directory))
        if path not in RUN_PARTS and path not in own and not any(car.is_one(path) for car in cars)
        if path != MEMORY_NAME and not path.startswith(MEMORY_NAME + ".")
        if not (path.endswith(UNFINISHED) and any(path.startswith(f"{its}.") for its in own))
    ]
    return f"{', '.join(strange[:3])} {'are' if strange[1:] else 'is'} no part of a run" if strange else ""


def _is_proven(log: Log, state_dir: Optional[Path], sides: Sequence[Path]) -> bool:
    cars = sidecars(log, state_dir)
    try:
        if not all(entry.get("is_complete") for entry in checkpoints_of(cars.checkpoint).values()):
            return False  # it is on its way to another server
        return any(not log_differs(log, receipt, sides) for receipt in read_receipts(cars.receipt).values())
    except (OSError, Error):
        return False


def _n_bytes(directory: Path) -> int:
    """Return what a directory takes, without what links lead to."""
    total = 0
    for parent, _, names in os.walk(directory):
        for file in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(parent, file)).st_size
    return total
