"""The summary as users touch it."""

from __future__ import annotations

import pytest
from log_view import LogView

from wandb.errors import RunFinishedError, ValidationError


def test_every_change_is_recorded_at_once(mocked_run) -> None:
    summary = mocked_run.summary
    summary["a"] = 1
    summary.b = (1, 2)
    summary.update({"c": {"d": {"e": 1}}}, f="text")
    summary["c"]["d"]["g"] = 2
    summary.c.d.h = 3
    del summary["a"]
    del summary.c.d["e"]
    expected = {"b": [1, 2], "c": {"d": {"g": 2, "h": 3}}, "f": "text"}
    assert (
        LogView(mocked_run._backend.records).summary()
        == expected
        == summary._as_dict()
        == dict(summary.items())
    )


def test_it_reads_like_a_dict(mocked_run) -> None:
    summary = mocked_run.summary
    summary.update({"a": 1, "b": {"c": 2}})
    assert summary["a"] == summary.a == 1 and summary.get("x", 5) == 5 and summary["b"] == {"c": 2}
    assert (
        sorted(summary.keys()) == ["a", "b"] and "a" in summary and "x" not in summary and len(summary) == 2
    )
    with pytest.raises(KeyError):
        summary["x"]
    with pytest.raises(AttributeError):
        summary.x
    with pytest.raises(KeyError):
        del summary["x"]


def test_a_row_replaces_what_the_user_has_set(mocked_run) -> None:
    mocked_run.summary["loss"] = 0.5
    assert mocked_run.summary["loss"] == 0.5
    mocked_run.log({"loss": 0.1})
    assert mocked_run.summary["loss"] == 0.1


def test_a_bad_value_is_refused_with_its_place_and_changes_nothing(mocked_run) -> None:
    with pytest.raises(ValidationError, match=r"summary.c.d\[1\]"):
        mocked_run.summary.update({"a": 1, "c": {"d": [0, object()]}})
    assert len(mocked_run.summary) == 0 and not mocked_run._backend.records


def test_after_finish_it_can_be_read_and_not_changed(mocked_run) -> None:
    mocked_run.log({"a": 1})
    mocked_run.finish()
    assert mocked_run.summary["a"] == 1
    with pytest.raises(RunFinishedError):
        mocked_run.summary["a"] = 2
    assert mocked_run.summary["a"] == 1


def test_the_end_of_a_run_writes_the_whole_summary_for_other_readers(mocked_run) -> None:
    mocked_run.log({"a": 1, "d": {"e": 2}})
    mocked_run.finish()
    summary = LogView(mocked_run._backend.records).summary()
    assert summary["a"] == 1 and summary["d"] == {"e": 2} and summary["_step"] == 0
    assert summary["_wandb"] == {"runtime": 0} and summary["_runtime"] == 0
