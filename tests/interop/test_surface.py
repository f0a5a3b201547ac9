"""The stored surface is that of the real client."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.interop

ROOT = Path(__file__).resolve().parents[2]


def test_the_stored_surface_is_what_the_real_client_offers(tmp_path: Path) -> None:
    real = os.environ["WANDB_NG_REAL_PYTHON"]
    done = subprocess.run(
        [real, str(ROOT / "tools" / "surface_look.py")],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    stored = json.loads((ROOT / "schema" / "surface" / "wandb-0.31.0.json").read_text(encoding="utf-8"))
    assert json.loads(done.stdout) == stored
