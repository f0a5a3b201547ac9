"""`wandb show`: a recorded run and its curves, in the terminal, straight from the log.

Reads whatever is there: a run that is still being written, one that was killed, one with damaged blocks.
"""

from __future__ import annotations

import glob
import json
import math
import os
import shutil
import sys
from typing import Any, Dict, List, Optional, Sequence, Tuple

import click

from wandb.cli.plot import Curve, draw
from wandb.errors import UsageError
from wandb.proto import record_pb2
from wandb.transaction_log.log_file import on_disk, plain_name
from wandb.transaction_log.parser import Lost
from wandb.transaction_log.reader import Reader
from wandb_sync import json_tree
from wandb_sync.metrics import Metrics
from wandb_sync.session import OUR_PRODUCER
from wandb_sync.summary import Summary

DEFAULT_HEIGHT = 8  # lines of a curve
_KINDS = {  # of records that were given up, for people
    "rows": "rows",
    "console": "pieces of console output",
    "stats": "samples of system metrics",
    "other": "other records",
}
MAX_CURVES = 8  # drawn when no keys are named


class Shown:
    """What a log says about its run, folded as it is read.

    Attributes:
        run: Id, name, project and so on, as far as the log has them.
        config_tree: The config, as json_tree has it.
        folded: The summary, as the syncer would upload it.
        metrics: What is defined about the summary.
        curves: Points of each numeric key, thinned while they come.
        n_rows: How many rows there are.
        is_ours: Whether the rows make the summary; the real client writes a summary record after each.
        exit_code: None as long as the run has not ended.
        n_lost_bytes: How many bytes could not be read.
        tail_bytes: Length of the unfinished record at the end.
        given_up: Records that the recorder could not keep, by kind: rows, console, stats, other.
        given_up_because: The reasons, in the order they came.
    """

    def __init__(self) -> None:
        self.run: Dict[str, Any] = {}
        self.config_tree: json_tree.Tree = {}
        self.folded = Summary()
        self.metrics = Metrics()
        self.curves: Dict[str, Curve] = {}
        self.n_rows = 0
        self.is_ours = False
        self.exit_code: Optional[int] = None
        self.n_lost_bytes = 0
        self.tail_bytes = 0
        self.given_up = dict.fromkeys(("rows", "console", "stats", "other"), 0)
        self.given_up_because: List[str] = []

    @property
    def config(self) -> Dict[str, Any]:
        """The config that users set."""
        return _public(json.loads(json_tree.text_of(self.config_tree)))

    @property
    def summary(self) -> Dict[str, Any]:
        """The summary without what wandb itself adds."""
        return _public(json.loads(self.folded.text()))


@click.command()
@click.argument("path", metavar="RUN_DIR|LOG")
@click.option("--keys", metavar="KEY,...", help="What to draw; without it, the first numeric keys.")
@click.option("--width", type=click.IntRange(20, 1000), help="Columns; the terminal's if not given.")
@click.option("--height", type=click.IntRange(2, 200), default=DEFAULT_HEIGHT, help="Lines of each curve.")
@click.option("--ascii", "ascii_only", is_flag=True, help="Draw without braille characters.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
def show(
    path: str, keys: Optional[str], width: Optional[int], height: int, ascii_only: bool, as_json: bool
) -> None:
    """Print a recorded run and draw its curves.

    Exits with 0 even if the log ends in the middle of a record, as it does when its writer is alive or was
    killed; what could not be read is said.

    \b
    Examples:
        wandb show ./wandb/latest-run --keys loss,acc
        wandb show ./wandb/latest-run --json | jq .summary
    """
    log = find_log(path)
    shown = read_log(log)
    wanted = [key.strip() for key in keys.split(",") if key.strip()] if keys else None
    missing = [key for key in wanted or () if key not in shown.curves]
    if missing:
        known = ", ".join(sorted(shown.curves)) or "none"
        raise UsageError(f"{log}: no numbers under {', '.join(missing)}", hint=f"keys with numbers: {known}")
    chosen = wanted or [key for key in shown.curves if not key.startswith("_")]
    if as_json:
        click.echo(json.dumps(_finite(_as_dict(log, shown, chosen)), indent=2))
        return
    _print_facts(log, shown)
    columns = width or shutil.get_terminal_size((80, 24)).columns
    braille = not ascii_only and _can_encode("⣿")
    for key in chosen if wanted else chosen[:MAX_CURVES]:
        click.echo("")
        click.echo("\n".join(draw(key, shown.curves[key], columns, height, braille)))
    if not wanted and len(chosen) > MAX_CURVES:
        click.echo(
            f"\n... and {len(chosen) - MAX_CURVES} more keys: --keys {','.join(chosen[MAX_CURVES:][:5])}"
        )


def find_log(path: str) -> str:
    """The log in a run directory, or the log itself.

    Raises:
        UsageError: There is none, or more than one.
    """
    if os.path.isfile(on_disk(path)):
        return path
    logs = sorted({plain_name(name) for name in glob.glob(os.path.join(glob.escape(path), "*.wandb*"))})
    logs = [log for log in logs if log.endswith(".wandb") and os.path.isfile(on_disk(log))]
    if len(logs) == 1:
        return logs[0]
    if logs:
        raise UsageError(f"{path}: there are {len(logs)} logs", hint=f"name one of them: {logs[0]}")
    if not os.path.exists(path):
        raise UsageError(f"{path}: there is no such run directory or log")
    raise UsageError(f"{path}: there is no log (*.wandb) in this directory")


def read_log(path: str) -> Shown:
    """Read a log from its beginning to where it ends now.

    Raises:
        LogError: It cannot be read, or is no log.
    """
    shown = Shown()
    with Reader(path) as reader:
        for event in reader.events():
            if isinstance(event, Lost):
                shown.n_lost_bytes += event.n_bytes
                continue
            record = record_pb2.Record()
            try:
                record.ParseFromString(event.payload)
            except (
                Exception
            ):  # protobuf's DecodeError has no stable home; the record is damaged or of the future
                shown.n_lost_bytes += len(event.payload)
                continue
            _take(shown, record)
        shown.tail_bytes = reader.tail_bytes
    return shown


def _take(shown: Shown, record: Any) -> None:
    kind = record.WhichOneof("record_type")
    if kind == "history":
        _take_row(shown, record.history)
    elif kind == "header":
        shown.is_ours = record.header.version_info.producer.startswith(OUR_PRODUCER)
    elif kind == "run":
        run = record.run
        names = ("run_id", "project", "entity", "display_name", "run_group", "job_type", "notes")
        shown.run.update({name: getattr(run, name) for name in names if getattr(run, name)})
        if run.tags:
            shown.run["tags"] = list(run.tags)
        _take_config(shown, run.config)
        shown.folded.apply(run.summary)
    elif kind == "config":
        _take_config(shown, record.config)
    elif kind == "summary":
        shown.folded.apply(record.summary)
    elif kind == "metric":
        shown.metrics.add(record.metric)
        shown.folded.redefine(record.metric)
    elif kind == "footer" and record.footer.HasField("lost"):
        _take_loss(shown, record.footer.lost)
    elif kind == "exit":
        shown.exit_code = record.exit.exit_code


def _take_loss(shown: Shown, lost: Any) -> None:
    counts = {"rows": lost.history, "console": lost.console, "stats": lost.stats, "other": lost.other}
    for kind, count in counts.items():
        shown.given_up[kind] += count
    if lost.reason not in shown.given_up_because:
        shown.given_up_because.append(lost.reason)


def _take_row(shown: Shown, history: Any) -> None:
    row = json_tree.row_tree(history.item)
    shown.n_rows += 1
    if shown.is_ours:
        shown.folded.fold(row, shown.metrics)
    step = row.get("_step")
    x = float(step) if isinstance(step, str) else float(history.step.num)
    for path, text in json_tree.leaves(row):
        y = _number(text)
        if y is not None and path != ("_step",):
            key = ".".join(path)
            curve = shown.curves.get(key)
            if curve is None:
                curve = shown.curves[key] = Curve()
            curve.add(x, y)


def _take_config(shown: Shown, change: Any) -> None:
    for item in change.update:
        json_tree.put(shown.config_tree, json_tree.path_of(item), json_tree.leaf_text(item), keep_empty=True)
    for item in change.remove:
        json_tree.remove(shown.config_tree, json_tree.path_of(item))


def _number(text: Any) -> Optional[float]:
    try:
        return float(text)  # NaN and Infinity too, which a curve counts
    except ValueError:
        return None


def _as_dict(log: str, shown: Shown, keys: Sequence[str]) -> Dict[str, Any]:
    return {
        "log": log,
        "run": shown.run,
        "state": _state(shown),
        "exit_code": shown.exit_code,
        "n_rows": shown.n_rows,
        "n_lost_bytes": shown.n_lost_bytes,
        "tail_bytes": shown.tail_bytes,
        "given_up": {**shown.given_up, "reasons": shown.given_up_because},
        "config": shown.config,
        "summary": shown.summary,
        "curves": {key: shown.curves[key].described() for key in keys},
    }


def _finite(value: Any) -> Any:
    """The value with NaN and infinities as texts, which JSON has no numbers for."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _public(values: Dict[str, Any]) -> Dict[str, Any]:
    return {key: value for key, value in values.items() if not key.startswith("_")}


def _state(shown: Shown) -> str:
    if shown.exit_code is None:
        return "no end recorded"
    return "finished" if shown.exit_code == 0 else "failed"


def _print_facts(log: str, shown: Shown) -> None:
    run = shown.run
    title = run.get("display_name") or run.get("run_id") or os.path.basename(log)
    where = "/".join(run[name] for name in ("entity", "project", "run_id") if run.get(name))
    ended = "" if shown.exit_code in (None, 0) else f" with exit code {shown.exit_code}"
    click.echo(f"{title}  {where}  {_state(shown)}{ended}  {shown.n_rows} rows")
    facts: List[Tuple[str, Any]] = [("log", log)]
    facts += [(name, run[name]) for name in ("run_group", "job_type", "notes", "tags") if run.get(name)]
    for name, value in facts:
        click.echo(f"  {name}: {value if isinstance(value, str) else ', '.join(value)}")
    if shown.n_lost_bytes:
        click.echo(f"  {shown.n_lost_bytes} bytes of the log are damaged; their records are missing here")
    if any(shown.given_up.values()):
        lacking = ", ".join(f"{n} {_KINDS[kind]}" for kind, n in shown.given_up.items() if n)
        click.echo(f"  given up when it was recorded: {lacking} ({'; '.join(shown.given_up_because)})")
    if shown.tail_bytes and shown.exit_code is None:
        click.echo("  the last record is unfinished: its writer is at it, or was killed there")
    for heading, values in (("config", shown.config), ("summary", shown.summary)):
        if values:
            click.echo(f"{heading}:")
            pad = min(max(map(len, values)), 40)
            for key, value in values.items():
                click.echo(f"  {key:<{pad}}  {_short(value)}")


def _short(value: Any) -> str:
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:.6g}"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 100 else text[:97] + "..."


def _can_encode(text: str) -> bool:
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "ascii")
        return True
    except UnicodeEncodeError:
        return False
