"""The command `wandb sync`, which is also `wandb-sync` and `python -m wandb_sync`.

Every flag that `wandb sync` ever had is taken.  Those that lost their meaning say so in one line and change
nothing else; scripts written for any version go on running.
"""

from __future__ import annotations

import fnmatch
import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

import click

from wandb.errors import AuthenticationError, Error, TransientError, UsageError
from wandb_sync.follow import ASSUME_DEAD_AFTER_S

DEFAULT_BASE_URL = "https://api.wandb.ai"
EXIT_TERMINATED = 143
PROGRAM = "wandb sync"


def _option(*names: str, **attributes: Any) -> Callable[[Any], Any]:
    return click.option(*names, **attributes)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("paths", nargs=-1, type=click.Path())
@_option("--id", "run_id", default="", help="Upload under this run id.")
@_option("-p", "--project", default="", help="Upload to this project.")
@_option("-e", "--entity", default="", help="Upload to this user or team.")
@_option("--name", default="", help="Give the run this display name.")
@_option("--group", default="", help="Put the run into this group.")
@_option("--job-type", "--job_type", "job_type", default="", help="Give the run this job type.")
@_option("--tags", default="", help="Give the run these tags, separated by commas.")
@_option("--replace-tags", default="", metavar="OLD=NEW,...", help="Replace tags of the run.")
@_option("--base-url", default="", help="The server. Default: WANDB_BASE_URL, then the settings files.")
@_option(
    "--include-online/--skip-online", " /--no-include-online", default=False, help="Runs recorded online too."
)
@_option(
    "--include-offline/--no-include-offline", default=True, help="Runs recorded offline.", show_default=True
)
@_option(
    "--include-synced/--skip-synced", " /--no-include-synced", default=False, help="Upload synced runs again."
)
@_option("--include-globs", default="", metavar="GLOB,...", help="Only runs whose directory or file matches.")
@_option(
    "--exclude-globs",
    "--ignore",
    default="",
    metavar="GLOB,...",
    help="No runs whose directory or file matches.",
)
@_option("--mark-synced/--no-mark-synced", default=True, help="Write the .synced marker.", show_default=True)
@_option("--skip-console", is_flag=True, help="Leave console output out.")
@_option("--sync-all", is_flag=True, help="All runs of ./wandb, as without PATHS.")
@_option("-n", "--parallel", type=click.IntRange(1), default=5, show_default=True, help="Runs at a time.")
@_option("--live", is_flag=True, help="Follow runs that go on until they end.")
@_option("--watch", is_flag=True, help="Follow, and look for new runs until stopped.")
@_option(
    "--step-policy",
    type=click.Choice(["drop", "keep", "rewind"]),
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
@_option(
    "--retry-for",
    type=click.FloatRange(0),
    default=600.0,
    show_default=True,
    metavar="SECONDS",
    help="Per request.",
)
@_option("--requests-per-second", type=click.FloatRange(0, min_open=True), help="Never send more than that.")
@_option(
    "--state-dir", type=click.Path(file_okay=False), help="For checkpoints of logs in unwritable places."
)
@_option("--dry-run", is_flag=True, help="Send nothing, write nothing; say what would be done.")
@_option("--json", "as_json", is_flag=True, help="One JSON object per line.")
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
@_option("--sync-tensorboard/--no-sync-tensorboard", default=False, hidden=True)
@click.pass_context
def sync(ctx: click.Context, /, paths: Tuple[str, ...], **flags: Any) -> None:
    """Upload recorded runs to a W&B server.

    PATHS are run directories, .wandb files, directories of them, globs, or packs (FILE.tar.zst); without
    any, ./wandb, or .wandb, or where WANDB_DIR says.  An upload that was interrupted goes on where it
    stopped; running the command twice changes nothing.

    \b
    Examples:
        wandb sync                                      all of ./wandb
        wandb sync wandb/offline-run-20260102_030405-abc
        wandb sync --watch /scratch/me/wandb            from a login node, while jobs run
        wandb sync --json --quiet /scratch/me/wandb     from cron

    \b
    Exit codes:
        0  everything is on the server       6  the API key is missing or refused
        1  failed                            7  the server refused for good
        2  wrong usage                       9  another syncer is at work on the run
        3  partly: see what was said         130, 143  interrupted; run it again
        5  no answer now; try again later
    """
    from wandb_sync.report import HumanReporter, JsonReporter, Reporter

    reporter: Reporter
    reporter = (
        JsonReporter() if flags["as_json"] else HumanReporter(verbose=flags["verbose"], quiet=flags["quiet"])
    )
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
    from wandb_sync.run_sync import RunOptions
    from wandb_sync.service import Selection, Service
    from wandb_sync.session import Target, Wishes

    stop = threading.Event()
    base_url = chosen_base_url(flags["base_url"])
    options = RunOptions(
        target=Target(flags["entity"], flags["project"], flags["run_id"]),
        wishes=Wishes(
            name=flags["name"],
            group=flags["group"],
            job_type=flags["job_type"],
            tags=tuple(_list(flags["tags"])),
            replace_tags=_pairs(flags["replace_tags"]),
            console=not flags["skip_console"],
            step_policy=flags["step_policy"],
        ),
        finish=flags["finish"],
        assume_dead_after_s=flags["assume_dead_after"],
        include_synced=flags["include_synced"],
        mark=flags["mark_synced"],
        state_dir=_state_dir(flags["state_dir"], make=not flags["dry_run"]),
        dry_run=flags["dry_run"],
    )
    transport = _transport(base_url, flags, reporter.event, stop)

    def sync_runs(runs: Sequence[str], options: RunOptions, emit: Any) -> Any:
        service = Service(
            transport,
            base_url,
            options,
            selection=Selection(
                include_online=flags["include_online"],
                include_offline=flags["include_offline"],
                wanted=_wanted(_list(flags["include_globs"]), _list(flags["exclude_globs"])),
            ),
            parallel=flags["parallel"],
            live=flags["live"],
            watch=flags["watch"],
            emit=emit,
            stop=stop,
        )
        return service.run(runs)

    terminated: List[int] = []

    def on_sigterm(number: int, frame: Optional[FrameType]) -> None:
        terminated.append(number)
        stop.set()

    before = None
    if threading.current_thread() is threading.main_thread():
        before = signal.signal(signal.SIGTERM, on_sigterm)
    try:
        report = _sync_all(paths, options, sync_runs, reporter.event)
    finally:
        transport.close()
        if before is not None:
            signal.signal(signal.SIGTERM, before)
    if flags["dry_run"]:
        _tell_plan(report, transport, reporter)
    if terminated:
        report = report._replace(interrupt_code=EXIT_TERMINATED)
    reporter.end(report)
    return int(report.exit_code)


def _sync_all(paths: Sequence[str], options: Any, sync_runs: Any, emit: Any) -> Any:
    """Sync runs, then packs of runs."""
    from wandb_sync.discover import is_pack

    packs = [path for path in paths if is_pack(path)]
    if not packs:
        return sync_runs(paths, options, emit)
    from wandb_sync.pack.upload import sync_packs

    others = [path for path in paths if path not in packs]
    first = sync_runs(others, options, emit) if others else None
    if first is not None and first.was_interrupted:
        return first
    report = sync_packs(packs, options, sync_runs, emit)
    return report if first is None else report._replace(outcomes=first.outcomes + report.outcomes)


def _tell_plan(report: Any, dry: Any, reporter: Any) -> None:
    counts = [outcome.counts for outcome in report.outcomes if outcome.status.value == "planned"]
    plan = {"runs": len(counts), "rows": sum(count["rows"] for count in counts)}
    reporter.event("would_send", {**plan, "requests": dry.n_requests, "n_bytes": dry.n_bytes})


def _transport(base_url: str, flags: Mapping[str, Any], emit: Any, stop: threading.Event) -> Any:
    """Stack the transports: try again, hold back, send."""
    if flags["dry_run"]:
        from wandb_sync.transport.dry_run import DryRun

        return DryRun()
    from wandb_sync.transport.base import Request
    from wandb_sync.transport.http import HttpTransport
    from wandb_sync.transport.retry import Retry
    from wandb_sync.transport.throttle import Throttle

    def tell(request: Request, error: TransientError, wait_s: float) -> None:
        emit("waiting", {"operation": request.operation, "error": error.message, "wait_s": round(wait_s, 1)})

    key = find_key(base_url)
    verify = False if os.environ.get("WANDB_INSECURE_DISABLE_SSL", "").lower() in ("1", "true") else None
    http = HttpTransport(base_url, key, verify=verify, stop=stop)
    throttle = Throttle(http, requests_per_s=flags["requests_per_second"], sleep=stop.wait, tell=tell)
    return Retry(throttle, deadline_s=flags["retry_for"], tell=tell, stop=stop)


def chosen_base_url(given: str) -> str:
    """Return the server: `given`, or the default.

    Raises:
        UsageError: It is no server's address, or holds a password.
    """
    from wandb_sync.transport.http import checked_base_url

    return checked_base_url(given or default_base_url(os.environ))


def default_base_url(environ: Mapping[str, str]) -> str:
    """Return the server: WANDB_BASE_URL, then the settings of the directory, of the user, then W&B's own."""
    from wandb import settings_file

    if environ.get("WANDB_BASE_URL"):
        return environ["WANDB_BASE_URL"]
    for path in (settings_file.workspace_path(os.curdir), settings_file.global_path(environ)):
        found = settings_file.read(path).get("base_url")
        if found:
            return found
    return DEFAULT_BASE_URL


def find_key(base_url: str) -> str:
    """Return the API key for a server.

    Raises:
        AuthenticationError: Nobody has given one.
    """
    from wandb import credentials

    found = credentials.find_key(base_url, os.environ)
    if found is None:
        raise AuthenticationError(
            f"there is no API key for {base_url}", hint="run `wandb login`, or set WANDB_API_KEY"
        )
    return found[0]


def _state_dir(path: Optional[str], *, make: bool) -> Optional[Path]:
    if path is None:
        return None
    try:
        if make:
            os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--state-dir {path}: {error.strerror}") from error
    return Path(path)


def _wanted(include: Sequence[str], exclude: Sequence[str]) -> Callable[[Any], bool]:
    def matches(log: Any, globs: Sequence[str]) -> bool:
        names = (log.directory.name, log.path.name, log.shown)
        return any(fnmatch.fnmatch(name, pattern) for name in names for pattern in globs)

    return lambda log: (not include or matches(log, include)) and not matches(log, exclude)


def _list(text: str) -> List[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _pairs(text: str) -> Dict[str, str]:
    pairs = {}
    for part in _list(text):
        old, mark, new = part.partition("=")
        if not mark or not old or not new:
            raise UsageError(f"--replace-tags: {part!r} is not OLD=NEW")
        pairs[old] = new
    return pairs


def _notes(flags: Mapping[str, Any]) -> List[str]:
    notes = []
    if flags["show"] is not None:
        notes.append("--show: lists the newest runs, and syncs none")
    if flags["append"]:
        notes.append("--append: has no effect; the lines of a run always go to their own places")
    if flags["legacy"]:
        notes.append("--legacy: has no effect; there is one syncer")
    if flags["sync_tensorboard"]:
        notes.append(
            "--sync-tensorboard: TensorBoard files are not read yet; the runs' own records are synced"
        )
    return notes


def _list_runs(paths: Sequence[str], n_newest: Optional[int], reporter: Any) -> None:
    """Print the runs and what is known of them, as --view and --show of old did; nothing is synced."""
    from wandb_sync.discover import discover, sidecars
    from wandb_sync.run_sync import read_receipts

    logs = discover(paths)
    for log in logs if n_newest is None else logs[max(0, len(logs) - n_newest) :]:
        cars = sidecars(log)
        if read_receipts(cars.receipt):
            state = "synced"
        elif cars.synced.exists():
            state = "marked as synced"
        else:
            state = "begun" if cars.checkpoint.exists() else "not synced"
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
    for directory in directories:
        try:
            if not flags["dry_run"]:
                remove(directory)
        except OSError as error:
            refused[directory] = f"{error.filename or directory}: {error.strerror}"
            exit_code = 1
            continue
        reporter.event("cleaned", {"directory": str(directory), "dry_run": flags["dry_run"]})
    for directory, reason in sorted(refused.items()):
        reporter.event("not_cleaned", {"directory": str(directory), "reason": reason})
    return exit_code
