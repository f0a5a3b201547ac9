"""Artifacts of a run in online mode: they arrive while it goes on, and it hears of it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from artifact_state import artifacts_of
from fixtures_server import ServerProcess

from wandb import live_file

PROGRAM = """
import os, sys, time, wandb
from pathlib import Path
run = wandb.init(project="p", entity="local", id="r", mode="online", settings={"x_disable_stats": True})
Path("data").write_text("some bytes")
for text in ("first", "second"):
    artifact = wandb.Artifact("data", "dataset", metadata={"text": text})
    artifact.add_file("data")
    with artifact.new_file("new") as file:
        file.write(text)
    run.log_artifact(artifact)
run.log({"loss": 1})
while not os.path.exists("stop"):
    time.sleep(0.05)
run.finish()
"""


def test_artifacts_arrive_while_the_run_goes_on(live_mock_server: ServerProcess, tmp_path: Path) -> None:
    os.chdir(tmp_path)
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], env={**os.environ, **live_mock_server.environ}
    )
    try:
        arrivals: "list[live_file.Arrival]" = []
        offset, until_s = 0, time.monotonic() + 60
        while len(arrivals) < 2 and time.monotonic() < until_s:
            for path in (tmp_path / "wandb").glob("run-*/run-r.wandb.live.artifacts"):
                more, offset = live_file.read_arrivals(str(path), offset)
                arrivals += more
            time.sleep(0.05)
        assert program.poll() is None
        assert [(one.name, one.version, one.error) for one in arrivals] == [("data", 0, ""), ("data", 1, "")]
        versions = artifacts_of(live_mock_server, "local", "p")["data"]["versions"]
        assert versions["v1"]["metadata"] == {"text": "second"} and len(arrivals[0].client_id) == 128
    finally:
        (tmp_path / "stop").touch()
        program.wait()
    assert len(live_mock_server.run("local", "p", "r")["history"]) == 1
