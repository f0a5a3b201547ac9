"""Exports, read by the tools that they are for, pyarrow and TensorBoard; and runs of the real client, looked
at while they are recorded.

Rule: the real client has an interpreter and a directory of its own, and never sees our package.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import List

import pytest
from click.testing import CliRunner
from log_builder import LogBuilder

import wandb_sync
from wandb.cli import main
from wandb.errors import Error
from wandb_sync.facts import KILLED, RUNNING

pytestmark = pytest.mark.interop


def export(*args: str) -> None:
    result = CliRunner().invoke(main, ["export", *args])
    assert result.exit_code == 0, result.output


@pytest.fixture
def two_runs() -> None:
    one = LogBuilder(Path("wandb"), "one", config={"lr": 0.1})
    for step in range(25_000):  # more than one row group
        one.row(
            loss=1 / (step + 1), n=step, ok=step % 2 == 0, text=f"t{step}", mixed=step if step % 2 else 0.5
        )
    one.row(rare=[1, 2], big=10**30, nan=float("nan"), deep={"x": 1}).exit(0)
    LogBuilder(Path("wandb"), "two").row(loss=7).row(n=None).exit(0)


def test_pyarrow_reads_what_was_logged(two_runs: None) -> None:
    import pyarrow.parquet

    export("one", "--to", "parquet", "-o", "one.parquet")
    table = pyarrow.parquet.read_table("one.parquet")
    types = {name: str(table.schema.field(name).type) for name in table.column_names}
    wanted = {"_step": "int64", "loss": "double", "n": "int64", "ok": "bool", "text": "string"}
    assert {
        **types,
        **wanted,
        "mixed": "double",
        "rare": "string",
        "deep.x": "int64",
        "nan": "double",
    } == types
    assert table.num_rows == 25_001 and pyarrow.parquet.ParquetFile("one.parquet").num_row_groups == 3
    rows = table.to_pylist()
    assert rows[3]["loss"] == 0.25 and rows[3]["text"] == "t3" and rows[3]["rare"] is None
    assert [row["n"] for row in rows[:-1]] == list(range(25_000))
    assert json.loads(rows[-1]["rare"]) == [1, 2] and rows[-1]["big"] == 1e30 and math.isnan(rows[-1]["nan"])
    export("one", "two", "--to", "parquet", "-o", "both.parquet", "--keys", "loss,n")
    both = pyarrow.parquet.read_table("both.parquet").to_pylist()
    assert both[-2] == {"run": "two", "_step": 0, "loss": 7.0, "n": None}
    assert len({row["run"] for row in both}) == 2


def test_tensorboard_reads_what_was_logged(two_runs: None) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    export(
        "one",
        "two",
        "--to",
        "tensorboard",
        "-o",
        "board",
        "--keys",
        "loss,nan,deep.x,text",
        "--step-from",
        "24000",
    )
    events = EventAccumulator("board/one", size_guidance={"scalars": 0, "tensors": 0}).Reload()
    scalars = events.Scalars("loss")
    assert [event.step for event in scalars] == list(range(24_000, 25_000))
    assert scalars[0].value == pytest.approx(1 / 24_001, rel=1e-6)
    assert scalars[0].wall_time == pytest.approx(1_700_000_000 + 12_000)
    assert math.isnan(events.Scalars("nan")[0].value) and events.Scalars("deep.x")[0].value == 1
    assert any("config" in tag for tag in events.Tags()["tensors"])
    assert any(tag.startswith("text") for tag in events.Tags()["tensors"])
    again = CliRunner().invoke(main, ["export", "one", "two", "--to", "tensorboard", "-o", "board"])
    assert again.exit_code == 2 and "event files already" in again.output


REAL = """
import os, sys, time, wandb
run = wandb.init(project="p", id="real", config={"lr": 0.1}, mode="offline")
for step in range(2000):
    run.log({"loss": 1 / (step + 1), "deep": {"x": step}})
    if step == 500:
        print("half", flush=True)
print("logged", flush=True)
time.sleep(float(sys.argv[1]))
run.finish()
"""


@pytest.mark.parametrize("is_killed", [False, True])
def test_a_run_of_the_real_client_is_looked_at_while_it_is_recorded(tmp_path: Path, is_killed: bool) -> None:
    real_python = os.environ.get("WANDB_NG_REAL_PYTHON")
    assert real_python, "WANDB_NG_REAL_PYTHON must be the interpreter of the real wandb 0.31.0"
    environ = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(tmp_path / "home"), "LANG": "C.UTF-8"}
    environ["WANDB_ERROR_REPORTING"] = "false"
    child = subprocess.Popen(
        [real_python, "-c", REAL, "600" if is_killed else "1"],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    assert child.stdout is not None
    try:
        while (line := child.stdout.readline()) != "logged\n":
            assert line, "the real client has ended"
        deadline_s = time.monotonic() + 60
        while not (rows := _rows_now()) and time.monotonic() < deadline_s:
            time.sleep(0.2)
        assert rows == list(range(len(rows))) and wandb_sync.read("real").state == RUNNING
    finally:
        if is_killed:
            os.killpg(child.pid, signal.SIGKILL)
        child.communicate(timeout=120)
    run = wandb_sync.read("real")
    rows = [row.step for row in run.history()]
    assert rows == list(range(len(rows))) and rows
    assert [row.step for row in run.history(last=3)] == rows[-3:]
    assert [row.step for row in run.history(step_from=rows[-2])] == rows[-2:]
    assert run.config == {"lr": 0.1} and not run.damage
    if is_killed:
        # Its records do not say which process writes them: when the log has been still for long, it is dead.
        (log,) = Path("wandb").glob("offline-run-*/run-real.wandb")
        os.utime(log, (1, 1))
        assert wandb_sync.read("real").state == KILLED
    else:
        assert run.state == "finished" and len(rows) == 2000
        assert run.summary["loss"] == 1 / 2000 and run.summary["deep"] == {"x": 1999}
        assert [line.text for line in run.console() if line.text in ("half", "logged")] == ["half", "logged"]


def _rows_now() -> List[int]:
    try:
        return [row.step for row in wandb_sync.read("real").history()]
    except Error:  # there is no log yet, or nothing in it
        return []
