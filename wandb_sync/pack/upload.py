"""Packs -> a server, without unpacking them anywhere for good.

The syncer wants files: it reads a log again from an offset, and again for its console text.  So runs are
unpacked to a temporary directory, as many at a time as fit into half of what is free there, synced, and
removed; the packs are read once for each such share.  What is known of the server (checkpoints, receipts)
stays, in `wandb-pack-state` beside the pack or where --state-dir says, for the next pack of these runs.

Rule 1: a run that went on when it was packed goes on: it is not called ended, however old the pack is.
Rule 2: the segments of one run are in one share.
Rule 3: all packs of a run are put together before anything is uploaded: those that were given, and those
        beside them that they build on.  Of a run of which a pack is missing nothing is uploaded.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Sequence, Set, Tuple

from wandb.errors import Error, PackError, UsageError
import wandb_sync.temporary as temporary
from wandb_sync.discover import Log, is_pack
from wandb_sync.pack.manifest import Manifest, Run
from wandb_sync.pack.stream import STDIN
from wandb_sync.pack.unpack import failure, in_order, manifest_of, unpack
from wandb_sync.outcomes import Emit, Outcome, Report, Status

STATE_NAME = "wandb-pack-state"
SPOOL_PREFIX = "wandb-sync-pack-"
LEAST_SHARE_BYTES = 64 << 20  # the share of a disk that has less free than twice that

Sync = Callable[[Sequence[str], bool, str, Emit], Report]  # see sync_packs


class Share(NamedTuple):
    """Runs that are synced together."""

    is_open: bool
    directories: Set[str]


def sync_packs(packs: Sequence[str], state_dir: str, sync: Sync, emit: Emit, *, dry_run: bool) -> Report:
    """Sync the runs of packs.

    Args:
        state_dir: Where it is kept what the server has; empty: beside the packs.
        sync: Syncs run directories: paths, whether their runs go on, the state directory, and where to tell
            what happens.

    Raises:
        UsageError: A pack is stdin, which can be read only once.
        PackError: A pack is damaged, or there is no room; what was synced before stays so.
        SyncError: The state cannot be kept.
    """
    if STDIN in packs:
        raise UsageError("a pack from stdin cannot be synced", hint="unpack it, or save it as a file first")
    wanted = {_key(run) for path in packs for run in manifest_of(path).runs}
    packs = with_those_before(packs)
    state_dir = state_dir or str(state_dir_of(packs[0], make=not dry_run))
    manifests: Dict[str, Manifest] = {}
    for path in packs:
        manifest = manifest_of(path)
        manifests[path] = manifest._replace(runs=tuple(run for run in manifest.runs if _key(run) in wanted))
    label = {run.directory: path for path in packs for run in manifests[path].runs}
    outcomes: List[Outcome] = []
    was_interrupted = False
    interrupt_code = Report([]).interrupt_code
    for share in shares(list(manifests.values()), _share_bytes()):
        with temporary.directory(SPOOL_PREFIX) as spool:
            broken = _put_together(packs, spool, share)
            for directory, error in broken.items():
                shutil.rmtree(spool / directory, ignore_errors=True)
                log = Log(Path(label[directory]) / directory, f"{label[directory]}:{directory}")
                outcomes.append(Outcome(log, Status.FAILED, str(error), error.exit_code))
                fields = {"log": log.shown, "status": "failed", "reason": str(error), "url": ""}
                emit("run_done", {**fields, "exit_code": error.exit_code})
            if not share.directories - set(broken):
                continue
            report = sync([str(spool)], share.is_open, state_dir, _renamed(emit, spool, label))
            outcomes += report.outcomes
            was_interrupted = report.was_interrupted
            interrupt_code = report.interrupt_code
        if was_interrupted:
            break
    return Report(outcomes, was_interrupted, interrupt_code)


def with_those_before(packs: Sequence[str]) -> List[str]:
    """Return packs, and those in the same directories that they build on, in order.

    Raises:
        PackError: One that was given is damaged or no pack.  Others that are do not count.
    """
    given = in_order(packs)
    manifests = [manifest_of(path) for path in given]
    there = {(run.directory, run.made_at_ns) for manifest in manifests for run in manifest.runs}
    lacking = [run for manifest in manifests for run in manifest.runs if run.before_ns]
    if all((run.directory, run.before_ns) in there for run in lacking):
        return given
    beside: Dict[Tuple[str, int], Tuple[str, Manifest]] = {}
    known = {os.path.realpath(path) for path in given}
    for parent in sorted({os.path.dirname(path) or "." for path in given}):
        for path in sorted(os.path.join(parent, name) for name in os.listdir(parent) if is_pack(name)):
            if os.path.realpath(path) in known:
                continue
            with contextlib.suppress(PackError):
                manifest = manifest_of(path)
                beside.update({(run.directory, run.made_at_ns): (path, manifest) for run in manifest.runs})
    added: List[str] = []
    while lacking:
        run = lacking.pop()
        before = (run.directory, run.before_ns)
        if before in beside and before not in there:
            path, manifest = beside[before]
            added.append(path)
            there |= {(other.directory, other.made_at_ns) for other in manifest.runs}
            lacking += [other for other in manifest.runs if other.before_ns]
    return in_order([*given, *added])


def state_dir_of(pack: str, *, make: bool = False) -> Path:
    """Return where it is kept what the server has of the runs of a pack.

    Raises:
        UsageError: It is to be made and cannot be.
    """
    path = Path(pack).resolve().parent / STATE_NAME
    try:
        if make:
            path.mkdir(exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"{path}: {error.strerror}", hint="give --state-dir a directory that can be written"
        ) from error
    return path


def shares(manifests: Sequence[Manifest], most_bytes: int) -> List[Share]:
    """Divide the runs of packs into shares of at most `most_bytes`, or of one run."""
    n_bytes: Dict[Any, int] = {}
    directories: Dict[Any, Set[str]] = {}
    newest: Dict[str, Run] = {}
    for manifest in manifests:
        for run in manifest.runs:
            key = _key(run)
            n_bytes[key] = n_bytes.get(key, 0) + run.n_bytes
            directories.setdefault(key, set()).add(run.directory)
            newest[run.directory] = run
    found: List[Share] = []
    for is_open in (False, True):
        room = 0
        for key, names in directories.items():
            if any(newest[name].is_open for name in names) is not is_open:
                continue
            if n_bytes[key] > room:
                found.append(Share(is_open, set()))
                room = most_bytes
            found[-1].directories.update(names)
            room -= n_bytes[key]
    return [share for share in found if share.directories]


def _key(run: Run) -> Tuple[str, str, str]:
    """Return what the directories of one run have in common."""
    return run.run if run.run[2] else ("", "", run.directory)


def _put_together(packs: Sequence[str], spool: Path, share: Share) -> Dict[str, Error]:
    """Unpack a share; returns the runs that could not be, and why."""
    try:
        outcomes = unpack(packs, spool, wanted=lambda run: run.directory in share.directories)
    except PackError as error:
        if "are free" in error.message:
            error.hint = "TMPDIR says where runs lie while they are synced"
        raise
    broken: Dict[str, Error] = {}
    for outcome in outcomes:
        if outcome.is_well:
            broken.pop(outcome.run.directory, None)  # a whole pack behind a gap
        else:
            broken[outcome.run.directory] = failure(outcome)
    return broken


def _share_bytes() -> int:
    try:
        space = os.statvfs(tempfile.gettempdir())
    except OSError:
        return LEAST_SHARE_BYTES
    return max(LEAST_SHARE_BYTES, space.f_bavail * space.f_frsize // 2)


def _renamed(emit: Emit, spool: Path, label: Mapping[str, str]) -> Emit:
    """Let events speak of the pack, not of a directory that is gone in a moment."""
    pattern = re.compile(re.escape(str(spool)) + r"/([^/]+)")

    def plain(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        return pattern.sub(lambda match: f"{label.get(match[1], spool)}:{match[1]}", value)

    def told(name: str, fields: Mapping[str, Any]) -> None:
        emit(name, {key: plain(value) for key, value in fields.items()})

    return told
