"""TensorBoard's writers and runs: recorded while they write, when they are killed, and without a run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Type

import pytest
import tensorboardX
from click.testing import CliRunner
from fixtures_server import ServerThread
from log_view import LogView
from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.summary.writer.event_file_writer import EventFileWriter

import wandb
from wandb.cli import main
from wandb.errors import UsageError
from wandb.sdk import event_watch

PROGRAM = """
import os, signal, sys, time, wandb
from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.summary.writer.event_file_writer import EventFileWriter
run = wandb.init(project="p", entity="e", id="killed", mode="offline", sync_tensorboard=True)
writers = {name: EventFileWriter("logs/" + name) for name in ("train", "val")}
def write(steps):
    for step in steps:
        for writer in writers.values():
            value = summary_pb2.Summary.Value(tag="loss", simple_value=step)
            summary = summary_pb2.Summary(value=[value])
            writer.add_event(event_pb2.Event(step=step, wall_time=time.time(), summary=summary))
    for writer in writers.values():
        writer.flush()
write(range(4))
until_s = time.monotonic() + 60
while run.summary.get("val/loss") != 2 or run.summary.get("train/loss") != 2:  # the fourth waits
    time.sleep(0.05)
    assert time.monotonic() < until_s
run._event_watch._looking.acquire()  # nothing more is recorded
write(range(4, 8))
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(autouse=True)
def unpatched() -> Iterator[None]:
    yield
    wandb.tensorboard.unpatch()


def sync(server: ServerThread, *arguments: str) -> Any:
    environ = {**server.environ, "WANDB_SYNC_PROCESSES": "1"}
    return CliRunner().invoke(main, ["sync", *arguments], env=environ)


def history(server: ServerThread, run_id: str, entity: str = "e", project: str = "p") -> List[Dict[str, Any]]:
    import json

    lines = server.run(entity, project, run_id)["history"]
    return [json.loads(line) if isinstance(line, str) else line for line in lines]


def rows_of(run: Any) -> List[Dict[str, Any]]:
    """The rows in a run's log, without what is the history's own."""
    return [{k: v for k, v in row.items() if k != "_step"} for row in LogView(run.sync_dir).rows()]


def scalar(directory: str, tag: str, values: Dict[int, float]) -> None:
    writer = EventFileWriter(directory)
    for step, number in values.items():
        summary = summary_pb2.Summary(value=[summary_pb2.Summary.Value(tag=tag, simple_value=number)])
        writer.add_event(event_pb2.Event(step=step, wall_time=1000.0 + step, summary=summary))
    writer.close()


@pytest.mark.parametrize("kind", [tensorboardX.SummaryWriter, EventFileWriter])
def test_what_is_written_becomes_rows(kind: Type[Any]) -> None:
    with wandb.init(mode="offline", sync_tensorboard=True) as run:
        writer = kind("logs")
        if kind is EventFileWriter:
            scalar("logs", "loss", {0: 0.5, 1: 0.25})
        else:
            writer.add_scalar("loss", 0.5, 0)
            writer.add_scalar("loss", 0.25, 1)
        run.log({"own": 1}, step=40)  # steps are the history's own, as in wandb
        run.log({"own": 2}, step=41)
    log = LogView(run.sync_dir)
    assert [row for row in rows_of(run) if "own" in row] == [{"own": 1}, {"own": 2}]
    rows = [row for row in rows_of(run) if "own" not in row]
    assert rows == [{"loss": 0.5, "global_step": 0}, {"loss": 0.25, "global_step": 1}]
    said = next(footer.event_files for footer in log.of("footer") if footer.HasField("event_files"))
    assert said.log_dir == os.path.abspath("logs") and said.save
    kept = [name for name in os.listdir(run.dir + "/logs") if "tfevents" in name]
    assert kept and not os.path.islink(f"{run.dir}/logs/{kept[0]}")
    writer.close()


def test_a_row_comes_while_the_program_runs_and_log_waits_for_no_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_watch, "POLL_S", 0.01)
    monkeypatch.setattr(event_watch, "ALONE_S", 0.0)
    with wandb.init(mode="offline", sync_tensorboard=True) as run:
        scalar("logs", "loss", {0: 0.5, 1: 0.25})
        until_s = time.monotonic() + 60
        while run.summary.get("loss") != 0.5:
            assert time.monotonic() < until_s
            time.sleep(0.01)
        with run._event_watch._looking:  # a look that does not end
            monkeypatch.setattr(event_watch, "FINAL_WAIT_S", 0.0)
            run.log({"own": 1})
            run.finish()
    assert LogView(run.sync_dir).of("exit")


def test_directories_are_told_apart_by_what_is_above_them() -> None:
    wandb.tensorboard.patch(root_logdir="logs", save=False)
    with pytest.raises(ValueError, match="already patched"):
        wandb.tensorboard.patch()
    with wandb.init(mode="offline", sync_tensorboard=True) as run:
        scalar("logs/a/train", "loss", {0: 1.0})
        scalar("elsewhere", "loss", {0: 2.0})
    rows = rows_of(run)
    assert {"a/train/loss": 1.0, "global_step": 0} in rows
    assert not list(Path(run.dir).rglob("*tfevents*"))


def test_after_unpatch_nobody_listens_and_before_patch_nobody_did() -> None:
    original = EventFileWriter.__init__
    wandb.tensorboard.patch()
    assert wandb.patched["tensorboard"]
    wandb.tensorboard.unpatch()
    assert EventFileWriter.__init__ is original and not wandb.patched["tensorboard"]
    with wandb.init(mode="offline") as run:
        scalar("logs", "loss", {0: 1.0})
    assert rows_of(run) == []


def test_one_event_by_hand() -> None:
    value = summary_pb2.Summary.Value(tag="loss", simple_value=0.5)
    summary = summary_pb2.Summary(value=[value])
    with wandb.init(mode="offline") as run:
        wandb.tensorboard.log(summary, step=3)
        wandb.tensorboard.log(event_pb2.Event(step=4, wall_time=5.0, summary=summary), namespace="val")
        wandb.tensorboard.log(summary.SerializeToString())
        with pytest.raises(UsageError):
            wandb.tensorboard.log(7)
    assert rows_of(run) == [
        {"loss": 0.5, "global_step": 3},
        {"val/loss": 0.5, "val/global_step": 4, "global_step": 0},
        {"loss": 0.5, "global_step": 0},
    ]


def test_a_killed_program_loses_nothing_that_was_written(mock_server: ServerThread) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr
    for _ in range(2):  # a second sync adds nothing
        result = sync(mock_server, "wandb")
        assert result.exit_code == 0, result.output
        rows = history(mock_server, "killed")
        for name in ("train", "val"):
            assert [row[f"{name}/loss"] for row in rows if f"{name}/loss" in row] == list(range(8))
        assert len(rows) == 16 and [row["_step"] for row in rows] == list(range(16))


def test_event_files_without_a_run_become_one_and_grow_with_them(mock_server: ServerThread) -> None:
    scalar("logs/train", "loss", {0: 4.0, 1: 3.0})
    scalar("logs/val", "loss", {0: 5.0})
    arguments = ("--entity", "e", "--project", "p", "logs")
    assert sync(mock_server, *arguments).exit_code == 0
    (run,) = mock_server.runs()
    first = history(mock_server, run["id"])
    assert [(row.get("train/loss"), row.get("val/loss")) for row in first] == [
        (4, None),
        (None, 5),
        (3, None),
    ]
    assert [row["_timestamp"] for row in first] == [1000, 1000, 1001]
    assert mock_server.run("e", "p", run["id"])["state"] == "finished"
    scalar("logs/train", "loss", {2: 2.0})
    assert sync(mock_server, *arguments).exit_code == 0
    assert sync(mock_server, *arguments).exit_code == 0
    second = history(mock_server, run["id"])
    assert second[:3] == first and [row["train/loss"] for row in second[3:]] == [2]
    assert len(mock_server.runs()) == 1


def test_event_files_are_left_alone_where_there_are_runs_unless_they_are_asked_for(
    mock_server: ServerThread,
) -> None:
    wandb.init(mode="offline", id="recorded", entity="e", project="p").finish()
    scalar("wandb-logs", "loss", {0: 1.0})
    assert sync(mock_server, "--no-sync-tensorboard", "wandb-logs").exit_code == 2
    assert sync(mock_server, ".").exit_code == 0
    assert [run["id"] for run in mock_server.runs()] == ["recorded"]
    result = sync(mock_server, "--sync-tensorboard", "-e", "e", "-p", "p", ".")
    assert result.exit_code == 0, result.output
    assert len(mock_server.runs()) == 2
