"""What frameworks record through us is what they record through the real wandb 0.31.0: rows, config, summary.

Each script runs twice on the same PyTorch, once with the real client before ours on the path.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List, NamedTuple

import pytest
from log_view import LogView

pytestmark = pytest.mark.frameworks

SCRIPTS = Path(__file__).parent / "scripts"
MEASURED = re.compile(r"(^|[/_])runtime$|_per_second$|^_timestamp$")  # another number each time


class Recorded(NamedTuple):
    """What one client has left."""

    rows: List[Dict[str, Any]]
    config: Dict[str, Any]
    summary: Dict[str, Any]
    metrics: List[str]
    graphs: Dict[str, Any]


def _record(directory: Path, script: str, arguments: List[str], real: bool) -> Recorded:
    directory.mkdir()
    environ = {**os.environ, "KERAS_BACKEND": "torch", "HF_HUB_OFFLINE": "1", "WANDB_SILENT": "true"}
    environ["PYTHONPATH"] = str(Path(__file__).parents[2])
    if real:
        environ["PYTHONPATH"] = os.environ.get("WANDB_NG_REAL_WANDB", "")
        assert environ["PYTHONPATH"], "WANDB_NG_REAL_WANDB must be a directory with the real wandb 0.31.0"
    command = [sys.executable, str(SCRIPTS / script), *arguments]
    done = subprocess.run(command, cwd=directory, env=environ, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    (run,) = (directory / "wandb").glob("offline-run-*")
    view = LogView(run)
    producer = view.of("header")[0].version_info.producer
    assert producer.startswith("0.31") is real, f"{producer} has recorded"
    graphs = {
        re.sub(r"_[0-9a-f]{20}\.", ".", path.name): _without_ids(json.loads(path.read_text()))
        for path in (run / "files").glob("media/graph/*")
    }
    config = {name: value for name, value in view.config().items() if name != "_wandb"}
    metrics = sorted(str(record) for record in view.of("metric"))
    rows = [_steady(row) for row in view.rows()]
    return Recorded(rows, config, _steady(view.summary()), metrics, graphs)


def _steady(values: Dict[str, Any]) -> Dict[str, Any]:
    """The same without what is measured, and without names of files that hold ids."""
    found = {name: "" if MEASURED.search(name) else value for name, value in values.items()}
    found.pop("_wandb", None)
    return {
        name: "graph" if isinstance(value, dict) and value.get("_type") == "graph-file" else value
        for name, value in found.items()
    }


def _without_ids(graph: Dict[str, Any]) -> Dict[str, Any]:
    for node in graph["nodes"]:
        del node["id"]  # the real client's say where the layer lay in memory
    return graph


@pytest.mark.parametrize(
    "script",
    [
        "watched_models.py",
        "keras_metrics.py",
        "lightning_logger.py",
        "lightning_logger.py pytorch_lightning",
        "transformers_trainer.py",
    ],
)
def test_the_same_is_recorded(tmp_path: Path, script: str) -> None:
    name, *arguments = script.split()
    real = _record(tmp_path / "real", name, arguments, real=True)
    ours = _record(tmp_path / "ours", name, arguments, real=False)
    assert len(real.rows) > 5
    assert [sorted(row) for row in ours.rows] == [sorted(row) for row in real.rows]
    for field in Recorded._fields:
        assert getattr(ours, field) == getattr(real, field), field
