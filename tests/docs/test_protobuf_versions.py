"""The generated module works with every generation of the protobuf runtime that setup.py promises.

A cluster's framework pins one of them.  Run by `tox -e docs`: it installs each one beside the others.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.docs

ROOT = Path(__file__).resolve().parents[2]
ROUND_TRIP = """
import sys
import google.protobuf
from wandb.interface.records import numbered, run
from wandb.interface.rows import RowEncoder
from wandb.interface.wire import decode
from wandb.proto.record_pb2 import Record

assert google.protobuf.__file__.startswith(sys.argv[1]), google.protobuf.__file__
written = Record.FromString(numbered(7, RowEncoder().row({"loss": 0.5, ("a", "b"): "text"}, 3)))
assert (written.num, written.history.step.num) == (7, 3)
assert [item.value_json for item in written.history.item] == ["0.5", '"text"']
fields = {"run_id": "x", "tags": ["a"], "start_time": 1.5, "telemetry": {}}
started = Record.FromString(numbered(1, run(fields)))
assert started.run.HasField("telemetry") and started.run.start_time.nanos == 500_000_000
assert Record.FromString(started.SerializeToString()) == started
assert decode("Record", started.SerializeToString())["run"]["tags"] == ["a"]
print(google.protobuf.__version__)
"""


@pytest.mark.parametrize(
    "requirement, begins_with",
    [("==3.20.3", "3."), ("==4.21.12", "4."), ("==5.29.5", "5."), ("==6.33.0", "6."), (">=7,<8", "7.")],
)
def test_records_are_read_and_written_with(requirement: str, begins_with: str, tmp_path: Path) -> None:
    target = str(tmp_path / "runtime")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*pip, "--target", target, f"protobuf{requirement}"], check=True)
    outcome = subprocess.run(
        [sys.executable, "-S", "-c", ROUND_TRIP, target],
        env={**os.environ, "PYTHONPATH": f"{target}{os.pathsep}{ROOT}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True,
    )
    assert outcome.returncode == 0, outcome.stdout
    assert outcome.stdout.startswith(begins_with)
