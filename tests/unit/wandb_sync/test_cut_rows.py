"""Rows that are cut out of their bytes are the rows that protobuf and JSON would have given."""

from __future__ import annotations

import json
from typing import Any, Dict, List, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wandb.interface.records import numbered
from wandb.interface.rows import RowEncoder
from wandb.proto import record_pb2 as pb
from wandb_sync.json_tree import row_tree, text_of
from wandb_sync.rows import LEARN_AFTER, Cut, Cutter


def record(row: Dict[str, str], number: int = 7, step: Optional[int] = 3) -> bytes:
    message = pb.Record(num=number)
    for key, text in row.items():
        message.history.item.add(key=key, value_json=text)
    if step is not None:
        message.history.step.num = step
    return message.SerializeToString()


def taught(row: Dict[str, str]) -> Cutter:
    cutter = Cutter()
    for _ in range(LEARN_AFTER):
        cutter.learn(row)
    return cutter


def the_long_way(payload: bytes) -> Dict[str, Any]:
    return row_tree(pb.Record.FromString(payload).history.item)


def assert_same(cut: Optional[Cut], payload: bytes) -> None:
    assert cut is not None
    row = the_long_way(payload)
    assert cut.row == row
    assert json.loads(cut.line) == text_of(row)


def test_a_row_of_a_known_layout_is_cut() -> None:
    payload = record({"loss": "0.25", "_step": "3", "name": '"a b"'})
    assert_same(taught(the_long_way(payload)).cut(payload), payload)


def test_a_row_is_learned_only_when_it_comes_again() -> None:
    payload = record({"loss": "0.25", "_step": "3"})
    cutter = Cutter()
    for _ in range(LEARN_AFTER - 1):
        cutter.learn(the_long_way(payload))
    assert cutter.cut(payload) is None


def test_rows_of_several_layouts_are_told_apart() -> None:
    first, second = record({"a": "1", "_step": "3"}), record({"b": "1", "_step": "3"})
    cutter = taught(the_long_way(first))
    for _ in range(LEARN_AFTER):
        cutter.learn(the_long_way(second))
    for payload in (first, second, first, first, second):
        assert_same(cutter.cut(payload), payload)


@pytest.mark.parametrize(
    "text",
    [
        "3.0",
        "-0.0",
        "null",
        "true",
        "NaN",
        "1234567890123456789",
        '"q\\n"',
        '"é"',
        "[1]",
        '{"a":1}',
        "",
        "x",
        "1.2.3.0",
    ],
)
def test_a_value_that_needs_a_closer_look_takes_the_long_way(text: str) -> None:
    cutter = taught({"a": "1", "_step": "3"})
    assert cutter.cut(record({"a": text, "_step": "3"})) is None


def test_a_row_with_other_fields_takes_the_long_way() -> None:
    cutter = taught({"a": "1", "_step": "3"})
    message = pb.Record.FromString(record({"a": "1", "_step": "3"}))
    message.uuid = "x"
    assert cutter.cut(message.SerializeToString()) is None
    nested = pb.Record()
    nested.history.item.add(nested_key=["a"], value_json="1")
    nested.history.item.add(key="_step", value_json="3")
    assert cutter.cut(nested.SerializeToString()) is None


def test_a_text_that_swallows_the_step_is_not_mistaken_for_a_number() -> None:
    cutter = taught({"_step": "3"})
    assert cutter.cut(record({"_step": "3\x12\x02\x08\x05"}, step=None)) is None


def test_a_row_without_step_is_never_cut() -> None:
    payload = record({"a": "1"})
    assert taught(the_long_way(payload)).cut(payload) is None


_KEYS = st.text(min_size=1, max_size=20)
_NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**17), 10**17)
_TEXTS = st.text(max_size=20)


@given(
    st.dictionaries(_KEYS, _NUMBERS | _TEXTS | st.none() | st.booleans(), max_size=8),
    st.lists(_NUMBERS | _TEXTS, min_size=8, max_size=8),
    st.integers(0, 2**40),
    st.integers(0, 2**40),
)
def test_whatever_is_cut_is_what_the_long_way_gives(
    first: Dict[str, Any], others: List[Any], number: int, step: int
) -> None:
    rows = [first, {key: other for key, other in zip(first, others)}]
    payloads = [
        record(
            {**{k: json.dumps(v) for k, v in row.items() if k != "_step"}, "_step": str(step)}, number, step
        )
        for row in rows
    ]
    cutter = taught(the_long_way(payloads[0]))
    for payload in payloads:
        cut = cutter.cut(payload)
        if cut is not None:
            assert_same(cut, payload)


@given(st.lists(_NUMBERS, min_size=3, max_size=3), st.integers(1, 2**40))
def test_rows_as_the_sdk_writes_them_are_cut(values: List[Any], step: int) -> None:
    encoder = RowEncoder()
    keys = ("loss", "val/acc", "é", "_step", "_runtime", "_timestamp")
    payload = numbered(step, encoder.fast_row(encoder.layout(keys), (*values, step, 1.5, 1.7e9 + 0.25), step))
    cut = taught(dict.fromkeys(keys, "1")).cut(payload)
    if cut is None:
        assert any(float(value) == int(value) or "e" in repr(value) for value in values)
    else:
        assert_same(cut, payload)
