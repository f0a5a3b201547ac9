"""The real client's sync takes our compressed logs once a standard tool has unpacked them.

Rule: the real client has an interpreter and a directory of its own, and never sees our package.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import zstandard
from fixtures_server import TestServer

pytestmark = pytest.mark.interop

SCRIPT = """
import wandb
with wandb.init(project="p", entity="interop", id="packed", config={"lr": 0.1}) as run:
    for step in range(3000):
        run.log({"loss": 1 / (step + 1), "step_squared": step * step})
"""


def test_the_real_sync_gets_a_compressed_log_through_zstd(
    live_mock_server: TestServer, tmp_path: Path
) -> None:
    server = live_mock_server
    real_python = os.environ.get("WANDB_NG_REAL_PYTHON")
    assert real_python, "WANDB_NG_REAL_PYTHON must be the interpreter of the real wandb 0.31.0"
    environ = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(tmp_path / "home"),
        "LANG": "C.UTF-8",
        "WANDB_MODE": "offline",
        "WANDB_BASE_URL": server.base_url,
        "WANDB_API_KEY": server.api_key,
        "WANDB_ERROR_REPORTING": "false",
        "WANDB_X_DISABLE_STATS": "true",
    }
    place = tmp_path / "recorded"
    place.mkdir()
    subprocess.run([sys.executable, "-c", SCRIPT], cwd=place, env=environ, check=True, timeout=120)
    (log,) = place.glob("wandb/offline-run-*/run-packed.wandb")
    data = log.read_bytes()
    ours = {**environ, "WANDB_PROJECT": "p"}
    subprocess.run([sys.executable, "-m", "wandb", "compact"], cwd=place, env=ours, check=True, timeout=120)
    compressed = Path(f"{log}.zst")
    assert compressed.exists() and not log.exists()
    # Ours reads it as it is.
    elsewhere = tmp_path / "ours"
    shutil.copytree(place, elsewhere, symlinks=True)
    sync = [sys.executable, "-m", "wandb_sync", "-p", "ours"]
    subprocess.run(sync, cwd=elsewhere, env=ours, check=True, timeout=120)
    # For the real one it is unpacked by whatever knows the format.
    if shutil.which("zstd"):
        subprocess.run(["zstd", "-d", "-q", "--rm", str(compressed)], check=True)
    else:
        with zstandard.open(str(compressed), "rb") as file:
            log.write_bytes(file.read())
        compressed.unlink()
    assert log.read_bytes() == data
    sync = [str(Path(real_python).with_name("wandb")), "sync", "--yes", "-p", "real", str(log.parent)]
    subprocess.run(sync, cwd=place, env=environ, check=True, timeout=300)
    states = [server.run("interop", project, "packed") for project in ("ours", "real")]
    for state in states:
        assert len(state["history"]) == 3000 and state["state"] == "finished"
    assert states[0]["summary"]["step_squared"] == states[1]["summary"]["step_squared"] == 2999**2
