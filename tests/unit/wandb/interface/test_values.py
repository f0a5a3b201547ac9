"""What a user may log, and what becomes of it; the expected values are what wandb 0.31 stores."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import pathlib
import re

import numpy
import pytest

from wandb.errors import ValidationError
from wandb.interface.values import CONFIG, SUMMARY, flatten, histogram, json_text, plain


class Color(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


@dataclasses.dataclass
class Point:
    x: int
    y: float


class Whole(int):
    pass


def _function() -> None:
    pass


@pytest.mark.parametrize(
    "value, expected",
    [
        (None, None),
        (True, True),
        (2**70, 2**70),
        (10**4299, 10**4299),
        (1.5, 1.5),
        ("text", "text"),
        ((1, 2), [1, 2]),
        ({3}, [3]),
        (range(3), [0, 1, 2]),
        (iter([1, 2]), [1, 2]),
        ([], []),
        (b"ab", "ab"),
        (1 + 2j, "1+2j"),
        (decimal.Decimal("1.5"), "1.5"),
        (re.compile("a|b"), "re.compile('a|b')"),
        (pathlib.PurePosixPath("/a"), "/a"),
        (datetime.datetime(2020, 1, 2), "2020-01-02T00:00:00"),
        (datetime.date(2020, 1, 2), "2020-01-02"),
        (int, "builtins.int"),
        (Color.RED, "red"),
        (Level.LOW, 1),
        (Point(1, 2.5), {"x": 1, "y": 2.5}),
        ({1: 2, (1, 2): 3, None: 4}, {"1": 2, "1,2": 3, "None": 4}),
        (list(range(100)), list(range(100))),
        (numpy.float32(0.5), 0.5),
        (numpy.float64(0.1), 0.1),
        (numpy.float16(1.5), 1.5),
        (numpy.int64(7), 7),
        (numpy.bool_(True), True),
        (numpy.str_("s"), "s"),
        (numpy.datetime64("2020-01-01"), "2020-01-01"),
        (numpy.array(3.5), 3.5),
        (numpy.arange(3), [0, 1, 2]),
        (numpy.arange(6).reshape(2, 3), [[0, 1, 2], [3, 4, 5]]),
        ({"a": [{"b": numpy.float32(1)}]}, {"a": [{"b": 1.0}]}),
    ],
)
def test_a_value_is_stored_as_wandb_stores_it(value, expected) -> None:
    got = plain(value, "log: x")
    assert got == expected and type(got) is type(expected)


def test_a_function_is_stored_by_its_name() -> None:
    assert plain(_function, "x").endswith("._function") and plain(lambda: 0, "x").endswith(".<lambda>")


def test_a_long_array_becomes_a_histogram_of_32_bins_without_its_nans() -> None:
    array = numpy.arange(100.0)
    array[3] = numpy.nan
    got = plain(array, "x")
    assert got["_type"] == "histogram" and len(got["values"]) == 32 and sum(got["values"]) == 99
    assert len(got["bins"]) == 33 and got == histogram(array)


def test_a_long_array_in_the_config_is_kept_as_text() -> None:
    assert plain(numpy.arange(100), "config.x", home=CONFIG).startswith("[ 0  1  2")


def test_a_long_array_in_the_summary_becomes_its_statistics() -> None:
    got = plain({"a": numpy.arange(40)}, "summary", home=SUMMARY)["a"]
    assert got["_type"] == "numpy.ndarray" and got["size"] == 40 and got["max"] == 39 and got["mean"] == 19.5
    assert got["10%"] == pytest.approx(3.9) and set(got) >= {"var", "min", "25%", "75%", "90%"}


@pytest.mark.parametrize(
    "duration, text",
    [
        (datetime.timedelta(0), "PT0S"),
        (datetime.timedelta(hours=1, minutes=2, seconds=3.5), "PT1H2M3.5S"),
        (datetime.timedelta(days=400, microseconds=5), "P1Y35DT0.000005S"),
        (-datetime.timedelta(hours=30), "-P1DT6H"),
    ],
)
def test_a_duration_is_iso_8601_in_a_row_and_prints_in_the_config(duration, text: str) -> None:
    assert plain([duration], "x") == [text]
    assert plain(duration, "config.x", home=CONFIG) == str(duration)


def test_an_enum_is_its_value_in_a_row_and_its_name_elsewhere() -> None:
    assert plain([Color.RED, Level.LOW], "x") == ["red", 1]
    assert plain([Color.RED, Level.LOW], "config.x", home=CONFIG) == ["RED", "LOW"]
    assert plain(Level.LOW, "summary.x", home=SUMMARY) == "LOW"


def test_a_class_is_stored_by_its_name_also_if_it_is_one_of_mappings() -> None:
    assert plain({"kind": dict}, "x") == {"kind": "builtins.dict"}


def test_a_deque_is_a_list() -> None:
    assert plain(collections.deque([1, {"a": 2}]), "x") == [1, {"a": 2}]


def test_an_array_of_one_element_is_that_element_and_in_the_config_its_text() -> None:
    assert plain(numpy.array([[1.5]]), "x") == 1.5 and plain(numpy.array(["a"]), "x") == "a"
    assert plain([numpy.array([2]), numpy.float32(2)], "config.x", home=CONFIG) == ["2", 2.0]


@pytest.mark.parametrize(
    "value, path",
    [
        (object(), "config.model"),
        ({"layers": [1, 2, 3, object()]}, "config.model.layers[3]"),
        ({object(): 1}, "config.model"),
        pytest.param(10**5000, "config.model", id="huge"),
        ([-(10**5000)], "config.model[0]"),
        ({10**5000: 1}, "config.model"),
        pytest.param(Whole(10**5000), "config.model", id="huge too"),
        (numpy.array(["a"] * 40), "config.model"),
    ],
)
def test_what_cannot_be_stored_is_named_with_its_place(value, path) -> None:
    with pytest.raises(ValidationError) as caught:
        plain(value, "config.model")
    assert caught.value.path == path and str(caught.value).startswith(path + ": ")
    assert isinstance(caught.value, TypeError)


def test_a_value_that_contains_itself_is_refused() -> None:
    loop: list = []
    loop.append(loop)
    with pytest.raises(ValidationError, match="contain itself"):
        plain(loop, "x")


def test_the_input_is_not_changed() -> None:
    data = {"a": [1, {"b": (1, 2)}]}
    plain(data, "x")
    assert data == {"a": [1, {"b": (1, 2)}]}


def test_dicts_are_walked_into_and_empty_ones_vanish() -> None:
    assert dict(flatten({"a": 1, "b": {"c": {"d": 2}, "e": {}}, "f": [{}]})) == {
        "a": 1,
        ("b", "c", "d"): 2,
        "f": [{}],
    }


def test_json_has_bare_words_for_nan_and_the_infinities() -> None:
    assert json_text([float("nan"), float("inf"), -float("inf")]) == "[NaN,Infinity,-Infinity]"
    assert json_text("\ud800é") == '"\\ud800\\u00e9"'
