"""`wandb plot`: curves of recorded runs, in the terminal."""

from __future__ import annotations

import sys
import threading
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import click

import wandb_sync
from wandb.cli.answers import (
    can_print,
    damage_of,
    json_text,
    split_keys,
    tell_all,
    terminal_columns,
    unique_names,
    with_progress,
)
from wandb.cli.drawing import Style, draw
from wandb.cli.show import MAX_CURVES, float_of
from wandb.errors import Error, UsageError
from wandb_sync.curves import Curve, Smoother
from wandb_sync.plain_text import plain
from wandb_sync.reading import STEP_POLICIES, RecordedRun, keys_picker
from wandb_sync.typed_records import Row

DEFAULT_HEIGHT = 12  # lines of a curve
_CLEAR = "\x1b[H\x1b[2J"


@click.command()
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@click.option("--keys", metavar="KEY,...", help="What to draw (* matches); else the first numeric keys.")
@click.option("-x", "--x", "x_key", default="_step", show_default=True, metavar="KEY", help="The x axis.")
@click.option(
    "--smooth",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.0,
    metavar="WEIGHT",
    help="Moving average as on a run's page; 0 to below 1, such as 0.9.",
)
@click.option("--log-y", is_flag=True, help="A logarithmic y axis.")
@click.option("--step-from", type=int, help="Only steps from this one on.")
@click.option("--step-to", type=int, help="Only steps up to this one.")
@click.option("--step-policy", type=click.Choice(STEP_POLICIES), default="drop", show_default=True)
@click.option("--watch", is_flag=True, help="Draw anew as the runs go on, until they have ended.")
@click.option(
    "--every",
    type=click.FloatRange(0.1),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="With --watch.",
)
@click.option("--width", type=click.IntRange(20, 1000), help="Columns; the terminal's if not given.")
@click.option("--height", type=click.IntRange(2, 200), default=DEFAULT_HEIGHT, help="Lines of each curve.")
@click.option("--ascii", "ascii_only", is_flag=True, help="Draw without braille characters and colours.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print figures instead: one JSON object per run and key."
)
def plot(
    runs: Tuple[str, ...],
    keys: Optional[str],
    x_key: str,
    smooth: float,
    log_y: bool,
    step_from: Optional[int],
    step_to: Optional[int],
    step_policy: str,
    watch: bool,
    every: float,
    width: Optional[int],
    height: int,
    ascii_only: bool,
    as_json: bool,
) -> None:
    """Draw curves of recorded runs: a picture for each key, with a curve for each run.

    RUN is a run directory, a .wandb file, the id of a run in ./wandb, or the first characters of one.
    Other x axes than the step are any number that stands in the same rows: _runtime, _timestamp, epoch.
    In a pipe, --watch draws once, when the runs have ended.

    Exits with 0, with 1 if a log cannot be read, 2 if there is no such run or key, 3 if a part of a log
    is damaged.

    \b
    Examples:
        wandb plot ./wandb/latest-run --keys loss,val/loss --smooth 0.9 --log-y
        wandb plot 3f9a 77c0 --keys 'train/*' -x _runtime
        wandb plot ./wandb/latest-run --keys loss --watch
    """
    recorded = [wandb_sync.read(run, follow=watch, step_policy=step_policy) for run in runs]
    names = unique_names(recorded)
    asked = split_keys(keys)
    charts = [Chart(run, asked, x_key, smooth, step_from, step_to) for run in recorded]
    has_colors = sys.stdout.isatty() and not ascii_only

    def print_all() -> None:
        style = Style(
            width or terminal_columns(), height, not ascii_only and can_print("\u28ff"), has_colors, log_y
        )
        chosen = _keys_of(charts)
        for key in chosen if asked else chosen[:MAX_CURVES]:
            curves = [
                (plain(name), chart.curves[key]) for name, chart in zip(names, charts) if key in chart.curves
            ]
            title = key + (f", smoothed {smooth:g}" if smooth else "") + (", log" if log_y else "")
            title += f" over {x_key}" if x_key != "_step" else ""
            click.echo("\n".join([*draw(plain(title), curves, style), ""]))
        if not asked and len(chosen) > MAX_CURVES:
            click.echo(f"... and {len(chosen) - MAX_CURVES} more keys: --keys chooses")

    if watch:
        _watch(charts, print_all if sys.stdout.isatty() and not as_json else None, every)
    else:
        for chart in charts:
            chart.read()
    found = _keys_of(charts)
    missing = [key for key in asked or () if not keys_picker([key])(dict.fromkeys(found, 0))]
    if missing or not found:
        has = sorted({key for chart in charts for key in chart.numeric})
        what = f"under {', '.join(missing)}" if missing else "to draw"
        raise UsageError(
            f"{' '.join(runs)}: no numbers {what}"
            + (f" in rows that have {x_key}" if x_key != "_step" else ""),
            hint=f"keys with numbers: {', '.join(has[:50]) or 'none'}",
        )
    if as_json:
        for name, chart in zip(names, charts):
            for key, curve in chart.curves.items():
                figures = {"run": name, "key": key, "x": x_key, "smooth": smooth, **curve.described()}
                click.echo(json_text({**figures, "buckets": curve.buckets, **damage_of(chart.run)}))
    elif not (watch and sys.stdout.isatty()):
        print_all()
    raise SystemExit(tell_all(recorded))


class Chart:
    """The curves of one run, thinned while its rows come.

    Attributes:
        curves: By key.
        error: What has ended the reading before its end.
    """

    def __init__(
        self,
        run: RecordedRun,
        keys: Optional[Sequence[str]],
        x_key: str,
        smooth: float,
        step_from: Optional[int],
        step_to: Optional[int],
    ) -> None:
        self.run = run
        self.curves: Dict[str, Curve] = {}
        self._met: Dict[str, bool] = {}  # keys, and whether they are numbers
        self.error: Optional[Error] = None
        self.lock = threading.Lock()
        self._pick = keys_picker(keys) if keys is not None else None
        self._x_key = x_key
        self._smooth = smooth
        self._smoothers: Dict[str, Smoother] = {}
        self._step_from, self._step_to = step_from, step_to

    @property
    def numeric(self) -> List[str]:
        """The keys that have numbers, drawn or not."""
        return [key for key, is_number in self._met.items() if is_number]

    def read(self) -> None:
        """Take all rows.

        Raises:
            LogError: A log cannot be read.
        """
        for row in with_progress(self._rows(), self.run):
            self.take(row)

    def follow(self) -> None:
        """Take all rows as they come; for a thread of its own."""
        try:
            for row in self._rows():
                with self.lock:
                    self.take(row)
        except Error as error:
            self.error = error

    def take(self, row: Row) -> None:
        flat = row.flat()
        x = flat.get(self._x_key) if self._x_key != "_step" else row.step
        if not flat.keys() <= self._met.keys():
            self._met.update({key: isinstance(value, (int, float)) for key, value in flat.items()})
        values: Mapping[str, Any] = flat if self._pick is None else self._pick(flat)
        for key, value in values.items():
            if not isinstance(value, (int, float)):
                continue
            if not isinstance(x, (int, float)) or (self._pick is None and key.startswith("_")):
                continue
            curve = self.curves.get(key)
            if curve is None:
                curve = self.curves[key] = Curve()
                self._smoothers[key] = Smoother(self._smooth)
            curve.add(float_of(x), self._smoothers[key].add(float_of(value)))

    def _rows(self) -> Any:
        return self.run.history(step_from=self._step_from, step_to=self._step_to)


def _keys_of(charts: Sequence[Chart]) -> List[str]:
    return list(dict.fromkeys(key for chart in charts for key in chart.curves))


def _watch(charts: Sequence[Chart], draw_all: Any, every_s: float) -> None:
    """Follow all runs side by side until they have ended, and draw now and then."""
    threads = [threading.Thread(target=chart.follow, daemon=True) for chart in charts]
    for thread in threads:
        thread.start()
    while True:
        for thread in threads:
            thread.join(every_s / len(threads))
        is_alive = any(thread.is_alive() for thread in threads)
        if draw_all is not None:
            for chart in charts:
                chart.lock.acquire()
            try:
                click.echo(_CLEAR, nl=False)
                draw_all()
            finally:
                for chart in charts:
                    chart.lock.release()
        if not is_alive:
            break
    for chart in charts:
        if chart.error is not None:
            raise chart.error
