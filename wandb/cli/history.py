"""`wandb history`: rows of a recorded run, as a table, JSON lines or CSV."""

from __future__ import annotations

import csv
import itertools
import sys
from typing import Any, Callable, Dict, Iterable, List, Optional

import click

import wandb_sync
from wandb import term
from wandb.cli.answers import json_text, short, split_keys, tell, terminal_columns
from wandb_sync.exports.values import cell_text
from wandb_sync.plain_text import plain
from wandb_sync.reading import STEP_POLICIES
from wandb_sync.typed_records import Row

_CELL_CHARS = 24
_CLUTTER = ("_runtime", "_timestamp")  # in a table only if they are asked for


@click.command()
@click.argument("run", metavar="RUN")
@click.option("--last", "-n", type=click.IntRange(1), help="Only so many rows, from the end.")
@click.option("--keys", metavar="KEY,...", help="Only these values (* matches), of rows that have any.")
@click.option("--step-from", type=int, help="Only rows of this step or a later one.")
@click.option("--step-to", type=int, help="Only rows of this step or an earlier one.")
@click.option(
    "--format", "form", type=click.Choice(["table", "jsonl", "csv"]), default="table", show_default=True
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format jsonl.")
@click.option(
    "--step-policy",
    type=click.Choice(STEP_POLICIES),
    default="drop",
    show_default=True,
    help="Rows whose step goes back: leave them out, show them too, or leave out what they take back.",
)
def history(
    run: str,
    last: Optional[int],
    keys: Optional[str],
    step_from: Optional[int],
    step_to: Optional[int],
    form: str,
    as_json: bool,
    step_policy: str,
) -> None:
    """Print rows of a recorded run.

    RUN is a run directory, a .wandb file, the id of a run in ./wandb, or the first characters of one.
    The last rows, and those from a step on, come at once, however large the log is.  Values in dicts have
    dotted names (train.loss); in JSON lines without --keys they are as they were logged.  What is no
    number in JSON (NaN, Infinity) is a text there.

    Exits with 0, with 1 if the log cannot be read, 2 if there is no such run, 3 if a part of it is damaged.

    \b
    Examples:
        wandb history ./wandb/latest-run --last 10 --keys loss,acc
        wandb history 3f9a --step-from 1000 --step-to 2000 --format csv > rows.csv
        wandb history 3f9a --json | jq .loss
    """
    recorded = wandb_sync.read(run, step_policy=step_policy)
    wanted = split_keys(keys)

    def rows() -> Iterable[Row]:
        return recorded.history(wanted, last=last, step_from=step_from, step_to=step_to)

    if last is not None:  # few, and the last ones are others when the run goes on
        kept = list(rows())
        rows = lambda: kept  # noqa: E731
    if as_json or form == "jsonl":
        for row in rows():
            values = row.values if wanted is None else {"_step": row.step, **row.values}
            click.echo(json_text(values))
    elif form == "csv":
        _print_csv(rows)
    else:
        _print_table(rows, wanted is not None)
    raise SystemExit(tell(recorded))


def _print_csv(rows: Callable[[], Iterable[Row]]) -> None:
    names: Dict[str, None] = {"_step": None}
    n_rows = 0
    for n_rows, row in enumerate(rows(), 1):
        names.update(dict.fromkeys(row.flat()))
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(names)
    for row in itertools.islice(rows(), n_rows):  # not what has come since, which may have other names
        flat = {**row.flat(), "_step": row.step}
        writer.writerow([cell_text(flat.get(name)) for name in names])


def _print_table(rows: Callable[[], Iterable[Row]], is_chosen: bool) -> None:
    # The first time for the names and the widths, the second time for the rows: a log may be long.
    widths: Dict[str, int] = {"_step": len("step")}
    n_rows = 0
    for n_rows, row in enumerate(rows(), 1):
        for name, value in [*row.flat().items(), ("_step", row.step)]:
            if is_chosen or name not in _CLUTTER:
                widths[name] = max(widths.get(name, len(plain(name))), len(_cell(value)))
    if not n_rows:
        term.termlog("there is no such row")
        return
    names: List[str] = []
    room = terminal_columns() if sys.stdout.isatty() else 1 << 30
    for name, width in widths.items():
        room -= width + 2
        if names and room < -2:
            break
        names.append(name)
    heads = ["step" if name == "_step" else plain(name) for name in names]
    click.echo("  ".join(head.rjust(widths[name]) for head, name in zip(heads, names)))
    for row in itertools.islice(rows(), n_rows):
        flat = {**row.flat(), "_step": row.step}
        cells = [_cell(flat[name]) if name in flat else "" for name in names]
        click.echo("  ".join(cell.rjust(widths[name]) for cell, name in zip(cells, names)).rstrip())
    more = list(widths)[len(names) :]
    if more:
        term.termlog(f"{len(more)} more keys, such as {plain(', '.join(more[:3]))}; --keys chooses")


def _cell(value: Any) -> str:
    return short(value, _CELL_CHARS)
