"""`wandb show`: a recorded run and its curves, in the terminal, straight from its logs."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Sequence

import click

import wandb_sync
from wandb.cli.answers import (
    can_print,
    damage_of,
    duration_text,
    json_text,
    quoted,
    short,
    size_text,
    split_keys,
    tell,
    terminal_columns,
    time_text,
    with_progress,
)
from wandb.cli.drawing import Style, draw
from wandb.cli.ls import described
from wandb.errors import UsageError
from wandb_sync.artifacts import made_in
from wandb_sync.curves import Curve
from wandb_sync.plain_text import plain
from wandb_sync.facts import FINISHED, RUNNING
from wandb_sync.reading import RecordedRun, keys_picker

DEFAULT_HEIGHT = 8  # lines of a curve
MAX_CURVES = 8  # drawn when no keys are named
_RUN_FIELDS = ("run_id", "project", "entity", "display_name", "run_group", "job_type", "notes", "host")
_SHOWN_FACTS = ("group", "job_type", "notes", "tags")


@click.command()
@click.argument("run", metavar="RUN")
@click.option("--keys", metavar="KEY,...", help="What to draw (* matches); else the first numeric keys.")
@click.option("--curves/--no-curves", default=True, help="Curves and artifacts need the whole log.")
@click.option("--width", type=click.IntRange(20, 1000), help="Columns; the terminal's if not given.")
@click.option("--height", type=click.IntRange(2, 200), default=DEFAULT_HEIGHT, help="Lines of each curve.")
@click.option("--ascii", "ascii_only", is_flag=True, help="Draw without braille characters.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
def show(
    run: str,
    keys: Optional[str],
    curves: bool,
    width: Optional[int],
    height: int,
    ascii_only: bool,
    as_json: bool,
) -> None:
    """Print a recorded run and draw its curves.

    RUN is a run directory, a .wandb file, the id of a run in ./wandb, or the first characters of one.  Config
    and summary are those that `wandb sync` would bring to a server.

    Exits with 0 even if the log ends in the middle of a record, as it does when its writer is alive or was
    killed; with 1 if it cannot be read, 2 if there is no such run or key, 3 if a part of it is damaged.

    \b
    Examples:
        wandb show ./wandb/latest-run --keys loss,acc
        wandb show 3f9a --no-curves
        wandb show ./wandb/latest-run --json | jq .summary
    """
    recorded = wandb_sync.read(run)
    found = curves_of(recorded) if curves else {}
    wanted = split_keys(keys)
    pick = keys_picker(wanted) if wanted is not None else None
    chosen = list(pick(found)) if pick else [key for key in found if not key.startswith("_")]
    missing = [key for key in wanted or () if not keys_picker([key])(found)] if curves else []
    if missing:
        raise UsageError(
            f"{run}: no numbers under {', '.join(missing)}",
            hint=f"keys with numbers: {', '.join(sorted(found)) or 'none'}",
        )
    facts = described(recorded.segments)
    segments = recorded.segments if curves else []
    artifacts = [one for segment in segments for one in made_in(segment.log.path)]
    if as_json:
        told = _as_dict(recorded, facts, {key: found[key] for key in chosen})
        told["artifacts"] = [one._asdict() for one in artifacts]
        click.echo(json_text(told, indent=2))
        raise SystemExit(tell(recorded))
    _print_facts(recorded, facts)
    if artifacts:
        click.echo("artifacts:")
    for one in artifacts:
        trouble = f"; {one.trouble}" if one.trouble else ""
        size = f"{one.n_files} files, {size_text(one.n_bytes)}"
        click.echo(plain(f"  {one.name} ({one.type}): {size}{trouble}"))
    style = Style(width or terminal_columns(), height, not ascii_only and can_print("\u28ff"))
    for key in chosen if wanted else chosen[:MAX_CURVES]:
        click.echo("")
        click.echo("\n".join(draw(plain(key), [(key, found[key])], style)))
    if not wanted and len(chosen) > MAX_CURVES:
        names = plain(",".join(chosen[MAX_CURVES:][:5]))
        click.echo(f"\n... and {len(chosen) - MAX_CURVES} more keys: --keys {names}")
    raise SystemExit(tell(recorded))


def curves_of(run: RecordedRun) -> Dict[str, Curve]:
    """Return a curve over the steps of every key that has numbers, in the order in which they came."""
    curves: Dict[str, Curve] = {}
    for row in with_progress(run.history(), run):
        x = float(row.step)
        for key, value in row.flat().items():
            if isinstance(value, (int, float)) and key != "_step":
                curve = curves.get(key)
                if curve is None:
                    curve = curves[key] = Curve()
                curve.add(x, float_of(value))
    return curves


def float_of(value: Any) -> float:
    """Return a number as a float, also one that is too large for it."""
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def _as_dict(run: RecordedRun, facts: Mapping[str, Any], curves: Mapping[str, Curve]) -> Dict[str, Any]:
    said = run.facts.run
    who: Dict[str, Any] = {name: getattr(said, name) for name in _RUN_FIELDS if getattr(said, name)}
    if said.tags:
        who["tags"] = list(said.tags)
    return {
        "log": facts["log"],
        "segments": [segment.log.shown for segment in run.segments],
        "run": who,
        "state": facts["state"],
        "exit_code": facts["exit_code"],
        "created": facts["created"],
        "runtime": facts["runtime"],
        "size": facts["size"],
        "synced": facts["synced"],
        "n_rows": facts["rows"],
        "last_step": run.facts.last_step,
        **damage_of(run),
        "tail_bytes": run.tail_bytes,
        "environment": run.facts.host_facts,
        "config": run.config,
        "summary": run.summary,
        "curves": {key: curve.described() for key, curve in curves.items()},
    }


def _print_facts(run: RecordedRun, facts: Mapping[str, Any]) -> None:
    title = facts["name"] or facts["id"]
    where = "/".join(facts[name] for name in ("entity", "project", "id") if facts[name])
    ended = f" with exit code {facts['exit_code']}" if facts["exit_code"] else ""
    click.echo(plain(f"{title}  {where}  {facts['state']}{ended}  {facts['rows']} rows"))
    logs = [segment.log.shown for segment in run.segments]
    lines: List[Sequence[str]] = [("log", logs[-1])]
    if len(logs) > 1:
        lines.append(("segments", f"{len(logs)}, since {logs[0]}"))
    synced = "yes" if facts["synced"] == 1 else f"{facts['synced']:.0%}" if facts["synced"] else "no"
    lines.append(("size", f"{size_text(facts['size'])}, synced: {synced}"))
    if facts["created"]:
        lines.append(("created", f"{time_text(facts['created'])}, ran {duration_text(facts['runtime'])}"))
    machine = run.facts.host_facts
    lines += [(name, str(machine[name])) for name in ("host", "program", "python") if machine.get(name)]
    git = machine.get("git")
    if isinstance(git, dict) and git.get("commit"):
        lines.append(("commit", str(git["commit"])))
    for name in _SHOWN_FACTS:
        if facts.get(name) or (name == "notes" and run.facts.run.notes):
            value = run.facts.run.notes if name == "notes" else facts[name]
            lines.append((name, value if isinstance(value, str) else ", ".join(value)))
    for name, text in lines:
        click.echo(f"  {name}: {short(text, 200)}")
    if run.tail_bytes and facts["state"] != FINISHED:
        why = "its writer is at it" if facts["state"] == RUNNING else "its writer was killed there"
        click.echo(f"  the last record is unfinished: {why}")
    for heading, values in (("config", run.config), ("summary", run.summary)):
        if values:
            click.echo(f"{heading}:")
            pad = min(max(map(len, values)), 40)
            for key, value in values.items():
                click.echo(f"  {plain(key):<{pad}}  {quoted(value)}")
