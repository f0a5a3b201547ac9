"""The syncer's summary of our logs is the summary that the SDK shows."""

from __future__ import annotations

import json
import math
from typing import Any, Dict, List

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wandb.interface.values import flatten
from wandb.proto import record_pb2 as pb
from wandb.sdk.wandb_metric import Metrics as SdkMetrics
from wandb.sdk.wandb_metric import parse_definition
from wandb.sdk.wandb_summary import SummaryState
from wandb_sync.json_tree import row_tree, text_of
from wandb_sync.metrics import Metrics
from wandb_sync.summary import Summary

KINDS = ("min", "max", "mean", "best", "last", "none", "copy", "first")


def metric_record(name: str, summary: str, goal: str) -> pb.MetricRecord:
    metric = parse_definition(name, summary=summary, goal=goal or None)
    fields = metric.record_fields(overwrite=False)
    return pb.MetricRecord(
        **{k: v for k, v in fields.items() if k in ("name", "glob_name", "goal")},
        options=pb.MetricOptions(defined=True),
        summary=pb.MetricSummary(**fields["summary"]) if "summary" in fields else None,
    )


def row_record(row: Dict[str, Any]) -> pb.HistoryRecord:
    record = pb.HistoryRecord()
    for path, value in flatten(row):
        nested = (path,) if isinstance(path, str) else path
        record.item.add(nested_key=nested, value_json=json.dumps(value))
    return record


def ours(definitions: List[tuple], rows: List[Dict[str, Any]]) -> Dict[str, Any]:
    metrics, summary = Metrics(), Summary()
    for definition in definitions:
        record = metric_record(*definition)
        metrics.add(record)
        summary.redefine(record)
    for i, row in enumerate(rows):
        if i == len(rows) // 2:
            summary = Summary.restore(json.loads(json.dumps(summary.state())))
            metrics = Metrics.restore(metrics.state())
        summary.fold(row_tree(row_record(row).item), metrics)
    return dict(json.loads(summary.text()))


def theirs(definitions: List[tuple], rows: List[Dict[str, Any]]) -> Dict[str, Any]:
    metrics, state = SdkMetrics(), SummaryState()
    for name, kinds, goal in definitions:
        metrics.add(parse_definition(name, summary=kinds, goal=goal or None), False)
    for row in rows:
        for path, value in flatten(row):
            state.fold(path, value)
            key = path if isinstance(path, str) else ".".join(path)
            metric = metrics.of(key)
            if metric is not None and metric.summary:
                state.aggregate(key, path, metric, value)
    return _without_empty(state.tree)


def _without_empty(tree: Dict[str, Any]) -> Dict[str, Any]:
    found = {}
    for key, value in tree.items():
        value = _without_empty(value) if isinstance(value, dict) else value
        if value != {}:
            found[key] = value
    return found


def same(a: Any, b: Any) -> bool:
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, float) and isinstance(b, float) and math.isnan(a):
        return math.isnan(b)
    return bool(a == b)


_NAMES = st.sampled_from(("a", "b", "v/x", "v/y", "v*", "v/*", "d.e"))
_DEFINITIONS = st.lists(
    st.tuples(
        _NAMES,
        st.sets(st.sampled_from(KINDS), max_size=3).map(",".join),
        st.sampled_from(("", "minimize", "maximize")),
    ),
    max_size=4,
)
_NUMBERS = st.integers(-1000, 1000) | st.floats(-1e6, 1e6) | st.sampled_from((math.nan, math.inf, -math.inf))
_INT64 = st.integers(-(2**63), 2**63 - 1)  # larger ones become floats on their way to the server
_VALUES = _NUMBERS | st.text(max_size=3) | st.none() | st.booleans() | st.lists(_INT64, max_size=2)
_ROWS = st.lists(
    st.dictionaries(st.sampled_from(("a", "b", "v/x", "v/y", "c", "_timestamp")), _VALUES, max_size=4)
    | st.fixed_dictionaries({"d": st.fixed_dictionaries({"e": _VALUES, "f": _VALUES})}),
    max_size=6,
)


@given(_DEFINITIONS, _ROWS)
@settings(max_examples=300, deadline=None)
def test_rows_make_the_summary_that_the_sdk_makes(
    definitions: List[tuple], rows: List[Dict[str, Any]]
) -> None:
    found, wanted = ours(definitions, rows), theirs(definitions, rows)
    assert same(found, wanted), (found, wanted)


def test_without_definitions_the_last_value_counts_and_none_never_enters() -> None:
    rows = [{"a": 1, "b": 2}, {"a": None, "b": 3}, {"c": {"d": None, "e": 1}}]
    assert ours([], rows) == {"a": 1, "b": 3, "c": {"e": 1}}


def test_a_record_of_the_user_ends_the_shaping_of_a_metric() -> None:
    metrics, summary = Metrics(), Summary()
    metrics.add(metric_record("a", "min", ""))
    summary.fold({"a": "1"}, metrics)
    record = pb.SummaryRecord()
    record.update.add(key="a", value_json="7")
    summary.apply(record)
    assert json.loads(summary.text()) == {"a": 7}
    summary.fold({"a": "9"}, metrics)
    assert json.loads(summary.text()) == {"a": 9}


def test_a_record_of_the_recorder_does_not() -> None:
    metrics, summary = Metrics(), Summary()
    metrics.add(metric_record("a", "min", ""))
    summary.fold({"a": "1"}, metrics)
    record = pb.SummaryRecord()
    record.update.add(key="a", value_json='{"min": 1}')
    record.update.add(key="_step", value_json="0")
    summary.apply(record)
    summary.fold({"a": "9"}, metrics)
    assert json.loads(summary.text()) == {"a": {"min": 1}, "_step": 0}


@pytest.mark.parametrize(
    "items, wanted",
    [
        ([("k", '{"a": 1}'), ("k", '{"b": 2}')], {"k": {"b": 2}}),
        ([("k", "null")], {}),
        ([("k", "{}")], {"k": {}}),
        ([("k", "3.0")], {"k": 3}),
        ([("k", "no json")], {}),
    ],
)
def test_summary_records_are_applied_as_wandb_does(items: list, wanted: Dict[str, Any]) -> None:
    record = pb.SummaryRecord()
    for key, text in items:
        record.update.add(key=key, value_json=text)
    summary = Summary()
    summary.apply(record)
    assert json.loads(text_of(summary.tree)) == wanted


DEFINITIONS = st.tuples(
    st.sampled_from(["v/*", "v/x", "v/y*", "v/y1", "*"]),
    st.sampled_from([*KINDS, "min,last", ""]),
    st.booleans(),
)
NUMBERS = st.dictionaries(st.sampled_from(["v/x", "v/y1", "w"]), st.integers(-5, 5), min_size=1)


@settings(max_examples=200, deadline=None)
@given(events=st.lists(st.one_of(DEFINITIONS, NUMBERS, st.sampled_from(["v/x", "w"])), max_size=12))
def test_definitions_between_rows_mean_the_same_to_the_sdk_and_the_syncer(events: list) -> None:
    metrics, summary = Metrics(), Summary()
    sdk_metrics, state = SdkMetrics(), SummaryState()
    for event in events:
        if isinstance(event, tuple):
            name, kinds, overwrite = event
            record = metric_record(name, kinds, "")
            record._control.overwrite = overwrite
            metrics.add(record)
            summary.redefine(record)
            sdk_metrics.add(parse_definition(name, summary=kinds), overwrite)
            state.redefine(name)
        elif isinstance(event, str):
            set_by_user = pb.SummaryRecord()
            set_by_user.update.add(key=event, value_json="100")
            summary.apply(set_by_user)
            state.override(event, 100)
        else:
            summary.fold(row_tree(row_record(event).item), metrics)
            for key, value in event.items():
                state.fold(key, value)
                metric = sdk_metrics.of(key)
                if metric is not None and metric.summary:
                    state.aggregate(key, key, metric, value)
        metrics = Metrics.restore(metrics.state())
        summary = Summary.restore(json.loads(json.dumps(summary.state())))
    assert json.loads(summary.text()) == state.tree


def test_a_later_definition_counts_all_values_since_the_first() -> None:
    metrics, summary = Metrics(), Summary()
    metrics.add(metric_record("x", "max", ""))
    summary.fold({"x": "5"}, metrics)
    metrics.add(metric_record("x", "min,first", ""))
    summary.fold({"x": "3"}, metrics)
    assert json.loads(summary.text()) == {"x": {"min": 3, "max": 5, "first": 5}}


def test_a_glob_does_not_change_what_an_earlier_glob_said_of_a_logged_name() -> None:
    metrics, summary = Metrics(), Summary()
    metrics.add(metric_record("v/*", "max", ""))
    summary.fold({"v/x": "5"}, metrics)
    metrics.add(metric_record("v/*", "min", ""))
    summary.fold({"v/x": "3", "v/y": "3"}, metrics)
    assert json.loads(summary.text()) == {"v/x": {"max": 5}, "v/y": {"min": 3, "max": 3}}
