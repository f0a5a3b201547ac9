"""`wandb compact`: which logs it takes, what it says, its exit codes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Dict, List

import pytest
from click.testing import Result
from log_builder import LogBuilder
from log_view import LogView

import wandb
from wandb.cli import main
from wandb.processes import ProcessId
from wandb.transaction_log.log_file import open_log
from wandb_sync.discover import discover, sidecars
from wandb_sync.lease import Lease


def a_log(place: Path, run_id: str = "x", ended: bool = True) -> Path:
    log = LogBuilder(place, run_id).rows(300)
    (log.exit(0) if ended else log).close()
    return log.path


def objects(result: Result) -> List[Dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def files(place: Path) -> List[str]:
    return sorted(path.name for path in place.rglob("*.wandb*"))


def test_logs_that_are_closed_are_compressed_and_back(runner: Any, tmp_path: Path) -> None:
    place = tmp_path / "wandb"
    logs = [a_log(place, "a"), a_log(place, "b")]
    data = [log.read_bytes() for log in logs]
    result = runner.invoke(main, ["compact", str(place), "--dry-run"])
    assert result.exit_code == 0 and result.output.count("would be compressed") == 2
    assert files(place) == ["run-a.wandb", "run-b.wandb"]
    result = runner.invoke(main, ["compact", str(place)])
    assert result.exit_code == 0 and result.output.count(": compressed,") == 2
    assert files(place) == ["run-a.wandb.zst", "run-b.wandb.zst"]
    result = runner.invoke(main, ["compact", str(place)])
    assert result.exit_code == 0 and result.output == "Nothing to do.\n"
    # By the name of the run directory, of the log, and of its file now.
    result = runner.invoke(main, ["compact", "--decompress", str(logs[0].parent), f"{logs[1]}.zst"])
    assert result.exit_code == 0 and files(place) == ["run-a.wandb", "run-b.wandb"]
    assert [log.read_bytes() for log in logs] == data


def test_scripts_are_told_one_object_per_log(runner: Any, tmp_path: Path) -> None:
    log = a_log(tmp_path / "wandb")
    n_bytes = log.stat().st_size
    dry, done, again = (
        objects(runner.invoke(main, ["compact", "--json", *more, str(tmp_path)])) for more in (["-n"], [], [])
    )
    assert dry == [
        {
            "log": str(log),
            "status": "would be compressed",
            "n_bytes_before": n_bytes,
            "n_bytes_after": None,
            "reason": "",
        }
    ]
    after = os.path.getsize(f"{log}.zst")
    assert (done[0]["status"], done[0]["n_bytes_before"], done[0]["n_bytes_after"]) == (
        "compressed",
        n_bytes,
        after,
    )
    assert (again[0]["status"], again[0]["n_bytes_before"]) == ("unchanged", after)


def test_a_run_that_goes_on_is_left_alone(runner: Any, tmp_path: Path) -> None:
    place = tmp_path / "wandb"
    log = a_log(place, "going", ended=False)
    a_log(place, "gone")
    result = runner.invoke(main, ["compact", str(place)])
    assert result.exit_code == 0 and "open: the run goes on" in result.output
    assert files(place) == ["run-going.wandb", "run-gone.wandb.zst"]
    assert runner.invoke(main, ["compact", str(log)]).exit_code == 5  # for it was named
    os.utime(log, (1, 1))  # silent for so long that it counts as ended
    assert runner.invoke(main, ["compact", str(log)]).exit_code == 0
    assert files(place) == ["run-going.wandb.zst", "run-gone.wandb.zst"]


def test_a_run_of_a_living_process_is_left_alone_however_long_it_is_silent(
    runner: Any, tmp_path: Path
) -> None:
    process = ProcessId.current()
    writer = {
        "host": process.host,
        "boot_id": process.boot_id,
        "pid": process.pid,
        "pid_start_ticks": process.start_ticks,
        "pid_namespace": process.namespace,
    }
    log = LogBuilder(tmp_path, "x", writer=writer).rows(300).close().path
    os.utime(log, (1, 1))
    assert runner.invoke(main, ["compact", str(log)]).exit_code == 5
    assert log.exists()


def test_a_run_that_is_being_synced_is_left_alone(runner: Any, tmp_path: Path) -> None:
    log = a_log(tmp_path)
    (found,) = discover([str(log)])
    with Lease(sidecars(found).lease):
        for more in ([], ["--dry-run"]):
            result = runner.invoke(main, ["compact", str(log), *more])
            assert result.exit_code == 5 and "locked" in result.output
    assert log.exists()
    assert runner.invoke(main, ["compact", str(log)]).exit_code == 0


def test_what_a_kill_has_left_goes(runner: Any, tmp_path: Path) -> None:
    log = a_log(tmp_path)
    left = log.with_name("run-x.wandb.zst.4711.unfinished")
    left.write_bytes(b"half")
    assert runner.invoke(main, ["compact", str(log)]).exit_code == 0
    assert files(tmp_path) == ["run-x.wandb.zst"]


def test_what_cannot_be_compressed_is_said_and_the_others_are(runner: Any, tmp_path: Path) -> None:
    place = tmp_path / "wandb"
    bad = a_log(place, "bad")
    a_log(place, "good")
    bad.write_bytes(b"no log" * 1000)
    result = runner.invoke(main, ["compact", str(place)])
    assert result.exit_code == 1 and "run-bad.wandb: failed" in result.output
    assert files(place) == ["run-bad.wandb", "run-good.wandb.zst"]
    assert runner.invoke(main, ["compact", str(tmp_path / "nothing")]).exit_code == 2


def test_a_compressed_run_is_shown(runner: Any, tmp_path: Path) -> None:
    log = a_log(tmp_path)
    before = runner.invoke(main, ["show", "--json", str(log.parent)]).output
    runner.invoke(main, ["compact", str(log)])
    for path in (log.parent, log, f"{log}.zst"):
        shown = json.loads(runner.invoke(main, ["show", "--json", str(path)]).output)
        assert {**shown, "log": str(log)} == json.loads(before)
    assert "300 rows" in runner.invoke(main, ["show", str(log.parent)]).output


def test_a_run_goes_on_from_a_compressed_segment(runner: Any) -> None:
    quiet = {"console": "off", "silent": True, "x_disable_stats": True}
    with wandb.init(mode="offline", id="x", config={"lr": 0.1}, settings=quiet) as run:
        for n in range(100):
            run.log({"n": n})
    assert runner.invoke(main, ["compact"]).exit_code == 0
    assert os.listdir(run.sync_dir) == ["files", "run-x.wandb.zst"] or len(os.listdir(run.sync_dir)) == 2
    with wandb.init(mode="offline", id="x", resume="must", settings=quiet) as later:
        assert (later.step, later.resumed, later.config["lr"]) == (100, True, 0.1)
        later.log({"n": 100})
    (record,) = LogView(later.sync_dir).of("run")
    assert record.segment.previous == f"{os.path.basename(run.sync_dir)}/run-x.wandb"
    with open_log(Path(run.sync_dir) / "run-x.wandb") as log:
        assert record.segment.previous_end == log.size()


@pytest.mark.parametrize("arguments", [["--help"], ["--decompress", "--dry-run"]])
def test_without_a_run_there_is_nothing_to_do(runner: Any, arguments: List[str]) -> None:
    result = runner.invoke(main, ["compact", *arguments])
    assert result.exit_code == 0 and result.output
