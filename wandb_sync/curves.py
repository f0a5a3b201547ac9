"""Curves that come point by point, in any number, and are kept thin.

Rule: memory and work per curve do not depend on how many points there are.
"""

from __future__ import annotations

import math
from typing import Any, Dict, List

MAX_BUCKETS = 2048  # of a curve; far more than any terminal has columns of dots, or a page of pixels

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
        """Return the figures of the curve."""
        lows = [bucket[1] for bucket in self._buckets]
        highs = [bucket[2] for bucket in self._buckets]
        return {
            "n_points": self.n_points,
            "n_not_finite": self.n_not_finite,
            "min": min(lows, default=None),
            "max": max(highs, default=None),
            "last": self.last[1],
            "last_step": self.last[0],
        }

    def _halve(self) -> None:
        """Join neighbours two by two."""
        old = self._buckets
        self._buckets = [[a[0], min(a[1], b[1]), max(a[2], b[2])] for a, b in zip(old[::2], old[1::2])]
        self._points_per_bucket *= 2


class Smoother:
    """An exponential moving average that begins without a bias, as W&B and TensorBoard draw it."""

    def __init__(self, weight: float) -> None:
        """Take the weight of what was before, from 0 (nothing changes) to below 1."""
        self._weight = weight
        self._total = 0.0
        self._n = 0

    def add(self, value: float) -> float:
        """Take a value and return the average; what is not finite is handed back and does not count."""
        if not math.isfinite(value):
            return value
        self._n += 1
        self._total = self._total * self._weight + (1 - self._weight) * value
        return self._total / (1 - self._weight**self._n) if self._weight else value
