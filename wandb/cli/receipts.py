"""`wandb receipts`: the proofs of upload, carried back to where the runs were recorded."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Optional, Tuple

import click

from wandb import term
from wandb.cli.options import state_dir

EXIT_PARTIAL = 3


@click.group()
def receipts() -> None:
    """Carry the proofs of upload back across an air gap.

    \b
    Example:
        wandb receipts export monday.tar.zst -o receipts.json    where the runs were synced
        wandb receipts import receipts.json ./wandb              where they were recorded
        wandb clean ./wandb
    """


@receipts.command("export")
@click.argument("paths", nargs=-1, type=click.Path())
@click.option("-o", "--output", "out", default="-", help="The file; - (the default) is stdout.")
@click.option(
    "--state-dir", "state", type=click.Path(exists=True, file_okay=False), help="As of `wandb sync`."
)
def export(paths: Tuple[str, ...], out: str, state: Optional[str]) -> None:
    """Write the receipts of runs to one file.

    PATHS are runs, directories of runs, packs that were synced, or directories of the syncer's state;
    without any, ./wandb.

    \b
    Example:
        wandb receipts export ./wandb -o receipts.json

    \b
    Exit codes:
        0  written, also if there are none    1  cannot be written    2  wrong usage
    """
    from wandb_sync.checkpoint import replace_file
    from wandb_sync.carried_receipts import collect, text_of

    found = collect(paths, Path(state) if state else None)
    if out == "-":
        sys.stdout.write(text_of(found).decode())
    else:
        replace_file(Path(os.path.abspath(out)), text_of(found))
    term.termlog(f"{len(found)} runs have receipts")


@receipts.command("import")
@click.argument("file", metavar="FILE")
@click.argument("paths", nargs=-1, type=click.Path())
@click.option("--state-dir", "state", type=click.Path(file_okay=False), help="As of `wandb sync`.")
@click.option(
    "--mark-synced/--no-mark-synced", default=True, show_default=True, help="Write the .synced marker."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per log.")
@click.pass_context
def import_(
    ctx: click.Context,
    file: str,
    paths: Tuple[str, ...],
    state: Optional[str],
    mark_synced: bool,
    as_json: bool,
) -> None:
    """Put receipts beside the logs that they were given for.

    A receipt is taken only if the log is, byte for byte, the one that arrived, and no file has changed
    since.  FILE may be - for stdin; PATHS are as of `wandb sync`.

    \b
    Example:
        wandb receipts import receipts.json ./wandb && wandb clean ./wandb

    \b
    Exit codes:
        0  taken, or here already; runs that are not here do not count
        1  the file is damaged    2  wrong usage
        3  receipts were refused: the runs have changed since
    """
    from wandb_sync.carried_receipts import Verdict, parse, read, take

    carried = parse(sys.stdin.buffer.read(), "stdin") if file == "-" else read(file)
    outcomes = take(carried, paths, state_dir=state_dir(state), mark=mark_synced) if carried else []
    refused = [outcome for outcome in outcomes if outcome.verdict is Verdict.REFUSED]
    for outcome in outcomes:
        if as_json:
            fields = {"log": outcome.log, "status": outcome.verdict.value, "reason": outcome.reason}
            click.echo(json.dumps(fields))
        elif outcome.verdict is Verdict.REFUSED:
            term.termwarn(f"{outcome.log}: its receipt is not taken: {outcome.reason}")
    if not as_json:
        counts = {verdict: sum(outcome.verdict is verdict for outcome in outcomes) for verdict in Verdict}
        said = ", ".join(f"{n} {verdict.value}" for verdict, n in counts.items() if n)
        click.echo(f"wandb: Receipts of {len(outcomes)} runs: {said or 'none'}")
    ctx.exit(EXIT_PARTIAL if refused else 0)
