"""`wandb tail`: the end of a recorded run, and what comes."""

from __future__ import annotations

import dataclasses
import re
import sys
import time
from collections import deque
from typing import Any, Deque, Dict, Iterator, Optional, Tuple, Union

import click

import wandb_sync
from wandb import term
from wandb.cli.answers import json_text, short, split_keys, tell
from wandb.proto import record_pb2 as pb
from wandb_sync.plain_text import plain
from wandb_sync.reading import STEP_POLICIES, is_row, keys_picker, n_lines
from wandb_sync.typed_records import (
    Alert,
    ConsoleLine,
    ConsoleText,
    Exit,
    GivenUp,
    Loss,
    Preempting,
    Row,
    TypedRecord,
)

Item = Union[Row, ConsoleLine, Alert, Preempting, Exit, GivenUp, Loss]
_SHOWN = (Row, Alert, Preempting, Exit, GivenUp, Loss)
_SHOWN_VALUES = 12  # of a row, if no keys are named
_MAX_LINE_CHARS = 64 * 1024  # of a line that does not end; then it is printed as it is


@click.command()
@click.argument("run", metavar="RUN")
@click.option("-f", "--follow", is_flag=True, help="Go on as the run goes on, until it ends.")
@click.option(
    "-n", "--last", type=click.IntRange(0), default=10, show_default=True, help="Rows and lines from before."
)
@click.option("--keys", metavar="KEY,...", help="Only these values (* matches), of rows that have any.")
@click.option("--rows/--no-rows", "with_rows", default=True, help="Whether to print rows.")
@click.option("--console/--no-console", "with_console", default=True, help="Whether to print output.")
@click.option(
    "--poll", type=click.FloatRange(0.05), default=1.0, show_default=True, metavar="SECONDS", help="With -f."
)
@click.option("--step-policy", type=click.Choice(STEP_POLICIES[:2]), default="drop", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
def tail(
    run: str,
    follow: bool,
    last: int,
    keys: Optional[str],
    with_rows: bool,
    with_console: bool,
    poll: float,
    step_policy: str,
    as_json: bool,
) -> None:
    """Print the last rows and lines of output of a run, and with -f what comes.

    RUN is a run directory, a .wandb file, the id of a run in ./wandb, or the first characters of one; the
    run may be at work on another host that writes to the same file system.  -f ends when the run has
    ended: with its exit record, or when its process is dead; on other hosts, when the log has not changed
    for five minutes.

    Each JSON object has a `type`: row, console_line, alert, preempting, exit, given_up, loss, and at the end
    end, with the state and exit code of the run.

    Exits with 0, with 1 if the log cannot be read, 2 if there is no such run, 3 if a part of it is damaged;
    how the run has ended does not matter.

    \b
    Examples:
        wandb tail ./wandb/latest-run
        wandb tail -f 3f9a --keys loss --no-console
        wandb tail -f 3f9a --json | jq -r 'select(.type == "row").values.loss'
    """
    found = wandb_sync.read(run, follow=follow, step_policy=step_policy)
    found.poll_every_s = poll
    pick = keys_picker(wanted) if (wanted := split_keys(keys)) is not None else None
    printer = _Printer(as_json)

    def weight(record: pb.Record) -> int:
        return (is_row(record) if with_rows else 0) + (n_lines(record) if with_console else 0)

    def wanted_of(records: Iterator[TypedRecord]) -> Iterator[Item]:
        for item in _with_lines(records):
            if isinstance(item, Row) and pick is not None:
                item = dataclasses.replace(item, values=pick(item.flat()))
            if isinstance(item, Row):
                if with_rows and item.values:
                    yield item
            elif not isinstance(item, ConsoleLine) or with_console:
                yield item

    # Of what was there before only the last pieces are shown; of what comes, everything.
    kept: Deque[Item] = deque()
    n_kept = 0  # rows and lines; what else is there is shown too
    has_caught_up = False

    def show_kept() -> None:
        nonlocal has_caught_up
        has_caught_up = True
        while kept:
            printer.show(kept.popleft())

    def wait(seconds: float) -> None:
        show_kept()
        time.sleep(seconds)

    found.wait = wait
    for item in wanted_of(found.records(last=last, weight=weight)):
        if has_caught_up:
            printer.show(item)
            continue
        kept.append(item)
        n_kept += isinstance(item, (Row, ConsoleLine))
        while n_kept > last:
            n_kept -= isinstance(kept.popleft(), (Row, ConsoleLine))
    show_kept()
    if as_json:
        printer.write({"type": "end", "state": found.state, "exit_code": found.facts.exit_code})
    elif follow:
        code = found.facts.exit_code
        term.termlog(f"the run is {found.state}" + (f", with exit code {code}" if code else ""))
    raise SystemExit(tell(found))


class _Lines:
    """Puts pieces of output together to lines, as they are ended."""

    def __init__(self) -> None:
        self._begun: Dict[Tuple[str, str, bool], Tuple[str, float]] = {}  # text, and when it began

    def add(self, piece: ConsoleText) -> Iterator[ConsoleLine]:
        source = (piece.process, piece.label, piece.is_error)
        begun, at = self._begun.pop(source, ("", piece.timestamp))
        ended = piece.text if not piece.is_line or piece.text.endswith("\n") else piece.text + "\n"
        *lines, rest = (begun + ended).split("\n")
        for line in lines:
            yield ConsoleLine(_last_form(line), piece.is_error, at, piece.label)
            at = piece.timestamp
        rest = rest[rest.rfind("\r", 0, -1) + 1 :]  # what a progress bar has written over is gone
        if len(rest) > _MAX_LINE_CHARS:
            yield ConsoleLine(rest, piece.is_error, at, piece.label)
        elif rest:
            self._begun[source] = (rest, at)

    def end(self) -> Iterator[ConsoleLine]:
        for (_, label, is_error), (text, at) in self._begun.items():
            yield ConsoleLine(_last_form(text), is_error, at, label)


def _last_form(line: str) -> str:
    line = line.rstrip("\r")
    return line[line.rfind("\r") + 1 :]


def _with_lines(records: Iterator[TypedRecord]) -> Iterator[Item]:
    lines = _Lines()
    for record in records:
        if isinstance(record, ConsoleText):
            yield from lines.add(record)
        elif isinstance(record, _SHOWN):
            yield record
    yield from lines.end()


class _Printer:
    """Prints what was read, for people or as JSON."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._colors = sys.stdout.isatty()

    def show(self, item: Item) -> None:
        if self._as_json:
            name = re.sub(r"(?<!^)(?=[A-Z])", "_", type(item).__name__).lower()
            self.write({"type": name, **dataclasses.asdict(item)})
        elif isinstance(item, ConsoleLine):
            label = f"[{plain(item.label)}] " if item.label else ""
            self._print(label + plain(item.text, self._colors))
        elif isinstance(item, Row):
            self._print(_row_text(item))
        elif isinstance(item, Alert):
            self._print(plain(f"alert {item.level}: {item.title} {item.text}"))
        elif isinstance(item, Preempting):
            self._print("the scheduler is about to take the machine away")
        # How it has ended, and what is lost, is said at the end, on stderr.

    def write(self, event: Dict[str, Any]) -> None:
        self._print(json_text(event))

    def _print(self, text: str) -> None:
        click.echo(text)
        sys.stdout.flush()  # whoever follows wants it now, through a pipe too


def _row_text(row: Row) -> str:
    values = [(key, value) for key, value in row.flat().items() if not key.startswith("_")]
    shown = [f"{plain(key)}={short(value, 40)}" for key, value in values[:_SHOWN_VALUES]]
    if len(values) > _SHOWN_VALUES:
        shown.append(f"... {len(values) - _SHOWN_VALUES} more")
    return f"step {row.step}  {'  '.join(shown)}"
