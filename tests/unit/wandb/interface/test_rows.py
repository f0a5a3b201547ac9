"""Rows are written the same by the short way, by the long way, and by the general encoder."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wandb.errors import ValidationError
from wandb.interface.records import numbered
from wandb.interface.rows import MAX_CACHED_KEYS, RowEncoder, plain_row
from wandb.proto import record_pb2

NUMBERS = st.one_of(st.floats(), st.integers(-(2**80), 2**80))
KEYS = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=20)


def _parsed(body: bytes):
    record = record_pb2.Record()
    record.ParseFromString(numbered(1, body))
    return record.history


@given(st.dictionaries(KEYS, NUMBERS, max_size=20), st.integers(0, 2**63 - 1))
def test_the_short_way_writes_the_bytes_of_the_long_way(row, step) -> None:
    encoder = RowEncoder()
    short = encoder.fast_row(encoder.layout(tuple(row)), list(row.values()), step)
    assert short == RowEncoder().row(row, step)


@given(st.dictionaries(KEYS, NUMBERS, max_size=20), st.integers(0, 2**63 - 1))
def test_a_row_reads_back_as_it_was_logged(row, step) -> None:
    encoder = RowEncoder()
    history = _parsed(encoder.fast_row(encoder.layout(tuple(row)), list(row.values()), step))
    assert history.step.num == step and history.HasField("step")
    got = {item.key: json.loads(item.value_json) for item in history.item}
    assert list(got) == list(row)
    for key, value in row.items():
        same = math.isnan(got[key]) if value != value else got[key] == value
        assert same and type(got[key]) is type(value)


def test_a_path_is_written_as_nested_keys() -> None:
    history = _parsed(RowEncoder().row({("a", "b"): 1, "c": "text"}, 3))
    assert list(history.item[0].nested_key) == ["a", "b"] and history.item[1].value_json == '"text"'


def test_texts_longer_than_what_is_cached_are_written_whole() -> None:
    text = "é" * 5000
    history = _parsed(RowEncoder().row({"t": text}, 0))
    assert json.loads(history.item[0].value_json) == text


def test_a_part_of_a_row_is_kept_in_a_footer_that_other_readers_skip() -> None:
    record = record_pb2.Record()
    record.ParseFromString(numbered(1, RowEncoder().pending({"loss": 0.5}, 7)))
    assert record.WhichOneof("record_type") == "footer"
    assert record.footer.pending.step.num == 7 and record.footer.pending.item[0].key == "loss"


@pytest.mark.parametrize(
    "data, path",
    [
        ({3: 1}, "log: 3"),
        ({"": 1}, "log: ''"),
        ({"a": {"b": object()}}, "log: a.b"),
        ({"\ud800": 1}, "log: \\ud800"),
        ({"k": {"é\ud800": 1}}, "log: k.\\xe9\\ud800"),
        ({"k": {"a": {("b", "\udfff"): 1}}}, "log: k.a.b,\\udfff"),
    ],
)
def test_what_is_no_row_is_refused_by_name(data, path) -> None:
    with pytest.raises(ValidationError) as caught:
        plain_row(data)
    assert caught.value.path == path


@pytest.mark.parametrize("value", [1.5, "text"])
def test_ever_new_keys_do_not_grow_the_encoder_without_end(value) -> None:
    encoder = RowEncoder()
    for number in range(MAX_CACHED_KEYS + 1000):
        if value == "text":
            encoder.row({f"key{number}": value}, number)
        else:
            encoder.fast_row(encoder.layout((f"key{number}",)), [value], number)
    assert len(encoder._heads) <= MAX_CACHED_KEYS


def test_a_layout_that_the_caller_has_kept_stays_good_when_the_encoder_forgets() -> None:
    encoder = RowEncoder()
    layout = encoder.layout(("loss",))
    for number in range(MAX_CACHED_KEYS):
        encoder.layout((f"key{number}",))
    assert encoder.fast_row(layout, [0.5], 3) == RowEncoder().row({"loss": 0.5}, 3)
