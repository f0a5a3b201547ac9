"""`wandb export`: recorded runs in the formats of other tools."""

from __future__ import annotations

import os
import sys
from typing import Optional, Tuple

import click

import wandb_sync
from wandb import term
from wandb.cli.answers import damage_of, json_text, split_keys, tell_all, unique_names
from wandb.errors import UsageError
from wandb_sync.exports import FORMATS, WHAT, Exported, export_runs
from wandb_sync.reading import STEP_POLICIES


@click.command()
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@click.option("--to", "form", type=click.Choice(list(FORMATS)), required=True, help="The format.")
@click.option(
    "-o",
    "--output",
    metavar="PATH",
    help="The file, which is replaced; for tensorboard a directory. Without it jsonl and csv go to stdout.",
)
@click.option(
    "--what",
    type=click.Choice(WHAT),
    default="rows",
    show_default=True,
    help="For jsonl, csv, parquet: rows, samples of the machine, or lines of output.",
)
@click.option("--keys", metavar="KEY,...", help="Only these values (* matches), of rows that have any.")
@click.option("--step-from", type=int, help="Only rows of this step or a later one.")
@click.option("--step-to", type=int, help="Only rows of this step or an earlier one.")
@click.option("--step-policy", type=click.Choice(STEP_POLICIES), default="drop", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Say as a JSON object on stdout what was written.")
def export(
    runs: Tuple[str, ...],
    form: str,
    output: Optional[str],
    what: str,
    keys: Optional[str],
    step_from: Optional[int],
    step_to: Optional[int],
    step_policy: str,
    as_json: bool,
) -> None:
    """Write recorded runs, finished or running, as jsonl, csv, parquet, tensorboard or html.

    RUN is a run directory, a .wandb file, the id of a run in ./wandb, or the first characters of one.
    Several runs go into one file with a column `run`; for tensorboard each gets a directory below PATH.
    Values in dicts have dotted names, lists and media are JSON texts.  html is one page without anything
    to load: curves, config, summary, output.  parquet needs the extra `parquet`, tensorboard the extra
    `tensorboard`.

    A file is at PATH when it is whole.  Exits with 0, with 1 if a log cannot be read or PATH not be written,
    2 if there is no such run, or an extra is missing, 3 if a part of a log is damaged: the rest is written.

    \b
    Examples:
        wandb export ./wandb/latest-run --to csv -o rows.csv
        wandb export --to html -o report.html 3f9a 77c0
        wandb export --to jsonl --keys loss 3f9a | gzip > loss.jsonl.gz
    """
    if output is None and form not in ("jsonl", "csv"):
        raise UsageError(f"--to {form} needs a place", hint="give -o PATH")
    if as_json and output is None:
        raise UsageError("--json would mix with the rows on stdout", hint="give -o PATH")
    if output is not None and form != "tensorboard" and os.path.isdir(output):
        raise UsageError(f"{output}: is a directory", hint="give -o the path of a file")
    recorded = [wandb_sync.read(run, step_policy=step_policy) for run in runs]
    names = unique_names(recorded)
    written: Exported = export_runs(
        form,
        list(zip(names, recorded)),
        output,
        what=what,
        keys=split_keys(keys),
        step_from=step_from,
        step_to=step_to,
    )
    if as_json:
        said = {"path": output, "format": form, "runs": names, "n_rows": written.n_rows}
        click.echo(json_text({**said, "damage": [damage_of(run) for run in recorded]}))
    elif output is not None and sys.stderr.isatty():
        term.termlog(f"{output}: {written.n_rows} rows of {len(recorded)} runs")
    raise SystemExit(tell_all(recorded))
