"""`wandb ls`: the runs that are recorded here."""

from __future__ import annotations

import fnmatch
import os
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import click

from wandb import term
from wandb.cli.answers import duration_text, json_text, short, size_text, table, time_text
from wandb.errors import Error, UsageError
from wandb_sync.backwards import log_size
from wandb_sync.discover import find, sidecars, usage_error
from wandb_sync.plain_text import plain
from wandb_sync.facts import CRASHED, FINISHED, KILLED, RUNNING, facts_of, state_of
from wandb_sync.run_lookup import run_id, runs_of
from wandb_sync.segments import Segment
from wandb_sync.uploads import uploaded_bytes

SORT_KEYS = ("created", "id", "name", "project", "state", "runtime", "steps", "size", "synced")
HEADS = ("ID", "NAME", "PROJECT", "STATE", "CREATED", "RUNTIME", "STEPS", "SIZE", "SYNCED")
_RIGHT = (False, False, False, False, False, True, True, True, True)
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


@click.command()
@click.argument("paths", nargs=-1, type=click.Path())
@click.option("--state", "states", metavar="STATE,...", help="Only running, finished, crashed, killed ones.")
@click.option("--project", metavar="GLOB", help="Only runs of these projects.")
@click.option("--name", metavar="GLOB", help="Only runs whose id or name matches.")
@click.option("--group", metavar="GLOB", help="Only runs of these groups.")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="Only runs with this tag; can be repeated.")
@click.option("--since", metavar="AGE", help="Only runs that began so long ago or later: 90m, 12h, 7d.")
@click.option(
    "--synced/--unsynced", "synced", default=None, help="Only runs that are on a server, or not yet."
)
@click.option("--sort", type=click.Choice(SORT_KEYS), default="created", show_default=True)
@click.option("-r", "--reverse", is_flag=True, help="The other way round.")
@click.option("-n", "--last", type=click.IntRange(1), help="Only so many, the last ones of the order.")
@click.option(
    "--state-dir", type=click.Path(file_okay=False), help="Where `wandb sync --state-dir` keeps its files."
)
@click.option("-q", "--quiet", is_flag=True, help="Print run directories only, one a line.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per run and line.")
def ls(
    paths: Tuple[str, ...], as_json: bool, quiet: bool, reverse: bool, last: Optional[int], **wishes: Any
) -> None:
    """List the runs that are recorded below PATHS, by default ./wandb, or where WANDB_DIR says.

    A run of several segments is one line; its directory is that of the last one. SYNCED is how much of
    the log a server has acknowledged. Only the begin and the end of each log are read.

    Exits with 0, also if there is no run; with 1 if a log cannot be read, after listing the others; with 2
    if a path means no run.

    \b
    Examples:
        wandb ls
        wandb ls --state crashed,killed --since 2d
        wandb ls --unsynced --sort size -n 5 /scratch/me/wandb
        wandb ls --json | jq -r 'select(.state == "running").id'
    """
    logs, unusable = find(paths)
    if unusable and not logs:
        raise usage_error(unusable[0])
    for path in unusable:
        term.termwarn(f"{path.path}: {path.reason}")
    runs, unreadable = runs_of(logs)
    state_dir = Path(wishes.pop("state_dir")) if wishes.get("state_dir") else wishes.pop("state_dir")
    sort = wishes.pop("sort")
    listed: List[Dict[str, Any]] = []
    is_wanted = _filter(**wishes)
    for segments in runs:
        try:
            run = described(segments, state_dir)
        except Error as error:
            unreadable[segments[-1].log] = str(error)
            continue
        if is_wanted(run):
            listed.append(run)
    listed.sort(key=lambda run: _sort_key(run[sort]), reverse=reverse)
    if last is not None:
        listed = listed[-last:]
    if as_json:
        for run in listed:
            click.echo(json_text(run))
    elif quiet:
        for run in listed:
            click.echo(run["directory"])
    elif listed:
        table(HEADS, [_cells(run) for run in listed], _RIGHT)
    else:
        term.termlog("there is no such run" if runs else "no run is recorded here")
    for reason in unreadable.values():
        term.termerror(reason)
    if unreadable:
        raise SystemExit(1)


def described(segments: Sequence[Segment], state_dir: Optional[Path] = None) -> Dict[str, Any]:
    """Return what is said of a run in a list; the names are those of `--json`."""
    facts = facts_of(segments)
    last = segments[-1]
    run = facts.run
    sizes = [log_size(segment.log.path) for segment in segments]
    size = sum(sizes)
    uploaded = 0
    for segment, n_bytes in zip(segments, sizes):
        uploaded += min(n_bytes, uploaded_bytes(segment.log, sidecars(segment.log, state_dir)))
    return {
        "id": run.run_id or run_id(segments),
        "name": run.display_name,
        "entity": run.entity,
        "project": run.project,
        "group": run.run_group,
        "job_type": run.job_type,
        "tags": list(run.tags),
        "state": state_of(last, facts),
        "exit_code": facts.exit_code,
        "created": facts.started_s or None,
        "runtime": facts.runtime_s,
        "steps": 0 if facts.last_step is None else facts.last_step + 1,
        "rows": facts.n_rows,
        "size": size,
        "synced": round(uploaded / size, 4) if size else 0.0,
        "segments": len(segments),
        "directory": os.path.dirname(last.log.shown) or ".",
        "log": last.log.shown,
    }


def _filter(
    states: Optional[str],
    project: Optional[str],
    name: Optional[str],
    group: Optional[str],
    tags: Sequence[str],
    since: Optional[str],
    synced: Optional[bool],
) -> Callable[[Dict[str, Any]], bool]:
    wanted_states = {state.strip() for state in states.split(",")} if states else None
    known = {RUNNING, FINISHED, CRASHED, KILLED}
    if wanted_states is not None and wanted_states - known:
        raise UsageError(
            f"--state: {', '.join(sorted(wanted_states - known))}", hint=f"one of {', '.join(sorted(known))}"
        )
    oldest = time.time() - _age(since) if since else None

    def is_wanted(run: Dict[str, Any]) -> bool:
        return (
            (wanted_states is None or run["state"] in wanted_states)
            and (project is None or fnmatch.fnmatchcase(run["project"], project))
            and (name is None or any(fnmatch.fnmatchcase(run[key], name) for key in ("id", "name")))
            and (group is None or fnmatch.fnmatchcase(run["group"], group))
            and all(tag in run["tags"] for tag in tags)
            and (oldest is None or (run["created"] or 0) >= oldest)
            and (synced is None or synced == (run["synced"] == 1))
        )

    return is_wanted


def _age(text: str) -> float:
    try:
        return float(text[:-1]) * _UNITS[text[-1:]]
    except (KeyError, ValueError):
        raise UsageError(
            f"--since: {text!r} is no age", hint="a number and s, m, h, d or w, as in 12h"
        ) from None


def _sort_key(value: Any) -> Tuple[int, Any]:
    """Return what sorts values of one kind; what is not known comes first."""
    return (0, 0) if value is None else (1, value.lower() if isinstance(value, str) else value)


def _cells(run: Dict[str, Any]) -> List[str]:
    synced = "yes" if run["synced"] == 1 else f"{int(run['synced'] * 100)} %" if run["synced"] else "no"
    return [
        plain(run["id"]),
        short(run["name"], 32),
        short(run["project"], 32),
        run["state"],
        time_text(run["created"] or 0.0),
        duration_text(run["runtime"]),
        str(run["steps"]),
        size_text(run["size"]),
        synced,
    ]
