"""The stored facts of the call shapes are those of the real client's logs.

After a new shape, `WANDB_NG_WRITE_FACTS=1 tox -e interop -- tests/interop/test_call_shapes.py` stores them.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any, Dict

import pytest
from call_shapes.facts import facts_of
from call_shapes.shapes import SHAPES

pytestmark = pytest.mark.interop

HERE = Path(__file__).resolve().parents[1] / "call_shapes"
STORED = HERE / "real.json"


def test_the_stored_facts_are_what_the_real_client_records(tmp_path: Path) -> None:
    real = os.environ["WANDB_NG_REAL_PYTHON"]
    top = tmp_path / "shapes"
    top.mkdir()
    done = subprocess.run(
        [real, str(HERE / "shapes.py")], capture_output=True, text=True, cwd=top, timeout=900
    )
    assert done.returncode == 0, done.stdout
    found = {shape: recorded(top / shape / "wandb") for shape in SHAPES}
    found = json.loads(json.dumps(found))
    if os.environ.get("WANDB_NG_WRITE_FACTS"):
        STORED.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    assert found == json.loads(STORED.read_text(encoding="utf-8"))


def recorded(directory: Path) -> Any:
    """Return the facts of all runs below a `wandb` directory."""
    runs = [
        one.parent for one in directory.glob("offline-run-*/*.wandb")
    ]  # the real client leaves empty ones
    found = [facts_of(run) for run in runs]

    def by_text(facts: Dict[str, Any]) -> str:
        return json.dumps(facts, sort_keys=True)

    return sorted(found, key=by_text)
