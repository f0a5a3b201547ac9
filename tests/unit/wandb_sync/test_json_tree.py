"""Trees of JSON texts."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wandb.proto import record_pb2 as pb
from wandb_sync import json_tree


@pytest.mark.parametrize(
    "given_text, tidy",
    [
        ("3", "3"),
        ("3.0", "3"),
        ("-0.0", "0"),
        ("0.5", "0.5"),
        ("1e-07", "1e-07"),
        ("123.0000", "123"),
        ("9223372036854775807", "9223372036854775807"),
        ("9223372036854775808", "9.223372036854776e+18"),
        ("NaN", "NaN"),
        ("-Infinity", "-Infinity"),
        ("null", "null"),
        ("true", "true"),
        ('"1.0"', '"1.0"'),
        ("[1.0, {}]", "[1,{}]"),
        ("{}", None),
        ('{"a": {}}', None),
        ("", None),
        ("nonsense", None),
        ("01", None),
        ("1,2", None),
        ("1_000", None),
    ],
)
def test_a_text_is_brought_into_the_servers_form(given_text: str, tidy: object) -> None:
    assert json_tree.tidy(given_text) == tidy


def test_a_dict_becomes_a_tree_without_its_empty_parts() -> None:
    assert json_tree.tidy('{"a": {"b": 1.0, "c": {}}, "d": "x"}') == {"a": {"b": "1"}, "d": '"x"'}


def test_where_nothing_may_vanish_empty_dicts_stay() -> None:
    assert json_tree.tidy('{"a": {}}', keep_empty=True) == {"a": {}}


def test_a_leaf_gives_way_to_a_tree_and_a_tree_to_a_leaf() -> None:
    tree: json_tree.Tree = {}
    json_tree.put(tree, ("a",), "1")
    json_tree.put(tree, ("a", "b"), "2")
    assert tree == {"a": {"b": "2"}}
    json_tree.put(tree, ("a",), "3")
    assert tree == {"a": "3"}


def test_removing_the_last_leaf_removes_what_held_it() -> None:
    tree: json_tree.Tree = {"a": {"b": {"c": "1"}}, "d": "2"}
    json_tree.remove(tree, ("a", "b", "c"))
    json_tree.remove(tree, ("no", "such", "thing"))
    assert tree == {"d": "2"}


def test_items_by_key_and_by_path_make_the_same_tree() -> None:
    record = pb.HistoryRecord()
    record.item.add(key="a", value_json="1.0")
    record.item.add(nested_key=["b"], value_json="2")
    record.item.add(nested_key=["c", "d"], value_json="3")
    record.item.add(key="e", value_json='{"f": 4}')
    record.item.add(key="g", integer=-5)
    assert json.loads(json_tree.text_of(json_tree.row_tree(record.item))) == {
        "a": 1,
        "b": 2,
        "c": {"d": 3},
        "e": {"f": 4},
        "g": -5,
    }


_SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
_VALUES = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)


@given(st.dictionaries(st.text(), _VALUES, max_size=5))
def test_text_and_tree_say_the_same(value: dict) -> None:
    tree = json_tree.tree_of(value, keep_empty=True)
    assert _same(json.loads(json_tree.text_of(tree)), value)


def _same(found: object, wanted: object) -> bool:
    if isinstance(wanted, dict):
        return (
            isinstance(found, dict)
            and set(found) == set(wanted)
            and all(_same(found[k], wanted[k]) for k in wanted)
        )
    if isinstance(wanted, list):
        return isinstance(found, list) and len(found) == len(wanted) and all(map(_same, found, wanted))
    if isinstance(wanted, float) and math.isnan(wanted):
        return isinstance(found, float) and math.isnan(found)
    if isinstance(wanted, int) and not isinstance(wanted, bool) and abs(wanted) >= 2**63:
        try:
            return found == float(wanted)
        except OverflowError:
            return found in (math.inf, -math.inf)
    return found == wanted and isinstance(found, bool) == isinstance(wanted, bool)
