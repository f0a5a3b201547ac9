"""Curves in text: every spike is there, whatever the numbers, and nothing is wider than it was told."""

from __future__ import annotations

import math
import re
from typing import List

from hypothesis import example, given
from hypothesis import strategies as st

from wandb.cli.drawing import Style, draw
from wandb_sync.curves import MAX_BUCKETS, Curve, Smoother


def picture(title: str, curve: Curve, columns: int, height: int, braille: bool) -> List[str]:
    return draw(title, [(title, curve)], Style(columns, height, braille))


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
    lines = picture("loss", curve_of(values), columns, height, braille)
    finite = [value for value in values if math.isfinite(value)]
    assert len(lines) == (height + 2 if finite else 1)
    assert all(len(line) <= columns for line in lines[1:])


@given(st.integers(0, 9_999), st.booleans())
def test_one_spike_among_many_points_reaches_the_top(at: int, braille: bool) -> None:
    values = [0.0] * 10_000
    values[at] = 1.0
    lines = picture("spike", curve_of(values), 60, 5, braille)
    top, bottom = lines[1], lines[5]
    assert top.startswith("1") and len(top) > 2
    assert len(bottom.strip()) > 50


def test_a_rising_line_rises() -> None:
    lines = picture("up", curve_of([float(x) for x in range(100)]), 30, 4, braille=False)
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
    assert picture("loss", curve, 40, 3, braille=True)[0] == "loss  (2 points, 2 not finite, last 2)"
    assert curve.described()["max"] == 2.0
    assert picture("loss", curve_of([math.nan]), 40, 3, braille=True) == [
        "loss  (0 points, 1 not finite, last nan)"
    ]


def test_a_constant_is_a_line_in_the_middle() -> None:
    lines = picture("flat", curve_of([3.0] * 50), 30, 5, braille=False)
    assert [index for index, line in enumerate(lines) if "*" in line] == [3]


@given(st.lists(ANY_FLOATS, min_size=2, max_size=4), st.booleans(), st.booleans(), st.booleans())
@example([[0.0], [5e-324]], False, False, False)
def test_several_curves_share_a_picture(
    several: List[List[float]], braille: bool, colors: bool, log_y: bool
) -> None:
    curves = [(f"run{i}", curve_of(values)) for i, values in enumerate(several)]
    lines = draw("loss", curves, Style(60, 5, braille, colors, log_y))
    drawn = [
        value for values in several for value in values if math.isfinite(value) and (value > 0 or not log_y)
    ]
    assert lines[0] == "loss" and all(f"run{i}" in lines[1 + i] for i in range(len(several)))
    assert len(lines) == 1 + len(several) + (6 if drawn else 0)
    plain = [re.sub(r"\x1b\[[0-9]*m", "", line) for line in lines]
    assert all(len(line) <= 60 for line in plain[1 + len(several) :])
    assert colors or lines == plain


def test_curves_are_told_apart_by_colours_or_else_by_marks() -> None:
    curves = [("a", curve_of([0.0] * 9)), ("b", curve_of([1.0] * 9))]
    marks = draw("t", curves, Style(40, 4))
    assert "o" in marks[3] and "*" in marks[6] and "o" in marks[2]
    colors = draw("t", curves, Style(40, 4, colors=True))
    assert "\x1b[33m" in colors[3] and "\x1b[36m" in colors[6] and "\u2800" < colors[3][-5] <= "\u28ff"


def test_a_logarithmic_axis_leaves_out_what_is_not_positive() -> None:
    lines = draw("t", [("t", curve_of([-1.0, 0.0, 1.0, 10.0, 100.0]))], Style(40, 5, False, log_y=True))
    assert lines[1].startswith("100|") and lines[5].startswith("  1|") and "10" not in lines[3][:3]
    assert "*" in lines[3]  # ten is in the middle between one and a hundred
    nothing = draw("t", [("t", curve_of([-1.0]))], Style(40, 5, False, log_y=True))
    assert nothing == ["t  (1 points, nothing above 0, last -1)"]


def test_smoothing_begins_without_a_bias_and_passes_over_nan() -> None:
    smoother = Smoother(0.9)
    assert smoother.add(5.0) == 5.0 and math.isnan(smoother.add(math.nan))
    assert smoother.add(5.0) == 5.0 and 5.0 < smoother.add(6.0) < 5.5
    assert [Smoother(0.0).add(value) for value in (1.0, 2.0)] == [1.0, 2.0]
