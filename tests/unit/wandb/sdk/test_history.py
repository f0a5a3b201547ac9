"""Steps, rows and what they leave in the log and in the summary; as wandb 0.31 does it where nothing else is
said."""

from __future__ import annotations

import math

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from log_view import LogView

from wandb.backend.memory import MemoryBackend
from wandb.errors import RunFinishedError, ValidationError
from wandb.sdk.wandb_history import History
from wandb.sdk.wandb_metric import Metrics, parse_definition
from wandb.sdk.wandb_summary import SummaryState


class _Backend(MemoryBackend):
    """A memory backend whose `_write` a test may replace."""


class Recorder:
    """A history over a memory backend."""

    def __init__(self) -> None:
        self.backend = _Backend()
        self.warnings = []
        self.state = SummaryState()
        self.history = History(self.backend, self.state, Metrics(), self.warnings.append, dict)
        self.log = self.history.log

    def define(self, name, overwrite=False, **options) -> None:
        self.history.define(parse_definition(name, **options), overwrite)

    def rows(self):
        self.history.flush()
        return LogView(self.backend.records).rows()

    def summary(self):
        self.history.flush()
        return self.state.tree


@pytest.fixture
def rec() -> Recorder:
    return Recorder()


def test_each_call_without_a_step_is_a_row_with_the_next_step(rec) -> None:
    for loss in (3, 2.5, 2):
        rec.log({"loss": loss})
    assert rec.rows() == [{"loss": 3, "_step": 0}, {"loss": 2.5, "_step": 1}, {"loss": 2, "_step": 2}]


def test_a_row_adds_step_runtime_and_timestamp(rec) -> None:
    rec.log({"loss": 1})
    row = LogView(rec.backend.records).rows(own=True)[0]
    assert list(row) == ["loss", "_step", "_runtime", "_timestamp"]
    assert row["_runtime"] >= 0 and row["_timestamp"] > 1.7e9


def test_calls_of_one_step_make_one_row(rec) -> None:
    rec.log({"a": 1}, step=5)
    rec.log({"b": 2, "a": 3}, step=5)
    rec.log({"c": 4}, step=7)
    assert rec.rows() == [{"a": 3, "b": 2, "_step": 5}, {"c": 4, "_step": 7}]


def test_commit_false_waits_and_the_next_call_ends_the_row(rec) -> None:
    rec.log({"a": 1}, commit=False)
    rec.log({"b": 2})
    rec.log({"c": 3})
    assert rec.rows() == [{"a": 1, "b": 2, "_step": 0}, {"c": 3, "_step": 1}]


def test_a_step_with_commit_ends_the_row(rec) -> None:
    rec.log({"a": 1}, step=5, commit=True)
    rec.log({"b": 2})
    assert rec.rows() == [{"a": 1, "_step": 5}, {"b": 2, "_step": 6}]


def test_a_row_whose_step_goes_back_is_kept_where_only_our_syncer_looks(rec) -> None:
    rec.log({"a": 1}, step=5, commit=True)
    rec.log({"a": 2, "n": {"x": 1}}, step=3)
    rec.log({"a": 3}, step=-1)
    late = [footer.late for footer in LogView(rec.backend.records).of("footer")]
    assert [row.step.num for row in late] == [3, 0]
    keys = {item.key or tuple(item.nested_key): item.value_json for item in late[0].item}
    assert keys["a"] == "2" and keys["_step"] == "3" and keys[("n", "x")] == "1" and "_timestamp" in keys
    assert rec.summary() == {"a": 1}


def test_the_last_step_that_fits_is_refused_for_the_next_row_has_one_too(rec) -> None:
    with pytest.raises(ValidationError):
        rec.log({"a": 1}, step=2**63 - 1)
    rec.log({"a": 1}, step=2**63 - 2)


def test_a_number_that_no_float_holds_makes_the_mean_infinite(rec) -> None:
    rec.define("x", summary="mean")
    for value in (1, 10**400, 2):
        rec.log({"x": value})
    assert rec.summary() == {"x": {"mean": math.inf}} and len(rec.rows()) == 3


@pytest.mark.parametrize("options", [{}, {"commit": True, "step": 3}])
def test_an_interrupt_in_the_midst_of_a_row_leaves_its_step_to_it(rec, options) -> None:
    def interrupted(payload: bytes) -> None:
        written(payload)
        raise KeyboardInterrupt

    rec.log({"a": 1})
    written, rec.backend._write = rec.backend._write, interrupted
    with pytest.raises(KeyboardInterrupt):
        rec.log({"a": 2}, **options)
    del rec.backend._write
    rec.log({"a": 3})
    steps = [row["_step"] for row in rec.rows()]
    assert len(set(steps)) == 3


def test_what_the_run_has_come_to_is_noted_every_64_KiB(rec) -> None:
    for number in range(4000):
        rec.log({f"k{i}": number + i / 7 for i in range(10)})
    sizes = [0]
    for record in rec.backend.records:
        sizes.append(0) if b"\xca\x3e" in record[:16] else sizes.__setitem__(-1, sizes[-1] + len(record))
    states = [footer.state for footer in LogView(rec.backend.records).of("footer")]
    assert 16 <= len(states) <= 32 and all(state.next_step == state.lines.history for state in states)
    assert max(sizes) < 1.5 * 64 * 1024


def test_a_step_that_goes_back_is_dropped_with_a_warning(rec) -> None:
    rec.log({"a": 1}, step=5, commit=True)
    rec.log({"a": 2}, step=5)
    rec.log({"a": 2}, step=-1)
    assert rec.rows() == [{"a": 1, "_step": 5}]
    assert rec.history.late_rows == 2 and "less than the current step 6" in rec.warnings[0]


def test_the_part_of_a_row_that_waits_is_in_the_log_when_log_returns(rec) -> None:
    rec.log({"a": 1}, step=5)
    pending = LogView(rec.backend.records).of("footer")[0].pending
    assert pending.step.num == 5 and [item.key for item in pending.item] == ["_runtime", "_timestamp", "a"]


@pytest.mark.parametrize("step", ["3", 3.7, True, numpy.float64(3), [1]])
def test_a_step_that_is_no_int_is_refused(rec, step) -> None:
    with pytest.raises(ValidationError, match="log: step"):
        rec.log({"a": 1}, step=step)
    assert not rec.backend.records


@pytest.mark.parametrize("step", [2**63, 1 << 20_000, -1 << 20_000], ids=int.bit_length)
def test_a_step_that_no_record_holds_is_refused(rec, step) -> None:
    with pytest.raises(ValidationError, match="log: step"):
        rec.log({"a": 1}, step=step)
    assert not rec.backend.records


def test_an_int_that_python_does_not_print_is_refused_by_name_on_either_way(rec) -> None:
    rec.log({"a": 1, "b": 2})
    for _ in range(2):
        with pytest.raises(ValidationError, match="log: b: an int of 16610 bits"):
            rec.log({"a": 1, "b": 10**5000})
        with pytest.raises(ValidationError, match="log: c: "):
            rec.log({"c": 10**5000})
    assert len(rec.rows()) == 1


def test_a_numpy_int_is_a_step(rec) -> None:
    rec.log({"a": 1}, step=numpy.int64(4))
    assert rec.rows() == [{"a": 1, "_step": 4}]


@pytest.mark.parametrize("data", ["text", None, 3, [("a", 1)]])
def test_what_is_no_dict_is_refused(rec, data) -> None:
    with pytest.raises(TypeError, match="must be passed a dictionary"):
        rec.log(data)


def test_a_bad_value_leaves_nothing_behind(rec) -> None:
    rec.log({"a": 1}, commit=False)
    with pytest.raises(ValidationError, match="log: b"):
        rec.log({"a": 9, "b": object()})
    rec.log({"c": 2})
    assert rec.rows() == [{"a": 1, "c": 2, "_step": 0}]


def test_an_empty_dict_makes_an_empty_row(rec) -> None:
    rec.log({})
    rec.log({})
    assert rec.rows() == [{"_step": 0}, {"_step": 1}]


def test_own_keys_in_the_data_are_handled_as_wandb_does(rec) -> None:
    for _ in range(2):  # the second time could take the short way
        rec.log({"_step": 50, "_timestamp": 5.0, "_runtime": 3.0, "x": 2})
    rows = LogView(rec.backend.records).rows(own=True)
    assert (
        [row["_step"] for row in rows] == [0, 1]
        and rows[1]["_timestamp"] == 5.0
        and rows[1]["_runtime"] != 3.0
    )


def test_the_input_is_not_changed(rec) -> None:
    data = {"a": 1, "b": {"c": (1, 2)}}
    rec.log(data)
    rec.log(data, step=4)
    assert data == {"a": 1, "b": {"c": (1, 2)}}


def test_nested_values_merge_by_their_path_within_a_step(rec) -> None:
    rec.log({"d": {"e": 1}}, step=1)
    rec.log({"d": {"f": 2}}, step=1)
    rec.log({"d": 5}, step=2)
    rec.log({"d": {"g": 1}}, step=2)
    assert rec.rows() == [{"d": {"e": 1, "f": 2}, "_step": 1}, {"d": {"g": 1}, "_step": 2}]


def test_the_summary_is_the_last_value_of_each_key(rec) -> None:
    rec.log({"a": 1, "d": {"e": 1}, "n": None})
    rec.log({"a": 2, "d": {"f": 2}})
    rec.log({"a": None, "s": "text"})
    assert rec.summary() == {"a": 2, "d": {"e": 1, "f": 2}, "s": "text"}


# ---- metric definitions (the values are those of wandb 0.31 for the same program)


def test_aggregates_are_kept_as_wandb_keeps_them(rec) -> None:
    rec.define("a", summary="min,max,mean,last,first")
    rec.define("b", summary="last")
    rec.define("c", summary="none")
    rec.define("d", summary="min")
    rec.define("d", summary="max")
    rec.define("e", summary="min")
    rec.define("e", summary="max", overwrite=True)
    rec.define("*", summary="mean")
    rec.define("hid", hidden=True)
    rec.define("n.x", summary="max")
    for a, z in ((3, 2), (1, 4)):
        rec.log({"a": a, "b": a, "c": a, "d": a, "e": a, "hid": a, "z": z, "n": {"x": a}})
    assert rec.summary() == {
        "a": {"min": 1, "max": 3, "mean": 2, "last": 1, "first": 3},
        "b": {"last": 1},
        "d": {"min": 1, "max": 3},
        "e": {"max": 3},
        "hid": 1,
        "z": {"mean": 3},
        "n": {"x": {"max": 3}},
    }


def test_a_nan_stays_in_the_aggregates_and_text_does_not_enter_them(rec) -> None:
    rec.define("a", summary="min,last")
    for value in (3, float("nan"), 1):
        rec.log({"a": value})
    assert math.isnan(rec.summary()["a"]["min"]) and rec.summary()["a"]["last"] == 1
    rec.define("t", summary="max")
    rec.log({"t": "text"})
    assert "t" not in rec.summary()


@pytest.mark.parametrize("goal, best", [("minimize", 1), ("maximize", 3), (None, 1)])
def test_best_follows_the_goal(rec, goal, best) -> None:
    rec.define("a", summary="best", goal=goal)
    for value in (2, 3, 1):
        rec.log({"a": value})
    assert rec.summary() == {"a": {"best": best}}


def test_a_longer_glob_wins_and_an_exact_name_wins_over_all(rec) -> None:
    rec.define("*", summary="mean")
    rec.define("val/*", summary="max")
    rec.define("val/x")
    rec.log({"val/a": 1, "val/x": 2, "b": 3})
    assert rec.summary() == {"val/a": {"max": 1}, "val/x": 2, "b": {"mean": 3}}


def test_a_row_gets_the_last_value_of_its_step_metric(rec) -> None:
    rec.define("loss", step_metric="epoch")
    rec.define("free", step_metric="other", step_sync=False)
    rec.log({"loss": 1})
    rec.log({"epoch": 7, "other": 1})
    for _ in range(3):
        rec.log({"loss": 2})
    rec.log({"free": 3})
    rec.log({"epoch": 8})
    rec.log({"loss": 3})
    assert [row.get("epoch") for row in rec.rows()] == [None, 7, 7, 7, 7, None, 8, 8]
    assert "other" not in rec.rows()[5]


def test_an_axis_inside_of_a_dict_is_filled_in_where_it_stands(rec) -> None:
    rec.define("loss", step_metric="at.epoch")
    rec.log({"loss": 0})
    rec.log({"at": {"epoch": 7}})
    for _ in range(3):
        rec.log({"loss": 1})
    rec.log({"at.epoch": 8})
    rec.log({"loss": 2})
    found = [row.get("at.epoch", row.get("at", {}).get("epoch")) for row in rec.rows()]
    assert found == [None, 7, 7, 7, 7, 8, 8]


def test_a_user_s_value_ends_the_aggregation_as_in_wandb(rec) -> None:
    rec.define("a", summary="max")
    rec.log({"a": 3})
    rec.state.override("a", 100)
    rec.log({"a": 7})
    assert rec.summary() == {"a": 7}


@pytest.mark.parametrize(
    "options",
    [
        {"name": ""},
        {"name": 3},
        {"name": "*x"},
        {"name": "x", "summary": "foo"},
        {"name": "x", "step_metric": 3},
    ],
)
def test_a_definition_without_meaning_is_refused(options) -> None:
    from wandb.errors import Error

    with pytest.raises(Error, match="define_metric"):
        parse_definition(**options)


# ---- the short way and the long way

VALUES = st.one_of(st.floats(), st.integers(-5, 5), st.booleans(), st.none(), st.text(max_size=3))
KEYS = st.sampled_from(["a", "b", "val/c", "epoch"])
ROWS = st.lists(
    st.dictionaries(KEYS, st.one_of(VALUES, st.dictionaries(KEYS, VALUES, max_size=2))), max_size=12
)
DEFINITIONS = st.lists(
    st.tuples(
        st.sampled_from(["a", "val/*", "*", "epoch"]),
        st.sampled_from([None, "epoch", "b"]),
        st.sampled_from([None, "min", "max,mean", "last", "none", "first"]),
    ),
    max_size=3,
)


class _NoShortWay(dict):
    """A dict that is none to the short way, which wants exactly that type."""


@given(ROWS, DEFINITIONS)
def test_the_short_way_records_what_the_long_way_records(rows, definitions) -> None:
    short, long = Recorder(), Recorder()
    for rec, kind in ((short, dict), (long, _NoShortWay)):
        for name, axis, summary in definitions:
            rec.define(name, step_metric=axis, summary=summary)
        for _ in range(2):
            for row in rows:
                rec.log(kind(row))
    assert repr([sorted(row.items()) for row in short.rows()]) == repr(
        [sorted(row.items()) for row in long.rows()]
    )
    assert repr(_sorted(short.summary())) == repr(_sorted(long.summary()))


def _sorted(tree):
    return sorted((k, _sorted(v)) for k, v in tree.items()) if isinstance(tree, dict) else tree


def test_after_finish_logging_is_refused_and_says_so(mocked_run) -> None:
    mocked_run.log({"a": 1})
    mocked_run.finish()
    with pytest.raises(RunFinishedError, match="is finished. The call to `log` will be ignored"):
        mocked_run.log({"a": 2})
    assert mocked_run.summary["a"] == 1 and mocked_run.step == 1


_NUMBERS = st.integers(-100, 100) | st.floats(-1e6, 1e6) | st.just(math.nan)


@given(
    summary=st.sampled_from(["min", "max,first", "mean,last", "best", "none", "copy", None]),
    rows=st.lists(st.dictionaries(st.sampled_from("abz"), _NUMBERS, min_size=1, max_size=3), max_size=8),
    looks=st.sets(st.integers(0, 7)),
    taken=st.none() | st.integers(0, 7),
)
def test_the_short_way_and_the_long_way_leave_the_same_summary(summary, rows, looks, taken) -> None:
    short, long = Recorder(), Recorder()
    for rec in (short, long):
        rec.define("a", summary=summary)
        rec.define("*", step_metric="z")
    for number, row in enumerate(rows):
        short.log(row)
        long.log({key: numpy.float64(value) for key, value in row.items()})
        if number in looks:
            short.summary()
        if number == taken:
            for rec in (short, long):
                rec.state.override("a", 7)
    assert repr(_floats(short.summary())) == repr(_floats(long.summary()))


def _floats(tree):
    return {k: _floats(v) if isinstance(v, dict) else float(v) for k, v in sorted(tree.items())}
