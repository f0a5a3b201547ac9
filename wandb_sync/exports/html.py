"""One page that needs nothing else: curves as drawings, config, summary, output.

Rule: whatever a log says is text here; nothing of it is markup, and the page runs no script.
"""

from __future__ import annotations

import time
from collections import deque
from html import escape
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from wandb_sync.curves import Curve
from wandb_sync.exports import Runs, Wanted, replaced
from wandb_sync.exports.values import json_text
from wandb_sync.plain_text import plain
from wandb_sync.reading import RecordedRun

MAX_LINES = 5000  # of output, the last ones; more makes pages that browsers choke on
WIDTH, HEIGHT = 460, 220  # pixels of a drawing
_LEFT, _BOTTOM, _TOP = 56, 22, 8  # room for the labels
_COLORS = ("#2266cc", "#dd7722", "#228844", "#bb3344", "#7744aa", "#667788")

_STYLE = """
body { font: 14px/1.4 system-ui, sans-serif; margin: 2em auto; max-width: 90em; padding: 0 1em; }
h1 { font-size: 1.4em } h2 { font-size: 1.1em; margin-top: 2em } h3 { font-size: 1em; margin: 0 }
.charts { display: flex; flex-wrap: wrap; gap: 12px }
figure { margin: 0; border: 1px solid #ccc; border-radius: 4px; padding: 8px }
figcaption { font-weight: bold }
table { border-collapse: collapse }
td, th { text-align: left; padding: 1px 12px 1px 0; vertical-align: top }
pre { background: #f4f4f4; color: #222; padding: 8px; overflow: auto; max-height: 40em; }
 .error { color: #b00 }
svg text { font: 10px system-ui, sans-serif; fill: #666 } .lost { color: #b00 }
"""


def write(runs: Runs, wanted: Wanted, path: Optional[str]) -> int:
    """Write one page about all runs; returns how many rows their curves have."""
    n_rows = 0
    curves: List[Dict[str, Curve]] = []
    for _, run in runs:
        own: Dict[str, Curve] = {}
        for row in run.history(wanted.keys, step_from=wanted.step_from, step_to=wanted.step_to):
            n_rows += 1
            for key, value in row.flat().items():
                if isinstance(value, (int, float)) and not key.startswith("_"):
                    own.setdefault(key, Curve()).add(float(row.step), _float(value))
        curves.append(own)
    with replaced(path) as file:
        for piece in _page(runs, curves):
            file.write(piece.encode("utf-8", "backslashreplace"))
    return n_rows


def _page(runs: Runs, curves: Sequence[Mapping[str, Curve]]) -> Iterator[str]:
    title = escape(", ".join(_title(name, run) for name, run in runs))
    yield f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
    yield f"<style>{_STYLE}</style></head><body>\n<h1>{title}</h1>\n"
    if len(runs) > 1:
        names = [
            f'<span style="color:{_color(i)}">&#9632; {escape(name)}</span>'
            for i, (name, _) in enumerate(runs)
        ]
        yield f"<p>{' &nbsp; '.join(names)}</p>\n"
    yield '<div class="charts">\n'
    for key in dict.fromkeys(key for own in curves for key in own):
        drawn = [(i, own[key]) for i, own in enumerate(curves) if key in own]
        yield f"<figure><figcaption>{escape(key)}</figcaption>{_drawing(drawn)}</figure>\n"
    yield "</div>\n"
    for name, run in runs:
        yield from _section(name, run)
    yield "</body></html>\n"


def _section(name: str, run: RecordedRun) -> Iterator[str]:
    facts = run.facts
    yield f"<h2>{escape(_title(name, run))}</h2>\n"
    about: List[Tuple[str, Any]] = [
        ("id", facts.run.run_id),
        ("project", "/".join(filter(None, (facts.run.entity, facts.run.project)))),
        ("state", run.state + (f", exit code {facts.exit_code}" if facts.exit_code else "")),
        ("created", time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(max(0, facts.started_s)))),
        ("rows", facts.n_rows),
        ("group", facts.run.run_group),
        ("job type", facts.run.job_type),
        ("tags", ", ".join(facts.run.tags)),
        ("notes", facts.run.notes),
        ("host", facts.run.host),
    ]
    yield _table({key: value for key, value in about if value not in ("", None)}, is_text=True)
    if run.damage:
        lost = f"{run.damage.n_bytes} bytes in {run.damage.n_places} places cannot be read"
        given_up = f"; {run.damage.n_given_up} records were given up when they were recorded"
        yield f'<p class="lost">{lost}{given_up if run.damage.n_given_up else ""}</p>\n'
    for heading, values in (("config", run.config), ("summary", run.summary)):
        if values:
            yield f"<h3>{heading}</h3>\n{_table(values)}"
    lines: deque[Any] = deque(maxlen=MAX_LINES)
    n_lines = 0
    for line in run.console():
        n_lines += 1
        lines.append(line)
    if lines:
        left_out = f" (the last {MAX_LINES} of {n_lines} lines)" if n_lines > MAX_LINES else ""
        yield f"<h3>output{left_out}</h3>\n<pre>"
        for line in lines:
            text = escape(plain(line.text))
            yield f'<span class="error">{text}</span>\n' if line.is_error else text + "\n"
        yield "</pre>\n"


def _drawing(curves: Sequence[Tuple[int, Curve]]) -> str:
    """Return curves as one SVG drawing; of many points that share a pixel the lowest and highest are seen."""
    buckets = [bucket for _, curve in curves for bucket in curve.buckets]
    n_not_finite = sum(curve.n_not_finite for _, curve in curves)
    if not buckets:
        return f"<p>{n_not_finite} values, none of them finite</p>"
    x_range = (min(bucket[0] for bucket in buckets), max(bucket[0] for bucket in buckets))
    y_range = (min(bucket[1] for bucket in buckets), max(bucket[2] for bucket in buckets))
    lines = []
    for i, curve in curves:
        points = []
        for x, low, high in curve.buckets:
            across = _scaled(x, x_range, _LEFT, WIDTH - 4)
            for y in (low, high) if high > low else (low,):
                points.append(f"{across:.1f},{_scaled(y, y_range, HEIGHT - _BOTTOM, _TOP):.1f}")
        if len(points) == 1:
            left, down = points[0].split(",")
            lines.append(f'<circle cx="{left}" cy="{down}" r="2.5" fill="{_color(i)}"/>')
        else:
            lines.append(f'<polyline points="{" ".join(points)}" fill="none" stroke="{_color(i)}"/>')
    labels = (
        f'<text x="{_LEFT - 4}" y="{_TOP + 8}" text-anchor="end">{y_range[1]:.4g}</text>'
        f'<text x="{_LEFT - 4}" y="{HEIGHT - _BOTTOM}" text-anchor="end">{y_range[0]:.4g}</text>'
        f'<text x="{_LEFT}" y="{HEIGHT - 6}">{x_range[0]:g}</text>'
        f'<text x="{WIDTH - 4}" y="{HEIGHT - 6}" text-anchor="end">{x_range[1]:g}</text>'
    )
    note = f'<text x="{WIDTH // 2}" y="{HEIGHT - 6}">{n_not_finite} not finite</text>' if n_not_finite else ""
    frame = f'<path d="M{_LEFT} {_TOP}V{HEIGHT - _BOTTOM}H{WIDTH - 4}" fill="none" stroke="#ccc"/>'
    inside = frame + "".join(lines) + labels + note
    return f'<svg width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}">{inside}</svg>'


def _scaled(value: float, span: Tuple[float, float], begin: float, end: float) -> float:
    low, high = span
    if high <= low:
        return (begin + end) / 2
    # Halved, so that the width of the range is a float even if it reaches from -1.7e308 to 1.7e308.
    return begin + (end - begin) * ((value / 2 - low / 2) / (high / 2 - low / 2))


def _table(values: Mapping[str, Any], is_text: bool = False) -> str:
    rows = [
        f"<tr><th>{escape(str(key))}</th><td>{escape(str(value) if is_text else json_text(value))}</td></tr>"
        for key, value in values.items()
    ]
    return f"<table>{''.join(rows)}</table>\n"


def _title(name: str, run: RecordedRun) -> str:
    display_name = run.facts.run.display_name
    return f"{display_name} ({name})" if display_name else name


def _color(i: int) -> str:
    return _COLORS[i % len(_COLORS)]


def _float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")
