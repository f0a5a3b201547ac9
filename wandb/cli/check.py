"""`wandb check`: what is damaged or lost in logs, and what that cost."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, List, Optional, Tuple

import click

from wandb import term
from wandb.errors import Error

if TYPE_CHECKING:
    from wandb_sync.check import Checked

EXIT_DAMAGED = 3


@click.command()
@click.argument("paths", nargs=-1, type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per log or pack.")
@click.option("-q", "--quiet", is_flag=True, help="Say only what is not well.")
@click.pass_context
def check(ctx: click.Context, paths: Tuple[str, ...], as_json: bool, quiet: bool) -> None:
    """Read logs, or packs, from begin to end and say what is damaged or lost.

    Of each damaged piece: the bytes, the numbers of the records and the steps of the rows around it.  A log
    that ends in the middle of a record is no damage: its writer is at work, or was killed there.  Nothing is
    written.

    \b
    Examples:
        wandb check ./wandb
        wandb check ./wandb/offline-run-20260102_030405-abc --json | jq .losses
        wandb check monday.tar.zst

    \b
    Exit codes:
        0  everything that was recorded is there
        1  a log or pack cannot be read, or a pack is damaged    2  wrong usage
        3  something is damaged or was lost; `wandb repair` saves the rest
    """
    from wandb_sync.check import check as check_log
    from wandb_sync.discover import discover, is_pack
    from wandb_sync.pack.unpack import check as check_pack
    from wandb_sync.pack.unpack import plain

    packs = [path for path in paths if is_pack(path)]
    others = [path for path in paths if not is_pack(path)]
    worst = 0

    def failed(path: str, error: Error) -> None:
        if as_json:
            click.echo(json.dumps({"path": path, "verdict": "unreadable", "reason": str(error)}))
        else:
            term.termerror(plain(str(error)))

    for path in packs:
        try:
            manifest = check_pack(path)
        except Error as error:
            worst = max(worst, error.exit_code, key=_weight)
            failed(path, error)
            continue
        n_bytes = sum(run.n_bytes for run in manifest.runs)
        if as_json:
            runs = [run.directory for run in manifest.runs]
            click.echo(json.dumps({"path": path, "verdict": "sound", "n_bytes": n_bytes, "runs": runs}))
        elif not quiet:
            click.echo(f"{path}: sound, {len(manifest.runs)} runs, {n_bytes} bytes")
    for log in discover(others) if others or not packs else []:
        try:
            checked = check_log(log.path)
        except Error as error:
            worst = max(worst, error.exit_code, key=_weight)
            failed(log.shown, error)
            continue
        if not checked.is_whole:
            worst = max(worst, EXIT_DAMAGED, key=_weight)
        if as_json:
            click.echo(json.dumps({**checked.to_json(), "path": log.shown}))
        elif not (quiet and checked.is_whole):
            for line in describe(log.shown, checked):
                click.echo(line)
    ctx.exit(worst)


def describe(shown: str, checked: Checked) -> List[str]:
    """Return sentences about a log: what it holds, and what it does not hold any more."""
    lines = [
        f"{shown}: {checked.verdict}, {checked.n_records} records, {checked.n_rows} rows"
        + (f", last step {checked.last_step}" if checked.last_step is not None else "")
        + ("" if checked.has_exit else ", no end recorded")
    ]
    for loss in checked.losses[:20]:
        what = "an unknown number of records"
        if loss.n_records is not None:
            what = f"{loss.n_records} records"
        between = _between("after record", loss.after_record, "before record", loss.before_record)
        steps = _between("after step", loss.after_step, "before step", loss.before_step)
        lines.append(
            f"  bytes {loss.offset} to {loss.offset + loss.n_bytes} ({loss.reason}): {what} lost"
            + "".join(f", {text}" for text in (between, steps) if text)
        )
    if checked.n_lost > 20:
        lines.append(f"  and {checked.n_lost - 20} more places; {checked.lost_bytes} bytes in all")
    if checked.tail_bytes:
        lines.append(f"  the last {checked.tail_bytes} bytes are an unfinished record")
    if checked.given_up:
        lines.append(f"  {checked.given_up} records were lost when they were recorded, or before a repair")
    return lines


def _between(before: str, first: Optional[int], after: str, second: Optional[int]) -> str:
    said = [f"{word} {number}" for word, number in ((before, first), (after, second)) if number is not None]
    return " and ".join(said)


def _weight(code: int) -> int:
    """A log that cannot be read at all is worse than a damaged one."""
    return {0: 0, EXIT_DAMAGED: 1}.get(code, 2)
