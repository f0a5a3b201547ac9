"""`wandb unpack`: packs back into run directories."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Tuple

import click

from wandb import term
from wandb.cli.progress import Progress

EXIT_PARTIAL = 3


@click.command()
@click.argument("packs", nargs=-1, required=True, metavar="FILE.tar.zst...")
@click.option(
    "-C",
    "--directory",
    default="wandb",
    show_default=True,
    type=click.Path(file_okay=False),
    help="Where the run directories go.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per run and pack.")
@click.option("-q", "--quiet", is_flag=True, help="Say only what went wrong.")
@click.pass_context
def unpack(ctx: click.Context, packs: Tuple[str, ...], directory: str, as_json: bool, quiet: bool) -> None:
    """Unpack what `wandb pack` has made, and add increments to what is there.

    Several packs are taken in the order in which they were made; doing it again changes nothing.  Of a pack
    in parts, name the first one (FILE.tar.zst.001) or the whole (FILE.tar.zst); `-` is stdin.  A pack is
    read and checked wholly before anything of it is written.  A run whose earlier pack is missing stays as
    it is; the others are unpacked.

    \b
    Examples:
        wandb unpack monday.tar.zst tuesday.tar.zst
        wandb unpack -C /data/runs big.tar.zst.001 && wandb sync /data/runs
        ssh cluster wandb pack -o - | wandb unpack -

    \b
    Exit codes:
        0  all of it is there       2  wrong usage
        1  a pack is damaged or refused, or the disk is full; nothing of that pack was written
        3  some runs could not be unpacked: see what was said
        9  another unpack is at work there
    """
    from wandb_sync.pack.manifest import Verdict
    from wandb_sync.pack.unpack import failure, plain
    from wandb_sync.pack.unpack import unpack as read_packs

    with Progress("unpacking", quiet=quiet or as_json) as progress:
        outcomes = read_packs(packs, Path(directory), emit=progress.event)
    exit_code = 0 if all(outcome.is_well for outcome in outcomes) else EXIT_PARTIAL
    for outcome in outcomes:
        run = outcome.run
        if as_json:
            fields = {
                "pack": outcome.pack,
                "directory": run.directory,
                "status": outcome.verdict.value,
                "reason": "" if outcome.is_well else str(failure(outcome)),
                "is_open": run.is_open,
                "changed": outcome.changed,
                "left_out": dict(run.left_out),
                "older": outcome.older,
            }
            click.echo(json.dumps(fields))
            continue
        if not outcome.is_well:
            term.termerror(plain(str(failure(outcome))))
        for path in outcome.changed:
            term.termwarn(plain(f"{run.directory}/{path} was being written to; the next pack brings it"))
        for path, reason in run.left_out.items():
            term.termwarn(plain(f"{run.directory}/{path} is not in {outcome.pack}: it {reason}"))
    if not as_json and not quiet:
        counts = {verdict: sum(outcome.verdict is verdict for outcome in outcomes) for verdict in Verdict}
        said = ", ".join(f"{n} {verdict.value}" for verdict, n in counts.items() if n)
        click.echo(
            f"wandb: {len({outcome.run.directory for outcome in outcomes})} runs in {directory}: {said}"
        )
    ctx.exit(exit_code)
