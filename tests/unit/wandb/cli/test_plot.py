"""Curves in text: every spike is there, whatever the numbers, and nothing is wider than it was told."""

from __future__ import annotations

import math
from typing import List

from hypothesis import given
from hypothesis import strategies as st

from wandb.cli.plot import MAX_BUCKETS, Curve, draw

ANY_FLOATS = st.lists(st.floats(), max_size=200)


def curve_of(values: List[float]) -> Curve:
    curve = Curve()
    for x, y in enumerate(values):
        curve.add(float(x), y)
    return curve


@given(ANY_FLOATS, st.integers(20, 120), st.integers(2, 12), st.booleans())
def test_any_numbers_are_drawn_within_the_columns(
    values: List[float], columns: int, height: int, braille: bool
) -> None:
    lines = draw("loss", curve_of(values), columns, height, braille)
    finite = [value for value in values if math.isfinite(value)]
    assert len(lines) == (height + 2 if finite else 1)
    assert all(len(line) <= columns for line in lines[1:])


@given(st.integers(0, 9_999), st.booleans())
def test_one_spike_among_many_points_reaches_the_top(at: int, braille: bool) -> None:
    values = [0.0] * 10_000
    values[at] = 1.0
    lines = draw("spike", curve_of(values), 60, 5, braille)
    top, bottom = lines[1], lines[5]
    assert top.startswith("1") and len(top) > 2
    assert len(bottom.strip()) > 50


def test_a_rising_line_rises() -> None:
    lines = draw("up", curve_of([float(x) for x in range(100)]), 30, 4, braille=False)
    starts = [len(line) - len(line[3:].lstrip()) for line in lines[1:5]]
    assert starts == sorted(starts, reverse=True) and starts[0] > starts[-1]
    assert lines[-1].split() == ["0", "99"]


def test_memory_does_not_depend_on_the_number_of_points() -> None:
    curve = curve_of([math.sin(x / 1000) for x in range(20_000)])
    assert len(curve.buckets) <= MAX_BUCKETS
    assert curve.described()["n_points"] == 20_000
    assert curve.described()["last_step"] == 19_999


def test_what_is_not_finite_is_counted_not_drawn() -> None:
    curve = curve_of([1.0, math.nan, math.inf, 2.0])
    assert draw("loss", curve, 40, 3, braille=True)[0] == "loss  (2 points, 2 not finite, last 2)"
    assert curve.described()["max"] == 2.0
    assert draw("loss", curve_of([math.nan]), 40, 3, braille=True) == [
        "loss  (0 points, 1 not finite, last nan)"
    ]


def test_a_constant_is_a_line_in_the_middle() -> None:
    lines = draw("flat", curve_of([3.0] * 50), 30, 5, braille=False)
    assert [index for index, line in enumerate(lines) if "*" in line] == [3]
