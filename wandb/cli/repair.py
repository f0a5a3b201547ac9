"""`wandb repair`: everything that can be read of a damaged log, in a sound one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Optional, Tuple

import click

from wandb import term
from wandb.cli.check import describe
from wandb.errors import Error, UsageError

EXIT_LOST = 3


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path())
@click.option("--out", type=click.Path(), help="Write the sound log there; the damaged one stays as it is.")
@click.option(
    "--force", is_flag=True, help="Take the runs as ended, though their logs were written to just now."
)
@click.option("--dry-run", is_flag=True, help="Say what would be done.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per log.")
@click.pass_context
def repair(
    ctx: click.Context, paths: Tuple[str, ...], out: Optional[str], force: bool, dry_run: bool, as_json: bool
) -> None:
    """Make damaged logs sound: all whole records in a new log, the damaged one kept beside it.

    The damaged log is kept as `run-ID.wandb.damaged`.  What was lost is printed, and written into the new
    log, so that `wandb sync` does not call the run complete.  Sound logs are left alone, also if they end in
    the middle of a record.

    \b
    Examples:
        wandb repair ./wandb/offline-run-20260102_030405-abc
        wandb repair ./wandb --dry-run
        wandb repair broken.wandb --out saved.wandb

    \b
    Exit codes:
        0  nothing had to be repaired
        1  a log could not be repaired; it is as it was    2  wrong usage
        3  repaired, with losses: see what was said        9  somebody is syncing the run
    """
    from wandb_sync.discover import discover
    from wandb_sync.repair import repair as repair_log

    logs = discover(paths)
    if out is not None and len(logs) > 1:
        raise UsageError(f"--out {out}: there are {len(logs)} logs", hint="name one of them")
    exit_code = 0
    for log in logs:
        try:
            done = repair_log(log, out=Path(out) if out else None, force=force, dry_run=dry_run)
        except Error as error:
            exit_code = error.exit_code if exit_code in (0, EXIT_LOST) else exit_code
            if as_json:
                click.echo(json.dumps({"path": log.shown, "status": "failed", "reason": str(error)}))
            else:
                term.termerror(str(error))
            continue
        if done.path is not None:
            exit_code = exit_code or EXIT_LOST
        if as_json:
            fields = {
                **done.before.to_json(),
                "path": log.shown,
                "status": "sound" if done.path is None else "would be repaired" if dry_run else "repaired",
                "repaired": str(done.path) if done.path else None,
                "backup": str(done.backup) if done.backup else None,
            }
            click.echo(json.dumps(fields))
            continue
        for line in describe(log.shown, done.before):
            click.echo(line)
        if done.path is not None:
            kept = f"; the damaged log is {done.backup}" if done.backup else ""
            click.echo(f"  {'would be repaired' if dry_run else 'repaired'}: {done.path}{kept}")
    ctx.exit(exit_code)
