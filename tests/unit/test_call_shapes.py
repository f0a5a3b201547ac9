"""What public code says to wandb means here what it means to the real client.

`real.json` is what the real client's logs say of each shape; tests/interop/test_call_shapes.py sees to that.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any, Dict

import pytest
from call_shapes.facts import facts_of
from call_shapes.shapes import OLD_SHAPES, SHAPES, run_shape

from wandb import term

REAL = json.loads(
    (Path(__file__).resolve().parents[1] / "call_shapes" / "real.json").read_text(encoding="utf-8")
)
NEEDS = {"log_image": "PIL", "log_image_list": "PIL"}


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_CONSOLE", "off")
    term.configure(silent=True)


def needs(shape: str) -> None:
    """Skip where a library is missing that no run of the whole suite lacks."""
    if shape in NEEDS and importlib.util.find_spec(NEEDS[shape]) is None:
        pytest.skip(f"{NEEDS[shape]} is not installed")


@pytest.mark.parametrize("shape", SHAPES)
def test_a_call_means_what_it_means_to_the_real_client(shape: str) -> None:
    needs(shape)
    made = run_shape(SHAPES[shape])
    found = sorted((facts_of(Path("wandb", name)) for name in made), key=by_text)
    assert json.loads(json.dumps(found)) == REAL[shape]


@pytest.mark.parametrize("shape", OLD_SHAPES)
def test_what_the_real_client_has_given_up_goes_on_here(shape: str) -> None:
    [run] = run_shape(OLD_SHAPES[shape])
    assert facts_of(Path("wandb", run))["exit"] == [0]


def test_there_is_a_log_of_the_real_client_for_each_shape() -> None:
    assert sorted(REAL) == sorted(SHAPES)


def by_text(facts: Dict[str, Any]) -> str:
    return json.dumps(facts, sort_keys=True)
