"""The command `wandb sync`, which is also `wandb-sync` and `python -m wandb_sync`.

Every flag that `wandb sync` ever had is taken.  Those that lost their meaning say so in one line and change
nothing else; scripts written for any version go on running.

An option `--some-thing` is also the environment variable WANDB_SYNC_SOME_THING; lists are separated there as
on the command line, by commas, and what can be given several times by blanks.
"""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import sys
import threading
from types import FrameType
from typing import Any, Callable, Iterator, List, Mapping, Optional, Sequence, Tuple

import click

from wandb.errors import Error, UsageError
from wandb_sync.follow import ASSUME_DEAD_AFTER_S, POLL_EVERY_S
from wandb_sync.options import PARALLEL_RUNS, STEP_POLICIES, SyncOptions
from wandb_sync.retarget import ON_DELETED, comma_list, tag_pairs
from wandb_sync.selection import ORDERS
from wandb_sync.transport.stoppable import Stop

EXIT_TERMINATED = 143
PROGRAM = "wandb sync"


def _option(*names: str, **attributes: Any) -> Callable[[Any], Any]:
    """Declare an option, with the environment variable that stands for it."""
    long = next(name for name in names if name.startswith("--")).partition("/")[0]
    attributes.setdefault("envvar", "WANDB_SYNC_" + long[2:].upper().replace("-", "_"))
    return click.option(*names, **attributes)


def _commas(ctx: click.Context, parameter: click.Parameter, value: Any) -> Tuple[str, ...]:
    texts = value if isinstance(value, tuple) else (value,)
    return tuple(part for text in texts for part in comma_list(text))


def _tag_pairs(ctx: click.Context, parameter: click.Parameter, value: str) -> Mapping[str, str]:
    return tag_pairs(value, "--replace-tags")


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.argument("paths", nargs=-1, type=click.Path())
# Where to, and as what.
@_option("--id", "id", default="", help="Upload under this run id.")
@_option("-p", "--project", default="", help="Upload to this project.")
@_option("-e", "--entity", default="", help="Upload to this user or team.")
@_option("--name", default="", help="Give the run this display name.")
@_option("--group", default="", help="Put the run into this group.")
@_option("--job-type", "--job_type", "job_type", default="", help="Give the run this job type.")
@_option("--tags", default="", callback=_commas, metavar="TAG,...", help="Give the run these tags.")
@_option(
    "--replace-tags", default="", callback=_tag_pairs, metavar="OLD=NEW,...", help="Replace tags of the run."
)
@_option(
    "--base-url",
    multiple=True,
    metavar="URL",
    help="The server; several times: all of them.  Default: WANDB_BASE_URL, then the settings files.",
)
@_option("--map", default="", metavar="FILE", help="Rules that say per run where it goes, and as what.")
@_option(
    "--on-deleted",
    type=click.Choice(ON_DELETED),
    default="fail",
    show_default=True,
    help="What becomes of a run that was deleted on the server.",
)
# Which runs.
@_option(
    "--include-online/--skip-online", " /--no-include-online", default=False, help="Runs recorded online too."
)
@_option(
    "--include-offline/--no-include-offline", default=True, help="Runs recorded offline.", show_default=True
)
@_option(
    "--include-synced/--skip-synced", " /--no-include-synced", default=False, help="Upload synced runs again."
)
@_option(
    "--include",
    "--include-globs",
    "include",
    multiple=True,
    callback=_commas,
    metavar="GLOB,...",
    help="Only runs whose directory, file or path matches; may be given several times.",
)
@_option(
    "--exclude",
    "--exclude-globs",
    "--ignore",
    "exclude",
    multiple=True,
    callback=_commas,
    metavar="GLOB,...",
    help="No runs whose directory, file or path matches; may be given several times.",
)
@_option(
    "--since", default="", metavar="MOMENT", help="Only logs that changed since: 7d, 12h, 2026-01-31T08:00."
)
@_option(
    "--failed", is_flag=True, help="Only runs that the server refused before; with --dry-run: list them."
)
@_option(
    "--shard",
    default="",
    metavar="I/N",
    help="Only part I of N, from 0.  Default: as Slurm says, then what other tasks have left.",
)
@_option("--sync-all", is_flag=True, help="All runs of ./wandb, as without PATHS.")
# How.
@_option("--order", type=click.Choice(list(ORDERS)), default="oldest", show_default=True, help="Which first.")
@_option(
    "-n",
    "--parallel",
    type=click.IntRange(1),
    default=PARALLEL_RUNS,
    show_default=True,
    help="Runs at a time, per process.",
)
@_option(
    "-j",
    "--processes",
    type=click.IntRange(0),
    default=0,
    metavar="N",
    help="Processes at most.  Default: one per CPU that we may use, once the CPU is what holds us back.",
)
@_option("--live", is_flag=True, help="Follow runs that go on until they end.")
@_option("--watch", is_flag=True, help="Follow, and look for new runs until stopped.")
@_option(
    "--poll-every",
    type=click.FloatRange(0.05),
    default=POLL_EVERY_S,
    show_default=True,
    metavar="SECONDS",
    help="How often logs that are followed are looked at.",
)
@_option("--no-inotify", is_flag=True, help="Watch directories by listing them, also on local disks.")
@_option(
    "--step-policy",
    type=click.Choice(STEP_POLICIES),
    default="drop",
    show_default=True,
    help="Rows whose step goes back: drop them, keep them too, or let the run go back with them.",
)
@_option("--finish", is_flag=True, help="Take runs without an exit record as ended.")
@_option(
    "--assume-dead-after",
    type=click.FloatRange(0),
    default=ASSUME_DEAD_AFTER_S,
    show_default=True,
    metavar="SECONDS",
    help="Take a run without exit record as ended when its log has not changed for so long.",
)
@_option("--mark-synced/--no-mark-synced", default=True, help="Write the .synced marker.", show_default=True)
@_option("--skip-console", is_flag=True, help="Leave console output out.")
@_option(
    "--state-dir",
    type=click.Path(file_okay=False),
    default="",
    help="For checkpoints of logs in unwritable places.",
)
@_option(
    "--sync-tensorboard/--no-sync-tensorboard",
    default=None,
    help="Make runs of TensorBoard's event files. Default: of directories that have no runs.",
)
# Within what limits.
@_option(
    "--retry-for",
    type=click.FloatRange(0),
    default=600.0,
    show_default=True,
    metavar="SECONDS",
    help="How long a request is tried, or a run with --live; --watch never gives up.",
)
@_option("--requests-per-second", type=click.FloatRange(0, min_open=True), help="Never send more than that.")
@_option(
    "--bwlimit",
    default="",
    metavar="RATE",
    help="Bytes per second: 512k, 10M, or a timetable: '08:00,512k 19:00,10M 23:00,off'.",
)
@_option(
    "--max-duration", default="", metavar="TIME", help="Stop after that: 45m, 1h30m; the next sync goes on."
)
@_option("--max-transfer", default="", metavar="SIZE", help="Stop before more than that is sent: 500M, 2G.")
# What is told.
@_option("--dry-run", is_flag=True, help="Send nothing, write nothing; say what would be done.")
@_option("--error-on-nothing", is_flag=True, help="Exit with 4 if there is nothing to do.")
@_option("--json", "as_json", is_flag=True, help="One JSON object per line.")
@_option(
    "--log-file", type=click.Path(dir_okay=False), help="Append what is told, with the time, to this file."
)
@_option("-v", "--verbose", is_flag=True, help="Say something about every run.")
@_option("-q", "--quiet", is_flag=True, help="Say only what went wrong.")
@_option("-y", "--yes", is_flag=True, help="Accepted: nothing is asked anyway.")
@_option("--clean", is_flag=True, help="Remove run directories that are proven to be on the server.")
@_option(
    "--clean-old-hours", type=click.FloatRange(0), default=24.0, show_default=True, help="Only older ones."
)
@_option("--clean-force", is_flag=True, help="Remove without asking.")
@_option("--append", is_flag=True, hidden=True)
@_option("--view", is_flag=True, hidden=True)
@_option("--show", type=int, hidden=True)
@_option("--legacy", is_flag=True, hidden=True)
@click.pass_context
def sync(ctx: click.Context, /, paths: Tuple[str, ...], **flags: Any) -> None:
    """Upload recorded runs to a W&B server.

    PATHS are run directories, .wandb files, directories of them, globs, or packs (FILE.tar.zst); without
    any, ./wandb, or .wandb, or where WANDB_DIR says.  An upload that was interrupted goes on where it
    stopped; running the command twice changes nothing.  Every option is an environment variable too:
    --some-thing is WANDB_SYNC_SOME_THING.

    \b
    Examples:
        wandb sync                                      all of ./wandb
        wandb sync wandb/offline-run-20260102_030405-abc
        wandb sync --watch /scratch/me/wandb            from a login node, while jobs run
        wandb sync --json --quiet --max-duration 9m /scratch/me/wandb     from cron
        wandb sync --failed                             try again what the server has refused
        srun --ntasks 8 wandb sync /scratch/me/wandb    eight tasks share the work

    \b
    Exit codes:
        0  everything is on the server       6  the API key is missing or refused
        1  failed                            7  the server refused for good
        2  wrong usage                       8  --max-duration or --max-transfer is reached
        3  partly: see what was said         9  another syncer is at work on the run
        4  nothing to do (if asked for)      130, 143  interrupted; run it again
        5  no answer now; try again later
    """
    from wandb_sync.report import reporter_for

    with reporter_for(
        as_json=flags["as_json"],
        verbose=flags["verbose"],
        quiet=flags["quiet"],
        log_file=flags["log_file"],
    ) as reporter:
        for text in _notes(flags):
            reporter.event("note_about_flag", {"text": text})
        if flags["show"] is not None or flags["view"]:
            _list_runs(paths, flags["show"], reporter)
            ctx.exit(0)
        exit_code = 0
        if not flags["clean"] or paths or flags["sync_all"]:
            exit_code = _sync(paths, flags, reporter)
        if flags["clean"] and exit_code not in (130, EXIT_TERMINATED):
            exit_code = _clean(paths, flags, reporter) or exit_code
        ctx.exit(exit_code)


def main() -> None:
    """Run the command; errors become a line on stderr and an exit code."""
    try:
        sync(prog_name=PROGRAM if sys.argv[0].endswith("wandb") else "wandb-sync")
    except Error as error:
        click.echo(f"wandb: ERROR {error}", err=True)
        sys.exit(error.exit_code)


def _sync(paths: Sequence[str], flags: Mapping[str, Any], reporter: Any) -> int:
    import wandb_sync

    names = [field.name for field in dataclasses.fields(SyncOptions)]
    options = SyncOptions(**{name: flags[name] for name in names if name in flags})
    stop = Stop()
    with _sigterm_sets(stop):
        report = wandb_sync.sync(paths, options, emit=reporter.event, stop=stop)
    reporter.end(report)
    return report.exit_code


@contextlib.contextmanager
def _sigterm_sets(stop: Stop) -> Iterator[None]:
    """Have SIGTERM end the sync in good order, while inside."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def on_sigterm(number: int, frame: Optional[FrameType]) -> None:
        stop.because(EXIT_TERMINATED)

    before = signal.signal(signal.SIGTERM, on_sigterm)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _notes(flags: Mapping[str, Any]) -> List[str]:
    notes = []
    if flags["show"] is not None:
        notes.append("--show: lists the newest runs, and syncs none")
    if flags["append"]:
        notes.append("--append: has no effect; the lines of a run always go to their own places")
    if flags["legacy"]:
        notes.append("--legacy: has no effect; there is one syncer")
    return notes


def _list_runs(paths: Sequence[str], n_newest: Optional[int], reporter: Any) -> None:
    """Print the runs and what is known of them, as --view and --show of old did; nothing is synced."""
    from wandb_sync.discover import discover, sidecars
    from wandb_sync.receipts import read_receipts

    logs = discover(paths)
    for log in logs if n_newest is None else logs[max(0, len(logs) - n_newest) :]:
        cars = sidecars(log)
        if read_receipts(cars.receipt):
            state = "synced"
        elif cars.synced.exists():
            state = "marked as synced"
        else:
            state = "begun" if cars.are_begun() else "not synced"
        reporter.event("run_listed", {"log": log.shown, "state": state})


def _clean(paths: Sequence[str], flags: Mapping[str, Any], reporter: Any) -> int:
    """Remove what is proven; 1 if something that should go could not."""
    from wandb_sync.clean import remove, removable
    from wandb_sync.discover import discover

    directories, refused = removable(discover(paths), flags["clean_old_hours"])
    if directories and not (flags["clean_force"] or flags["yes"] or flags["dry_run"]):
        if not sys.stdin.isatty():
            raise UsageError(
                f"--clean would remove {len(directories)} run directories and cannot ask",
                hint="add --clean-force",
            )
        click.confirm(
            f"Remove {len(directories)} run directories that are on the server?", abort=True, err=True
        )
    exit_code = 0
    for directory, sides in directories.items():
        try:
            if not flags["dry_run"]:
                remove(directory, sides)
        except OSError as error:
            refused[directory] = f"{error.filename or directory}: {error.strerror}"
            exit_code = 1
            continue
        reporter.event("cleaned", {"directory": str(directory), "dry_run": flags["dry_run"]})
    for directory, reason in sorted(refused.items()):
        reporter.event("not_cleaned", {"directory": str(directory), "reason": reason})
    return exit_code
