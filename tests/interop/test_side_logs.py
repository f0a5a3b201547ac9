"""The real `wandb sync` uploads the main log of a run that several processes have recorded, and no other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, List

import pytest
from fixtures_server import ServerProcess

pytestmark = pytest.mark.interop

FORKED = """
import os, wandb
run = wandb.init(project="p", id="forked", mode="offline", settings={"silent": True, "console": "off"})
for n in range(5):
    run.log({"parent": n})
    child = os.fork()
    if child == 0:
        run.log({"child": n})
        os._exit(0)
    os.waitpid(child, 0)
run.finish()
"""
SHARED = """
import sys, wandb
for rank in (0, 1):
    run = wandb.init(
        project="p", id="shared", mode="shared", reinit="create_new",
        settings={"silent": True, "console": "off", "x_primary": rank == 0},
    )
    run.log({"rank": rank})
    run.finish()
"""


def _sync(python: str, server: ServerProcess, place: Path, *paths: str) -> None:
    environ = {**os.environ, "WANDB_BASE_URL": server.base_url, "WANDB_API_KEY": server.api_key}
    command = [python, "-m", "wandb", "sync", *paths]
    done = subprocess.run(command, cwd=place, env=environ, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def _rows(server: ServerProcess, run_id: str) -> List[Any]:
    own = ("_runtime", "_timestamp")
    rows = [json.loads(line) for line in server.run("local", "p", run_id)["history"]]
    return [{key: value for key, value in row.items() if key not in own} for row in rows]


def test_the_real_sync_uploads_the_main_log_and_ours_then_all_of_it(
    tmp_path: Path, live_mock_server: ServerProcess
) -> None:
    real_python = os.environ["WANDB_NG_REAL_PYTHON"]
    for code in (FORKED, SHARED):
        command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code]
        subprocess.run(command, cwd=tmp_path, check=True, timeout=60)
    # Each real directory: the real sync takes `latest-run` for another one.
    directories = sorted(str(path) for path in tmp_path.glob("wandb/*run-2*") if list(path.glob("*.wandb")))
    assert len(directories) == 2
    _sync(real_python, live_mock_server, tmp_path, "--no-skip-online", *directories)
    assert _rows(live_mock_server, "forked") == [{"parent": n, "_step": n} for n in range(5)]
    assert _rows(live_mock_server, "shared") == [{"rank": 0, "_step": 0}]
    assert live_mock_server.run("local", "p", "forked")["state"] == "finished"
    _sync(sys.executable, live_mock_server, tmp_path, "--include-synced", "wandb")
    rows = _rows(live_mock_server, "forked")
    assert [row["parent"] for row in rows if "parent" in row] == list(range(5))
    assert [row["child"] for row in rows if "child" in row] == list(range(5)) and len(rows) == 10
    assert sorted(row["rank"] for row in _rows(live_mock_server, "shared")) == [0, 1]
