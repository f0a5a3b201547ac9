"""Whatever is said to define_metric, our record is the real client's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List

import pytest
from google.protobuf.json_format import MessageToDict
from log_view import LogView

pytestmark = pytest.mark.interop

SCRIPT = """
import itertools, wandb
run = wandb.init(project="p", mode="offline", settings={"silent": True, "console": "off"})
said = itertools.product(
    ["m{}", "g{}/*"],
    [None, "epoch", ""],
    [None, True, False],
    [None, True, False],
    [None, "min", "max", "max,mean", "last", "first", "none", ""],
    [None, True, False],
)
for number, (name, axis, sync, hidden, summary, overwrite) in enumerate(said):
    options = dict(step_metric=axis, step_sync=sync, hidden=hidden, summary=summary, overwrite=overwrite)
    run.define_metric(name.format(number), **options)
run.define_metric("twice", summary="min")
run.define_metric("twice", summary="max")
run.define_metric("replaced", summary="min", hidden=True)
run.define_metric("replaced", step_metric="epoch", summary="max", overwrite=True)
axis = run.define_metric("axis")
run.define_metric("by_object", step_metric=axis)
run.define_metric("*", step_metric="axis")
run.define_metric("a.*")
run.define_metric("a[0]", summary="MIN")
wrong = [
    ("", {}), ("*x", {}), ("a*b", {}), (3, {}), ("a", {"step_metric": 3}), ("a", {"step_sync": "yes"}),
    ("a", {"hidden": 1}), ("a", {"summary": "median"}), ("a", {"overwrite": "x"}), ("a", {"overwrite": 1}),
]
for name, options in wrong:
    try:
        run.define_metric(name, **options)
        print("taken")
    except wandb.Error as error:
        print(str(error).partition(" (use ")[0])
run.finish()
"""


def definitions(directory: Path) -> List[Dict[str, Any]]:
    [log] = directory.glob("wandb/offline-run-*/*.wandb")
    found = [MessageToDict(record, preserving_proto_field_name=True) for record in LogView(log).of("metric")]
    for fields in found:
        fields.pop("_info", None)
    return found


def test_each_definition_is_recorded_as_by_the_real_client_and_each_mistake_refused(tmp_path: Path) -> None:
    answers = {}
    for who, python in (("ours", sys.executable), ("real", os.environ["WANDB_NG_REAL_PYTHON"])):
        (tmp_path / who).mkdir()
        done = subprocess.run(
            [python, "-c", SCRIPT], capture_output=True, text=True, cwd=tmp_path / who, timeout=300
        )
        assert done.returncode == 0, done.stderr
        answers[who] = done.stdout.splitlines()
    assert answers["ours"] == answers["real"]
    ours, real = definitions(tmp_path / "ours"), definitions(tmp_path / "real")
    assert len(real) == 2 * 3 * 3 * 3 * 8 * 3 + 9
    assert [(a, b) for a, b in zip(ours, real) if a != b] == [] and len(ours) == len(real)
