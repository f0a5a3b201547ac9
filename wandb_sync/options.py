"""Everything that a sync can be told, in one place.

The command line, its environment variables and `wandb_sync.sync` all fill the same dataclass; texts are what
people write, and are read here.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import os
import time
from pathlib import Path
from typing import Mapping, NamedTuple, Optional, Tuple

from wandb.errors import UsageError
from wandb_sync.discover import Log
from wandb_sync.follow import ASSUME_DEAD_AFTER_S, POLL_EVERY_S
from wandb_sync.retarget import ON_DELETED, Rule, read_rules
from wandb_sync.run_sync import RunOptions
from wandb_sync.selection import ORDERS, Selection
from wandb_sync.session import Target, Wishes
from wandb_sync.units import Shard, Timetable, moment_of, n_bytes_of, seconds_of

PARALLEL_RUNS = 16  # a sync of small runs is mostly waiting for answers; wandb does 5
STEP_POLICIES = ("drop", "keep", "rewind")


class Slice(NamedTuple):
    """Which part of the runs is ours, and whether the others' parts are left to them."""

    shard: Shard = Shard()
    is_strict: bool = True


@dataclasses.dataclass(frozen=True)
class SyncOptions:
    """What a sync is told; the names are those of the command line.

    Attributes:
        base_url: Servers; none: as `wandb sync` finds it.  Each run goes to all of them.
        api_key: For all of them; empty: found by server.
        entity, project, id, name, group, job_type, tags, replace_tags: What is to be otherwise than the log
            says.
        map: A file of rules that say so per run; see retarget.py.
        on_deleted: What becomes of a run that was deleted on the server: "skip", "new-id" or "fail".
        include, exclude: Globs for run directories, logs and their paths.
        include_online, include_offline, include_synced: Which kinds of runs are wanted.
        since: Only logs that have changed since: a date, or a duration before now.
        failed: Only runs that a server has refused for good before.
        shard: "i/n": only that part of the runs.  Empty: as Slurm says, and then what the others leave.
        order: "oldest", "newest", "smallest", "largest" or "name".
        parallel: Runs at a time, per process.
        processes: At most; 0: as many as there are CPUs for us.  More than one are started when the CPU is
            what holds us back.
        live, watch: Whether runs that go on are followed; whether new ones are looked for until stopped.
        poll_every: Seconds between two looks at logs that are followed.
        no_inotify: Whether a watch lists directories also where the kernel would tell of changes.
        step_policy, finish, assume_dead_after, skip_console, mark_synced, state_dir, dry_run: As RunOptions.
        retry_for: Seconds per request; with `live`, for a run that cannot be uploaded.
        requests_per_second: At most; None: as the server says.
        bwlimit: Bytes per second, or a timetable of them; see units.py.
        max_duration, max_transfer: When to stop, as a duration and as a size.
        sync_tensorboard: Whether TensorBoard's event files become runs; None: where there are no others.
        error_on_nothing: Whether nothing to do has an exit code of its own.
    """

    base_url: Tuple[str, ...] = ()
    api_key: str = dataclasses.field(default="", repr=False)
    entity: str = ""
    project: str = ""
    id: str = ""
    name: str = ""
    group: str = ""
    job_type: str = ""
    tags: Tuple[str, ...] = ()
    replace_tags: Mapping[str, str] = dataclasses.field(default_factory=dict)
    map: str = ""
    on_deleted: str = "fail"
    include: Tuple[str, ...] = ()
    exclude: Tuple[str, ...] = ()
    include_online: bool = False
    include_offline: bool = True
    include_synced: bool = False
    since: str = ""
    failed: bool = False
    shard: str = ""
    order: str = "oldest"
    parallel: int = PARALLEL_RUNS
    processes: int = 0
    live: bool = False
    watch: bool = False
    poll_every: float = POLL_EVERY_S
    no_inotify: bool = False
    step_policy: str = "drop"
    finish: bool = False
    assume_dead_after: float = ASSUME_DEAD_AFTER_S
    skip_console: bool = False
    mark_synced: bool = True
    state_dir: str = ""
    dry_run: bool = False
    retry_for: float = 600.0
    requests_per_second: Optional[float] = None
    bwlimit: str = ""
    max_duration: str = ""
    max_transfer: str = ""
    sync_tensorboard: Optional[bool] = None
    error_on_nothing: bool = False

    def __post_init__(self) -> None:
        """Read the texts once, so that a wrong one is told before anything is done.

        Raises:
            UsageError: One of them makes no sense.
        """
        if isinstance(self.base_url, str):
            object.__setattr__(self, "base_url", (self.base_url,) if self.base_url else ())
        for name, known in (
            ("order", tuple(ORDERS)),
            ("on_deleted", ON_DELETED),
            ("step_policy", STEP_POLICIES),
        ):
            if getattr(self, name) not in known:
                raise UsageError(f"{name}: {getattr(self, name)!r} is none of {', '.join(known)}")
        for name in ("include", "exclude", "tags"):
            if isinstance(getattr(self, name), str):
                raise UsageError(f"{name}: is a text, and no list of them")
        self.timetable, self.max_duration_s, self.max_n_bytes, self.since_s, self.slice

    @property
    def timetable(self) -> Timetable:
        return Timetable(self.bwlimit)

    @property
    def max_duration_s(self) -> Optional[float]:
        return seconds_of(self.max_duration, "--max-duration") if self.max_duration else None

    @property
    def max_n_bytes(self) -> Optional[int]:
        return n_bytes_of(self.max_transfer, "--max-transfer") if self.max_transfer else None

    @property
    def since_s(self) -> Optional[float]:
        return moment_of(self.since, "--since", time.time()) if self.since else None

    @property
    def slice(self) -> Slice:
        """The part of the runs that is ours: as told, else as Slurm says."""
        if self.shard:
            return Slice(Shard.read(self.shard))
        return Slice(shard_of_slurm(os.environ), is_strict=False)

    @property
    def rules(self) -> Tuple[Rule, ...]:
        """What `map` says.

        Raises:
            UsageError: The file cannot be read or understood.
        """
        return read_rules(Path(self.map)) if self.map else ()

    def selection(self) -> Selection:
        """Return which logs are wanted."""
        since_s = self.since_s

        def wanted(log: Log) -> bool:
            if self.include and not _matches(log, self.include) or _matches(log, self.exclude):
                return False
            return since_s is None or os.stat(log.path).st_mtime >= since_s

        return Selection(
            include_online=self.include_online,
            include_offline=self.include_offline,
            wanted=wanted,
            order=self.order,
            shard=self.slice.shard,
            is_strict=self.slice.is_strict,
        )

    def for_runs(self) -> RunOptions:
        """Return how a run is synced that no rule says anything else about."""
        return RunOptions(
            target=Target(self.entity, self.project, self.id),
            wishes=Wishes(
                name=self.name,
                group=self.group,
                job_type=self.job_type,
                tags=tuple(self.tags),
                replace_tags=self.replace_tags,
                console=not self.skip_console,
                step_policy=self.step_policy,
            ),
            finish=self.finish,
            assume_dead_after_s=self.assume_dead_after,
            include_synced=self.include_synced,
            mark=self.mark_synced,
            state_dir=Path(self.state_dir) if self.state_dir else None,
            dry_run=self.dry_run,
            on_deleted=self.on_deleted,
            failed=self.failed,
        )


def shard_of_slurm(environ: Mapping[str, str]) -> Shard:
    """Return which part of the work Slurm has given to this task: of a step's tasks, of an array's.

    Tasks of an array that have several tasks each share the runs among all of them.
    """
    tasks = _shard_of(environ, "SLURM_PROCID", "SLURM_NTASKS", 0, 1)
    first = _number(environ, "SLURM_ARRAY_TASK_MIN") or 0
    array = _shard_of(
        environ,
        "SLURM_ARRAY_TASK_ID",
        "SLURM_ARRAY_TASK_COUNT",
        first,
        _number(environ, "SLURM_ARRAY_TASK_STEP") or 1,
    )
    return Shard(array.number * tasks.of + tasks.number, array.of * tasks.of)


def _shard_of(environ: Mapping[str, str], index: str, count: str, first: int, step: int) -> Shard:
    number, n = _number(environ, index), _number(environ, count)
    if number is None or n is None or n < 1:
        return Shard()
    # An array may be any list of numbers: those beyond the regular ones share parts, which harms nothing.
    return Shard((number - first) // step % n, n)


def _number(environ: Mapping[str, str], name: str) -> Optional[int]:
    try:
        return int(environ[name])
    except (KeyError, ValueError):
        return None


def _matches(log: Log, globs: Tuple[str, ...]) -> bool:
    names = (log.directory.name, log.path.name, log.shown)
    return any(fnmatch.fnmatch(name, pattern) for name in names for pattern in globs)
