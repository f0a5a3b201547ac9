"""One program with TensorBoard's writers, on the real client and on ours: the same rows on the server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List

import pytest
from fixtures_server import ServerProcess

pytestmark = pytest.mark.interop

PROGRAM = """
import sys
import numpy as np
import wandb
run = wandb.init(project="p", entity="e", id=sys.argv[1], mode="offline", sync_tensorboard=True)
from tensorboardX import SummaryWriter
train, val = SummaryWriter("logs/train"), SummaryWriter("logs/val")
for step in range(3):
    train.add_scalar("loss", 1 / (step + 1), step)
    train.add_scalar("group/acc", step * 0.1, step)
    val.add_scalar("loss", 2 / (step + 1), step)
train.add_histogram("h", np.array([1.0, 1.0, 2.0]), 3)
train.add_image("img", np.zeros((3, 4, 5), dtype=np.uint8), 3)
train.add_text("words", "no history", 3)
train.add_pr_curve("pr", np.array([0, 1, 1, 0]), np.array([0.1, 0.9, 0.4, 0.6]), 4, num_thresholds=5)
train.add_scalar("nan", float("nan"), 5)
train.close(); val.close()
run.log({"own": 1}, step=7)
run.finish()
"""


def _rows(server: ServerProcess, run_id: str) -> List[Dict[str, Any]]:
    """The rows, without order between directories, names of files, and times."""
    rows = []
    for line in server.run("e", "p", run_id)["history"]:
        row = {key: value for key, value in json.loads(line).items() if key not in ("_step", "_runtime")}
        assert row.pop("_timestamp") > 0
        if "train/img" in row:
            assert len(row["train/img"].pop("filenames")) == 1
        for key in ("path", "sha256"):  # the real client writes the digest's bytes as if they were text
            row.get("train/pr", {}).pop(key, None)
        rows.append(json.loads(json.dumps(row).replace("NaN", '"NaN"')))
    return sorted(rows, key=lambda row: json.dumps(row, sort_keys=True))


def test_rows_are_those_of_the_real_client(tmp_path: Path, live_mock_server: ServerProcess) -> None:
    real_python = os.environ["WANDB_NG_REAL_PYTHON"]
    environ = {**os.environ, "WANDB_BASE_URL": live_mock_server.base_url}
    environ["WANDB_API_KEY"] = live_mock_server.api_key
    for who, python in (("theirs", real_python), ("ours", sys.executable)):
        place = tmp_path / who
        place.mkdir()
        command = [python, "-W", "ignore", "-c", PROGRAM, who]
        subprocess.run(command, cwd=place, env=environ, check=True, timeout=120)
        (run,) = place.glob("wandb/offline-run-*")
        # Theirs by ours: its log has the rows, and its tbrecords are no reason to add any.
        subprocess.run([sys.executable, "-m", "wandb", "sync", run], env=environ, check=True, timeout=120)
    theirs, ours = _rows(live_mock_server, "theirs"), _rows(live_mock_server, "ours")
    assert len(theirs) == 10 and ours == theirs
    notes = live_mock_server.run("e", "p", "ours")["config"]["_wandb"]["value"]
    assert notes["visualize"]["train/pr"]["panel_config"]["panelDefId"] == "wandb/line/v0"  # theirs forgets


def test_the_real_sync_uploads_our_rows_once(tmp_path: Path, live_mock_server: ServerProcess) -> None:
    real_python = os.environ["WANDB_NG_REAL_PYTHON"]
    environ = {**os.environ, "WANDB_BASE_URL": live_mock_server.base_url}
    environ["WANDB_API_KEY"] = live_mock_server.api_key
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, "carried"]
    subprocess.run(command, cwd=tmp_path, env=environ, check=True, timeout=120)
    (run,) = tmp_path.glob("wandb/offline-run-*")
    sync = [str(Path(real_python).with_name("wandb")), "sync", "--yes", str(run)]
    subprocess.run(sync, cwd=tmp_path, env=environ, check=True, timeout=120)
    assert len(_rows(live_mock_server, "carried")) == 10
