"""How commands that read recorded runs print: text that is safe for a terminal, JSON that is JSON, tables.

Exit codes of those commands: 0 done; 1 a log cannot be read; 2 no such run, or a wrong option; 3 done, but a
part of a log is damaged or missing, as stderr says; 130 interrupted.
"""

from __future__ import annotations

import json
import math
import shutil
import sys
import time
from typing import Any, Dict, Iterable, Iterator, List, Optional, Sequence

import click

from wandb import term
from wandb_sync.backwards import log_size
from wandb_sync.exports.values import finite
from wandb_sync.plain_text import plain
from wandb_sync.reading import RecordedRun
from wandb_sync.typed_records import Row

EXIT_DAMAGED = 3


def json_text(value: Any, indent: Optional[int] = None) -> str:
    """Return a value as JSON; NaN and infinities, which JSON has no numbers for, as texts as W&B has them."""
    return json.dumps(finite(value), ensure_ascii=False, indent=indent)


def short(value: Any, n_chars: int = 100) -> str:
    """Return a value in few characters."""
    if isinstance(value, float):
        return f"{value:.6g}" if math.isfinite(value) else str(finite(value))
    text = value if isinstance(value, str) else json_text(value)
    text = plain(text).replace("\n", " ").replace("\t", " ")
    return text if len(text) <= n_chars else text[: n_chars - 3] + "..."


def quoted(value: Any) -> str:
    """Return a value in few characters, texts in quotation marks."""
    return short(json_text(value) if isinstance(value, str) else value)


def split_keys(keys: Optional[str]) -> Optional[List[str]]:
    """Return the names of an option `--keys A,B`; None if it was not given."""
    return [key.strip() for key in keys.split(",") if key.strip()] if keys is not None else None


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[bool]) -> None:
    """Print rows in columns; `right` says which are set to the right."""
    listed = [list(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(heads, *listed)] if heads else []
    for row in [list(heads), *listed]:
        cells = [
            text.rjust(width) if is_right else text.ljust(width)
            for text, width, is_right in zip(row, widths, right)
        ]
        click.echo("  ".join(cells).rstrip())


def terminal_columns() -> int:
    return shutil.get_terminal_size((80, 24)).columns


def can_print(text: str) -> bool:
    """Say whether stdout can show the characters of a text."""
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "ascii")
        return True
    except UnicodeEncodeError:
        return False


def size_text(n_bytes: int) -> str:
    size, units = float(n_bytes), ["B", "KB", "MB", "GB", "TB"]
    while size >= 999.5 and len(units) > 1:
        size, units = size / 1000, units[1:]
    return f"{size:.0f} {units[0]}" if units[0] == "B" or size >= 99.5 else f"{size:.1f} {units[0]}"


def duration_text(seconds: Optional[float]) -> str:
    if seconds is None or not math.isfinite(seconds):
        return "-"
    whole = max(0, int(seconds))
    days, hours, minutes = whole // 86400, whole // 3600 % 24, whole // 60 % 60
    if days:
        return f"{days}d {hours}h"
    if hours:
        return f"{hours}h {minutes}m"
    return f"{minutes}m {whole % 60}s" if minutes else f"{whole}s"


def time_text(at_s: float) -> str:
    """Return a time of the epoch in this place's time, to the second."""
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at_s)) if at_s else "-"
    except (OverflowError, ValueError, OSError):
        return "-"


def with_progress(rows: Iterable[Row], run: RecordedRun) -> Iterator[Row]:
    """Hand rows through; on a terminal, if it takes long, say on stderr how far reading has come."""
    if not sys.stderr.isatty():
        yield from rows
        return
    sizes = {str(segment.log.path): log_size(segment.log.path) for segment in run.segments}
    next_s, is_shown = time.monotonic() + 1.0, False
    for number, row in enumerate(rows):
        if number % 1000 == 0 and time.monotonic() > next_s:
            next_s, is_shown = time.monotonic() + 0.5, True
            done = f"{size_text(row.offset)} of {size_text(sizes.get(row.log, 0))}"
            sys.stderr.write(f"\rwandb: reading, {done} \x1b[K")
            sys.stderr.flush()
        yield row
    if is_shown:
        sys.stderr.write("\r\x1b[K")


def damage_of(run: RecordedRun) -> Dict[str, Any]:
    """Return what could not be read of a run so far, as JSON has it."""
    damage = run.damage
    return {
        "n_lost_bytes": damage.n_bytes,
        "n_given_up": damage.n_given_up,
        "losses": [
            {"log": loss.log, "offset": loss.offset, "n_bytes": loss.n_bytes, "reason": loss.reason}
            for loss in damage.losses
        ],
    }


def tell(run: RecordedRun) -> int:
    """Say on stderr what the answer lacks; returns the exit code."""
    damage = run.damage
    for earlier in run.earlier[:3]:
        term.termwarn(f"{earlier.shown}: an earlier recording under the same id, which is left out")
    if run.n_late:
        term.termwarn(f"{run.n_late} rows whose step goes back are left out; --step-policy keep shows them")
    if damage.n_given_up:
        term.termwarn(
            f"{damage.n_given_up} records were given up when they were recorded: the disk was full or gone, "
            "or the quota used up"
        )
    for loss in damage.losses[:3]:
        term.termwarn(f"{loss.log}: {loss.n_bytes} bytes at {loss.offset} cannot be read: {loss.reason}")
    if damage.n_places > 3:
        term.termwarn(f"{damage.n_bytes} bytes cannot be read, in {damage.n_places} places")
    return EXIT_DAMAGED if damage else 0


def tell_all(runs: Sequence[RecordedRun]) -> int:
    """As `tell`, of several runs."""
    return max([tell(run) for run in runs], default=0)


def unique_names(runs: Sequence[RecordedRun]) -> List[str]:
    """Return what tells runs apart: the id, and where that is not enough the directory."""
    ids = [run.id or run.segments[-1].log.path.stem for run in runs]
    return [
        run_id if ids.count(run_id) == 1 else f"{run_id} {run.segments[-1].log.directory.name}"
        for run_id, run in zip(ids, runs)
    ]
