"""`wandb clean`: removes run directories that are proven to be on a server."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import click

from wandb import term
from wandb.cli.options import state_dir
from wandb.errors import UsageError
from wandb_sync.report import size_text
from wandb_sync.units import seconds_of


@click.command()
@click.argument("paths", nargs=-1, type=click.Path())
@click.option(
    "--older-than",
    default="24h",
    show_default=True,
    metavar="TIME",
    help="Only runs that were not written to for so long: 36h, 7d.",
)
@click.option("--min-hours", type=click.FloatRange(0), help="The same, in hours.")
@click.option("--keep-last", type=click.IntRange(0), default=0, help="Keep so many of the newest runs.")
@click.option(
    "--verified-only", is_flag=True, help="Ask the server too, as `wandb verify`, before a run goes."
)
@click.option(
    "--include-unsynced", is_flag=True, help="Remove runs without a receipt as well: they are lost for good."
)
@click.option("--dry-run", is_flag=True, help="Remove nothing; say what would go.")
@click.option("-y", "--yes", "--force", "yes", is_flag=True, help="Do not ask.")
@click.option("--base-url", default="", help="The server of --verified-only, as of `wandb sync`.")
@click.option("--state-dir", "state", type=click.Path(file_okay=False), help="As of `wandb sync`.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per run directory.")
@click.option("-q", "--quiet", is_flag=True, help="Say only what went wrong.")
@click.pass_context
def clean(ctx: click.Context, /, paths: Tuple[str, ...], **flags: Any) -> None:
    """Remove run directories that are proven to be on a server.

    The proof is a receipt for the very bytes of every log in the directory.  A run that goes on, or that
    somebody is syncing or packing, never goes; of a run that was requeued, the earlier segments that have
    arrived do.  Without a terminal nothing is asked: --yes has to be given.

    \b
    Examples:
        wandb clean ./wandb --dry-run
        wandb clean --yes --older-than 7d --keep-last 20 /scratch/me/wandb
        wandb clean --yes --verified-only --json ./wandb

    \b
    Exit codes:
        0  done, or there was nothing to do    2  wrong usage, or not confirmed
        1  something could not be removed      5  --verified-only: the server cannot be reached
    """
    from wandb_sync.clean import CleanOptions, judge, remove_left
    from wandb_sync.discover import default_directory, discover

    hours = flags["min_hours"]
    if hours is None:
        hours = seconds_of(flags["older_than"], "--older-than") / 3600
    state = state_dir(flags["state"])
    options = CleanOptions(hours, flags["keep_last"], flags["include_unsynced"], state)
    logs = discover(paths)
    judged = judge(logs, options)
    exit_code = 0
    if flags["verified_only"]:
        judged, exit_code = _verified(judged, flags["base_url"], state)
    going = [one for one in judged if not one.reason]
    n_bytes = sum(one.n_bytes for one in going)
    if going and not flags["dry_run"] and not flags["yes"]:
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise UsageError(
                f"{len(going)} run directories would go, and nobody can be asked", hint="add --yes"
            )
        unproven = sum(not one.is_proven for one in going)
        lost = f", {unproven} of which no server has" if unproven else ""
        click.confirm(
            f"Remove {len(going)} run directories{lost}, {size_text(n_bytes)}?", abort=True, err=True
        )
    if not flags["dry_run"]:
        remove_left(
            {log.directory.parent for log in logs} | (set() if paths else {default_directory(Path())})
        )
    for one in judged:
        error = "" if one.reason or flags["dry_run"] else _remove(one)
        exit_code = 1 if error else exit_code
        status = (
            "failed" if error else "stays" if one.reason else "would go" if flags["dry_run"] else "removed"
        )
        _tell(one, status, error or one.reason, flags)
    if not flags["as_json"] and not flags["quiet"]:
        word = "Would remove" if flags["dry_run"] else "Removed"
        click.echo(f"wandb: {word} {len(going)} of {len(judged)} run directories, {size_text(n_bytes)}.")
    ctx.exit(exit_code)


def _remove(one: Any) -> str:
    """Remove a run directory, and those that go with it; returns why it could not be."""
    from wandb.errors import Error
    from wandb_sync.clean import remove

    try:
        remove(one.directory, one.sides)
    except Error as error:
        return str(error)
    except OSError as error:
        return f"{error.filename or one.directory}: {error.strerror}"
    return ""


def _tell(one: Any, status: str, reason: str, flags: Dict[str, Any]) -> None:
    if flags["as_json"]:
        fields = {
            "directory": str(one.directory),
            "status": status,
            "reason": reason,
            "is_proven": one.is_proven,
            "n_bytes": one.n_bytes,
        }
        click.echo(json.dumps(fields))
    elif status == "failed":
        term.termerror(f"{one.directory} could not be removed: {reason}")
    elif flags["quiet"]:
        return
    elif status == "stays":
        term.termlog(f"{one.directory} stays: {reason}")
    else:
        click.echo(f"wandb: {'Would remove' if status == 'would go' else 'Removed'} {one.directory}")


def _verified(judged: List[Any], base_url: str, state: Optional[Any]) -> Tuple[List[Any], int]:
    """Let stay what the server does not confirm."""
    from wandb_sync.engine import default_base_url, find_key
    from wandb_sync.transport.http import HttpTransport, checked_base_url
    from wandb_sync.transport.retry import Retry
    from wandb_sync.verify import verify

    url = checked_base_url(base_url or default_base_url(os.environ))
    transport = Retry(HttpTransport(url, find_key(url)), deadline_s=60.0)
    exit_code = 0
    found = []
    try:
        logs = [log for one in judged for log in one.logs]
        by_log = {one.log: one for one in verify(logs, transport, url, state_dir=state)}
    finally:
        transport.close()
    for one in judged:
        results = [by_log[log] for log in one.logs]
        reason = one.reason
        for result in results if not reason else ():
            if result.findings:
                reason = f"the server differs: {result.findings[0]}"
            elif not result.was_asked:
                reason = "; ".join(result.notes) or "the server was not asked"
                exit_code = result.exit_code or 5
        found.append(one._replace(reason=reason))
    return found, exit_code
