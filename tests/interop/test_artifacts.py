"""The real client's artifacts on our server, and by our syncer."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, Iterator

import pytest
from artifact_state import artifacts_of
from fixtures_server import ServerProcess

pytestmark = pytest.mark.interop

SCRIPTS = Path(__file__).with_name("artifacts")


@pytest.fixture
def place(live_mock_server: ServerProcess, tmp_path: Path) -> Iterator["Place"]:
    yield Place(live_mock_server, tmp_path)


class Place:
    """Where the real client works: a server, a directory, a home of its own."""

    def __init__(self, server: ServerProcess, root: Path) -> None:
        self.server = server
        self.root = root
        real_python = os.environ.get("WANDB_NG_REAL_PYTHON")
        assert real_python, "WANDB_NG_REAL_PYTHON must be the interpreter of the real wandb 0.31.0"
        self.real_python = real_python

    @property
    def environ(self) -> Dict[str, str]:
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self.root),
            "LANG": "C.UTF-8",
            **self.server.environ,
            "WANDB_DISABLE_GIT": "true",
            "WANDB_ERROR_REPORTING": "false",
            "WANDB_CACHE_DIR": str(self.root / "cache"),
            "WANDB_DATA_DIR": str(self.root / "data"),
            "WANDB_X_DISABLE_STATS": "true",
        }

    def run(self, *command: object, **environ: str) -> str:
        """Run a program that must not fail; returns what it said."""
        done = subprocess.run(
            [str(part) for part in command],
            cwd=self.root,
            env={**self.environ, **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=240,
        )
        assert done.returncode == 0, done.stdout[-4000:]
        return done.stdout


def test_the_real_client_finds_everything_it_asks_for(place: Place) -> None:
    place.run(place.real_python, SCRIPTS / "use_everything.py", "got.json")
    got: Dict[str, Any] = json.loads((place.root / "got.json").read_text())
    assert got.pop("first")[:3] == ["data:v0", "v0", ["best", "latest"]]
    assert got == {
        "same": "v0",
        "second": ["v1", ["latest"]],
        "linked": ["portfolio:v0", "portfolio", ["latest", "prod"]],
        "draft": ["v2", ["a.txt", "deep/b.bin", "new.txt"]],
        "downloaded": ["a.txt", "deep/b.bin"],
        "entry": "aaa",
        "latest": "v2",
        "saved": ["v2", {"k": 2}, "described", ["blue"]],
        "versions": ["v2", "v1", "v0"],
        "types": ["dataset", "run_table"],
        "collections": ["data", "portfolio"],
        "exists": [True, False],
        "logged": ["data:v0", "data:v1", "run-maker-table:v0", "data:v2"],
        "used": ["data:v0"],
        "used_by": ["user"],
        "logged_by": "maker",
        "files": ["a.txt", "deep/b.bin"],
        "ttl": "None",
        "portfolio": ["portfolio:prod", "data:v1", True],
        "unlinked": False,
        "deleted": "CommError",
        "gone": False,
    }


@pytest.mark.parametrize("recorder", ["real", "ours"])
def test_our_sync_leaves_what_the_real_sync_leaves(place: Place, tmp_path: Path, recorder: str) -> None:
    python = place.real_python if recorder == "real" else sys.executable
    place.run(python, SCRIPTS / "record.py", WANDB_MODE="offline")
    (recorded,) = (place.root / "wandb").glob("offline-run-*")
    by_us = place.root / "ours" / recorded.name
    shutil.copytree(recorded, by_us, symlinks=True)
    # To the place that the log says: the real sync would leave artifacts there whatever it is told.
    place.run(Path(place.real_python).with_name("wandb"), "sync", "--yes", recorded)
    real = artifacts_of(place.server, "interop", "recorded")
    place.server.call("DELETE", "/api/runs/interop/recorded/maker")
    place.run(sys.executable, "-m", "wandb_sync", "-e", "interop", "-p", "ours", by_us)
    ours = artifacts_of(place.server, "interop", "ours")
    versions = {name: sorted(one["versions"]) for name, one in real.items()}
    assert versions == {"data": ["v0", "v1"], "model": ["v0"], "run-maker-table": ["v0"]}
    steps = {}
    for state in (real, ours):
        for name, collection in state.items():
            for number, version in collection["versions"].items():
                steps[(id(state), name, number)] = version.pop("historyStep")
                if state is real:  # its run was deleted, so that ours is not taken for it
                    version["createdBy"] = "maker"
    assert ours == real
    # The real sync does not know any more at which step an artifact was logged.
    assert {step for (of, _, _), step in steps.items() if of == id(real)} == {None}
    assert steps[(id(ours), "data", "v1")] == 1
