"""A script leaves the same run on the server, whoever records it and whoever uploads it.

The paths are A to F of five_paths.py; what may differ stands in end_state.py and nowhere else.
"""

from __future__ import annotations

import os
from typing import Any, Dict, Iterator, List, Set

import pytest
from fixtures_server import ServerProcess
from interop.end_state import DIFFERENCES, PAIRS, Difference, compare, readable
from interop.five_paths import ONLY_OURS, FivePaths, script_names

from wandb.proto import record_pb2
from wandb.transaction_log.reader import read_records

pytestmark = pytest.mark.interop

KILLED = "killed"
N_ROWS_BEFORE_THE_KILL = 500
CASES = [
    (script, pair)
    for script in script_names()
    for pair in PAIRS
    # The real client keeps rows in the memory of two processes: how many a kill leaves is chance.
    if script not in ONLY_OURS and not (script == KILLED and pair not in ("BC", "DE"))
]


@pytest.fixture(scope="module")
def five_paths(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FivePaths]:
    """All scripts, recorded and uploaded by all paths."""
    real_python = os.environ.get("WANDB_NG_REAL_PYTHON")
    assert (
        real_python
    ), "WANDB_NG_REAL_PYTHON must be the interpreter of the real wandb 0.31.0 (tox -e interop)"
    server = ServerProcess(tmp_path_factory.mktemp("server"))
    try:
        paths = FivePaths(server, real_python, tmp_path_factory.mktemp("paths"))
        paths.run(script_names())
        yield paths
    finally:
        server.kill()


@pytest.mark.parametrize("script, pair", CASES)
def test_two_paths_leave_the_same_run(five_paths: FivePaths, script: str, pair: str) -> None:
    left, right = (five_paths.end_state(path, script) for path in pair)
    assert compare(pair, script, left, right).differing == []


def test_every_listed_difference_is_needed(five_paths: FivePaths) -> None:
    needed: Set[Difference] = set()
    for script, pair in CASES:
        left, right = (five_paths.end_state(path, script) for path in pair)
        needed |= compare(pair, script, left, right).needed
    assert [row.field for row in DIFFERENCES if row not in needed and not row.is_chance] == []


def rows(state: Dict[str, Any]) -> List[Dict[str, Any]]:
    """The values that the script has logged."""
    return [
        {key: value for key, value in row.items() if not key.startswith("_")}
        for row in readable(state)["history"]
    ]


@pytest.mark.parametrize("path", "DEF")
def test_a_killed_run_of_ours_loses_nothing(five_paths: FivePaths, path: str) -> None:
    state = five_paths.end_state(path, KILLED)
    assert rows(state) == [
        {"loss": 1.0 / (step + 1), "step_squared": step * step} for step in range(N_ROWS_BEFORE_THE_KILL)
    ]
    assert state["summary"]["noted"] == "before"
    assert (state["state"], state["exitcode"], state["tags"]) == ("failed", 1, ["doomed"])


def test_a_killed_run_of_ours_has_the_summary_of_its_last_row(five_paths: FivePaths) -> None:
    summary = five_paths.end_state("E", KILLED)["summary"]
    last = N_ROWS_BEFORE_THE_KILL - 1
    assert (summary["_step"], summary["step_squared"]) == (last, last * last)


@pytest.mark.parametrize("path", "BC")
def test_of_a_killed_run_of_the_real_client_all_is_uploaded_that_it_has_left(
    five_paths: FivePaths, path: str
) -> None:
    found = rows(five_paths.end_state(path, KILLED))
    whole = rows(five_paths.end_state("E", KILLED))
    assert found == whole[: len(found)]
    assert found == rows(five_paths.end_state("B", KILLED))


def records(five_paths: FivePaths, script: str) -> List[record_pb2.Record]:
    return [record_pb2.Record.FromString(one.payload) for one in read_records(five_paths.log(script))]


@pytest.mark.parametrize("script", ["steps", "commits"])
def test_the_real_sync_makes_one_row_per_step_of_a_log_with_parts_of_rows(
    five_paths: FivePaths, script: str
) -> None:
    found = records(five_paths, script)
    assert any(record.footer.HasField("pending") for record in found)
    whole = [record.history.step.num for record in found if record.HasField("history")]
    sent = [row["_step"] for row in readable(five_paths.end_state("D", script))["history"]]
    assert sent == whole == sorted(set(whole))


def test_the_real_sync_takes_our_own_fields_of_the_run_record(five_paths: FivePaths) -> None:
    (run,) = [record.run for record in records(five_paths, "empty") if record.HasField("run")]
    assert run.HasField("writer")
    assert five_paths.end_state("D", "empty")["state"] == "finished"


def test_a_row_that_waited_when_the_process_was_killed_is_uploaded_by_our_syncer(
    five_paths: FivePaths,
) -> None:
    state = five_paths.end_state("E", "killed_in_a_row")
    assert rows(state) == [{"a": 1}, {"b": 2, "c": {"d": 3}, "e": 4}]
    assert [row["_step"] for row in readable(state)["history"]] == [0, 5]


def test_the_real_sync_takes_a_log_that_ends_within_a_row(five_paths: FivePaths) -> None:
    state = five_paths.end_state("D", "killed_in_a_row")
    assert rows(state) == [{"a": 1}]
    assert (state["state"], state["exitcode"]) == ("failed", 1)
