"""A process that is killed between any two steps of `log_artifact`, and what it leaves."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from log_view import LogView

import wandb
from wandb.internal.content_store import file_digest
from wandb.sdk.artifacts import staging

STEPS = ("open", "os.rename", "os.link", "os.mkdir", "os.remove")


def log_and_die(n_steps: int) -> None:
    """Log an artifact in a child, which kills itself before step `n_steps`."""
    left = [n_steps]

    def step(event: str, args: Any) -> None:
        if event in STEPS:
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    run = wandb.init(mode="offline", project="p", settings={"console": "off", "silent": True})
    artifact = wandb.Artifact("a", "b")
    sys.addaudithook(step)
    for name in ("x", "y"):
        with artifact.new_file(name) as file:
            file.write(name)
    artifact.add_file("given")
    artifact.add_file("promised", policy="immutable")
    run.log_artifact(artifact)
    os._exit(0)


@pytest.mark.long
def test_a_record_never_comes_before_its_files() -> None:
    Path("given").write_text("given")
    Path("promised").write_text("promised")
    n_steps = n_records = 0
    while True:
        child = os.fork()
        if child == 0:
            try:
                log_and_die(n_steps)
            finally:
                os._exit(1)
        status = os.waitpid(child, 0)[1]
        for directory in Path("wandb").glob("offline-run-*"):
            for record in LogView(directory).of("artifact"):
                n_records += 1
                assert len(record.manifest.contents) == 4
                for entry in record.manifest.contents:
                    assert file_digest(entry.local_path) == entry.digest
        if status == 0:
            break
        assert os.WIFSIGNALED(status)
        n_steps += 1
    assert n_steps > 10 and n_records > 0
    mine = staging.directory()
    assert os.listdir("wandb/staging") == [os.path.basename(mine)]  # what the dead have left is gone
