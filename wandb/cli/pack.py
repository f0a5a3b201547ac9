"""`wandb pack`: runs into one file, to be carried where there is a network."""

from __future__ import annotations

import json
import sys
from typing import Optional, Tuple

import click

from wandb import term
from wandb.cli.options import state_dir
from wandb.cli.progress import Progress
from wandb.errors import UsageError
from wandb_sync.report import size_text
from wandb_sync.units import n_bytes_of

EXIT_PARTIAL = 3


@click.command()
@click.argument("paths", nargs=-1, type=click.Path())
@click.option("-o", "--output", "out", required=True, metavar="FILE.tar.zst", help="The pack; - is stdout.")
@click.option("--incremental", is_flag=True, help="Only what the last pack of these runs did not carry.")
@click.option("--split-size", metavar="SIZE", help="Parts of at most so much: FILE.tar.zst.001, .002 ...")
@click.option("--level", type=click.IntRange(1, 19), default=3, show_default=True, help="Of compression.")
@click.option(
    "--state-dir",
    "state",
    type=click.Path(file_okay=False),
    help="For the memory of what was packed, where run directories cannot be written to.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("-q", "--quiet", is_flag=True, help="Say only what went wrong.")
@click.pass_context
def pack(
    ctx: click.Context,
    paths: Tuple[str, ...],
    out: str,
    incremental: bool,
    split_size: Optional[str],
    level: int,
    state: Optional[str],
    as_json: bool,
    quiet: bool,
) -> None:
    """Pack runs into one compressed, checksummed file that can be carried anywhere.

    PATHS are as of `wandb sync`; without any, all of ./wandb.  A run that goes on is packed as it is now;
    the next pack, made with --incremental, carries what has come since; `wandb sync` and `wandb unpack` need
    those before it too, and `wandb sync` finds them if they lie beside it.  A whole pack is a plain tar file:
    `tar --zstd -xf` reads it too.  On the other side: `wandb unpack`, or `wandb sync FILE.tar.zst`.

    \b
    Examples:
        wandb pack -o monday.tar.zst                                  all of ./wandb
        wandb pack ./wandb --incremental -o tuesday.tar.zst
        wandb pack ./wandb -o big.tar.zst --split-size 4G
        wandb pack ./wandb -o - | ssh host wandb unpack -

    \b
    Exit codes:
        0  packed, or nothing was new      2  wrong usage
        1  failed; there is no pack        3  packed, but runs or files had to be left out
    """
    from wandb_sync.pack.write import PackOptions
    from wandb_sync.pack.write import pack as write_pack

    if out == "-" and sys.stdout.isatty():
        raise UsageError("a pack is no text for a terminal", hint="-o FILE.tar.zst, or a pipe")
    split_bytes = n_bytes_of(split_size, "--split-size") if split_size else None
    options = PackOptions(incremental, split_bytes, level, state_dir=state_dir(state))
    with Progress("packing", quiet=quiet or as_json) as progress:
        done = write_pack(paths, out, options, progress.event)
    n_left_out = sum(map(len, done.left_out.values()))
    exit_code = EXIT_PARTIAL if n_left_out or done.failed else 0
    if as_json:
        runs = [
            {
                "directory": run.directory,
                "is_open": run.is_open,
                "n_bytes": run.n_bytes,
                "logs": [{"log": log.path, "begin": log.begin, "end": log.end} for log in run.logs],
                "files": sum(file.is_carried for file in run.files),
                "left_out": done.left_out[run.directory],
            }
            for run in done.runs
        ]
        answer = {"parts": done.parts, "n_bytes": done.n_bytes, "runs": runs, "failed": done.failed}
        click.echo(json.dumps({**answer, "exit_code": exit_code}), err=out == "-")
        ctx.exit(exit_code)
    for directory, reason in done.failed.items():
        term.termwarn(f"{directory} is not in the pack: {reason}")
    for directory, paths_left in done.left_out.items():
        for path, reason in paths_left.items():
            term.termwarn(f"{directory}/{path} is not in the pack: it {reason}")
    if not quiet:
        text = "Nothing is new since the last pack; no file was written."
        if done.runs:
            n_open = sum(run.is_open for run in done.runs)
            going = f", {n_open} of them going on" if n_open else ""
            parts = f"{done.parts[0]}" + (f" and {len(done.parts) - 1} more" if done.parts[1:] else "")
            text = f"Packed {len(done.runs)} runs{going}: {parts}, {size_text(done.n_bytes)}"
        click.echo(f"wandb: {text}", err=out == "-")
    ctx.exit(exit_code)
