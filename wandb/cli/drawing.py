"""Curves in a few lines of text.

A character is a grid of 2 x 4 dots (braille), or one mark where the terminal knows ASCII only.  Of all points
that fall into one column of dots the lowest and the highest are drawn, so that a spike is never lost.
"""

from __future__ import annotations

import math
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from wandb_sync.curves import Bucket, Curve

BRAILLE = 0x2800
BRAILLE_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # [line of dots][column of dots]
COLORS = (36, 33, 35, 32, 34, 31)  # of the runs in one picture: cyan, yellow, magenta, green, blue, red
MARKS = "*o+x#@"  # of the runs in one picture that has no colours


class Style(NamedTuple):
    """How to draw.

    Attributes:
        columns: Width of all that is printed, in characters.
        height: Lines of the curve itself.
        braille: Whether braille characters may be used.
        colors: Whether the terminal shows colours.
        log_y: Whether the y axis is logarithmic; what is not positive is left out then.
    """

    columns: int = 80
    height: int = 8
    braille: bool = True
    colors: bool = False
    log_y: bool = False


def draw(title: str, curves: Sequence[Tuple[str, Curve]], style: Style) -> List[str]:
    """One picture as lines of text.

    Args:
        title: Printed above it.
        curves: What is drawn, each with its name, which is printed if there are several.
    """
    drawn = [(name, curve, _buckets(curve, style)) for name, curve in curves]
    several = len(drawn) > 1
    heads = [f"{title}  {_described(*drawn[0], style)}"] if not several else [title]
    heads += [
        f"  {_colored(_mark(i, style), i, style)} {name}  {_described(name, curve, buckets, style)}"
        for i, (name, curve, buckets) in enumerate(drawn)
        if several
    ]
    all_buckets = [bucket for _, _, buckets in drawn for bucket in buckets]
    if not all_buckets:
        return heads
    low = min(bucket[1] for bucket in all_buckets)
    high = max(bucket[2] for bucket in all_buckets)
    shown = [math.exp(min(value * math.log(10), 709.0)) if style.log_y else value for value in (high, low)]
    labels = [f"{shown[0]:.4g}"] + [""] * (style.height - 2) + [f"{shown[1]:.4g}"]
    margin = max(map(len, labels))
    width = max(4, style.columns - margin - 2)
    first = min(bucket[0] for bucket in all_buckets)
    last = max(bucket[0] for bucket in all_buckets)
    last = max([last, *(curve.last[0] for _, curve, buckets in drawn if buckets)])
    # Letters tell curves apart where there are no colours; dots do not.
    braille = style.braille and (style.colors or not several)
    per_column, per_line = (2, 4) if braille else (1, 1)
    picture = _Picture(width, style.height)
    for i, (_, _, buckets) in enumerate(drawn):
        spans = _spans(buckets, (first, last), (low, high), width * per_column, style.height * per_line)
        if braille:
            picture.add_braille(spans, i)
        else:
            picture.add_marks(spans, i, MARKS[i % len(MARKS)])
    bar = "\u2524" if braille else "|"
    rows = picture.rows(style.colors and several)
    lines = [f"{label:>{margin}}{bar}{row}" for label, row in zip(labels, rows)]
    ticks, end = f"{first:g}", f"{last:g}"
    axis = ticks + end.rjust(width - len(ticks)) if len(ticks) + len(end) < width else ticks
    return [*heads, *lines, " " * (margin + 1) + axis]


def _described(name: str, curve: Curve, buckets: List[Bucket], style: Style) -> str:
    not_finite = f", {curve.n_not_finite} not finite" if curve.n_not_finite else ""
    left_out = ", nothing above 0" if style.log_y and curve.n_points and not buckets else ""
    return f"({curve.n_points} points{not_finite}{left_out}, last {curve.last[1]:.6g})"


def _buckets(curve: Curve, style: Style) -> List[Bucket]:
    if not style.log_y:
        return curve.buckets
    # Of a bucket that reaches below zero what lies above is drawn.
    return [
        [x, math.log10(low if low > 0 else high), math.log10(high)]
        for x, low, high in curve.buckets
        if high > 0
    ]


def _mark(i: int, style: Style) -> str:
    return "\u2501" if style.braille and style.colors else MARKS[i % len(MARKS)]


def _colored(text: str, i: int, style: Style) -> str:
    return f"\x1b[{COLORS[i % len(COLORS)]}m{text}\x1b[0m" if style.colors else text


def _spans(
    buckets: List[Bucket],
    x_range: Tuple[float, float],
    y_range: Tuple[float, float],
    n_columns: int,
    n_lines: int,
) -> Dict[int, Tuple[int, int]]:
    """For each column of dots the lowest and highest line to draw, line 0 at the bottom; gaps are bridged."""
    spans: Dict[int, Tuple[int, int]] = {}
    for x, low, high in buckets:
        column = _scaled(x, x_range, n_columns)
        a, b = _scaled(low, y_range, n_lines), _scaled(high, y_range, n_lines)
        if column in spans:
            a, b = min(a, spans[column][0]), max(b, spans[column][1])
        spans[column] = (a, b)
    drawn = sorted(spans)
    for left, right in zip(drawn, drawn[1:]):
        from_line, to_line = sum(spans[left]) / 2, sum(spans[right]) / 2
        for column in range(left + 1, right):
            line = round(from_line + (to_line - from_line) * (column - left) / (right - left))
            spans[column] = (line, line)
    return spans


def _scaled(value: float, value_range: Tuple[float, float], n: int) -> int:
    """Which of n equal parts of the range a value falls into."""
    low, high = value_range
    # Halved, so that the width of the range is a float even if it reaches from -1.7e308 to 1.7e308.
    width = high / 2 - low / 2
    if width <= 0:
        return 0 if n == 1 else (n - 1) // 2
    share = (value / 2 - low / 2) / width
    return min(n - 1, max(0, int(share * (n - 1) + 0.5)))


class _Picture:
    """Characters on a grid, each of the curve that was drawn there last."""

    def __init__(self, width: int, height: int) -> None:
        self._height = height
        self._dots = [[0] * width for _ in range(height)]
        self._marks = [[" "] * width for _ in range(height)]
        self._owner: List[List[Optional[int]]] = [[None] * width for _ in range(height)]

    def add_braille(self, spans: Dict[int, Tuple[int, int]], i: int) -> None:
        for column, (low, high) in spans.items():
            for line in range(low, high + 1):
                from_top = self._height * 4 - 1 - line
                row, cell = from_top // 4, column // 2
                self._dots[row][cell] |= BRAILLE_DOTS[from_top % 4][column % 2]
                self._marks[row][cell] = chr(BRAILLE + self._dots[row][cell])
                self._owner[row][cell] = i

    def add_marks(self, spans: Dict[int, Tuple[int, int]], i: int, mark: str) -> None:
        for column, (low, high) in spans.items():
            for line in range(low, high + 1):
                self._marks[self._height - 1 - line][column] = mark if line in (low, high) else "|"
                self._owner[self._height - 1 - line][column] = i

    def rows(self, colors: bool) -> List[str]:
        """Return the lines, without blanks at their ends."""
        if not colors:
            return ["".join(row).rstrip() for row in self._marks]
        found = []
        for row, owners in zip(self._marks, self._owner):
            n_used = len("".join(row).rstrip())
            cells = [
                mark if owner is None else f"\x1b[{COLORS[owner % len(COLORS)]}m{mark}\x1b[0m"
                for mark, owner in zip(row[:n_used], owners)
            ]
            found.append("".join(cells))
        return found
