"""A curve in a few lines of text.

A character is a grid of 2 x 4 dots (braille), or one mark where the terminal knows ASCII only.  Of all points
that fall into one column of dots the lowest and the highest are drawn, so that a spike is never lost.

Rule: memory and work per curve do not depend on how many points there are.
"""

from __future__ import annotations

import math
from typing import Any, Dict, List, Tuple

MAX_BUCKETS = 2048  # of a curve; far more than any terminal has columns of dots
BRAILLE = 0x2800
BRAILLE_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # [line of dots][column of dots]

Bucket = List[float]  # x, lowest y, highest y


class Curve:
    """Points that come in any number, kept as at most MAX_BUCKETS pairs of lowest and highest.

    Attributes:
        n_points: How many finite points came.
        n_not_finite: How many NaN and infinities came; they are not drawn.
    """

    def __init__(self) -> None:
        self.n_points = 0
        self.n_not_finite = 0
        self.last = (0.0, math.nan)
        self._buckets: List[Bucket] = []
        self._points_per_bucket = 1
        self._in_last = 0

    def add(self, x: float, y: float) -> None:
        """Take one more point."""
        self.last = (x, y)
        if not math.isfinite(y):
            self.n_not_finite += 1
            return
        self.n_points += 1
        if self._buckets and self._in_last < self._points_per_bucket:
            bucket = self._buckets[-1]
            bucket[1], bucket[2] = min(bucket[1], y), max(bucket[2], y)
            self._in_last += 1
            return
        if len(self._buckets) == MAX_BUCKETS:
            self._halve()
        self._buckets.append([x, y, y])
        self._in_last = 1

    @property
    def buckets(self) -> List[Bucket]:
        """(x, lowest, highest), in the order they came."""
        return self._buckets

    def described(self) -> Dict[str, Any]:
        """The figures of the curve, for `--json`."""
        lows = [bucket[1] for bucket in self._buckets]
        highs = [bucket[2] for bucket in self._buckets]
        return {
            "n_points": self.n_points,
            "n_not_finite": self.n_not_finite,
            "min": min(lows, default=None),
            "max": max(highs, default=None),
            "last": self.last[1] if math.isfinite(self.last[1]) else str(self.last[1]),
            "last_step": self.last[0],
        }

    def _halve(self) -> None:
        """Join neighbours two by two."""
        old = self._buckets
        self._buckets = [[a[0], min(a[1], b[1]), max(a[2], b[2])] for a, b in zip(old[::2], old[1::2])]
        self._points_per_bucket *= 2


def draw(title: str, curve: Curve, columns: int, height: int, braille: bool) -> List[str]:
    """The curve as lines of text.

    Args:
        title: Printed above it.
        columns: Width of all that is printed, in characters.
        height: Lines of the curve itself.
        braille: Whether braille characters may be used.
    """
    buckets = curve.buckets
    not_finite = f", {curve.n_not_finite} not finite" if curve.n_not_finite else ""
    head = f"{title}  ({curve.n_points} points{not_finite}, last {curve.last[1]:.6g})"
    if not buckets:
        return [head]
    low = min(bucket[1] for bucket in buckets)
    high = max(bucket[2] for bucket in buckets)
    labels = [f"{high:.4g}"] + [""] * (height - 2) + [f"{low:.4g}"]
    margin = max(map(len, labels))
    width = max(4, columns - margin - 2)
    first = min(bucket[0] for bucket in buckets)
    last = max(curve.last[0], max(bucket[0] for bucket in buckets))
    per_column, per_line = (2, 4) if braille else (1, 1)
    spans = _spans(buckets, (first, last), (low, high), width * per_column, height * per_line)
    rows = _braille(spans, width, height) if braille else _ascii(spans, width, height)
    mark = "┤" if braille else "|"
    lines = [f"{label:>{margin}}{mark}{row.rstrip()}" for label, row in zip(labels, rows)]
    ticks = f"{first:g}"
    end = f"{last:g}"
    axis = ticks + end.rjust(width - len(ticks)) if len(ticks) + len(end) < width else ticks
    return [head, *lines, " " * (margin + 1) + axis]


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
    if high <= low:
        return 0 if n == 1 else (n - 1) // 2
    # Halved, so that the width of the range is a float even if it reaches from -1.7e308 to 1.7e308.
    share = (value / 2 - low / 2) / (high / 2 - low / 2)
    return min(n - 1, max(0, int(share * (n - 1) + 0.5)))


def _braille(spans: Dict[int, Tuple[int, int]], width: int, height: int) -> List[str]:
    cells = [[0] * width for _ in range(height)]
    for column, (low, high) in spans.items():
        for line in range(low, high + 1):
            from_top = height * 4 - 1 - line
            cells[from_top // 4][column // 2] |= BRAILLE_DOTS[from_top % 4][column % 2]
    return ["".join(chr(BRAILLE + cell) if cell else " " for cell in row) for row in cells]


def _ascii(spans: Dict[int, Tuple[int, int]], width: int, height: int) -> List[str]:
    cells = [[" "] * width for _ in range(height)]
    for column, (low, high) in spans.items():
        for line in range(low, high + 1):
            cells[height - 1 - line][column] = "*" if line in (low, high) else "|"
    return ["".join(row) for row in cells]
