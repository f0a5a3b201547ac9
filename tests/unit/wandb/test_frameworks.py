"""What is there of the frameworks' parts where no framework is installed."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from conftest import run_python

import wandb
from wandb.errors import MissingLibraryError

NO_FRAMEWORK = """
import sys
sys.modules["torch"] = sys.modules["keras"] = None  # not to be imported, installed or not
"""


def test_the_packages_load_neither_framework_nor_recorder() -> None:
    done = run_python(
        f"{NO_FRAMEWORK}\n"
        "import wandb.framework.keras, wandb.framework.pytorch, wandb.integration.keras, wandb.keras\n"
        "print(*sys.modules)"
    )
    assert done.returncode == 0, done.stderr
    loaded = done.stdout.split()
    assert not [name for name in loaded if name.startswith(("wandb.sdk", "wandb.data_types", "numpy"))]


@pytest.mark.parametrize("package", ["wandb.integration.keras", "wandb.keras", "wandb.framework.keras"])
@pytest.mark.parametrize(
    "name", ["WandbCallback", "WandbMetricsLogger", "WandbModelCheckpoint", "WandbEvalCallback"]
)
def test_without_keras_each_callback_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, package: str, name: str
) -> None:
    monkeypatch.setitem(sys.modules, "keras", None)
    for module in [one for one in sys.modules if one.startswith("wandb.framework.keras.")]:
        monkeypatch.delitem(sys.modules, module)
    with pytest.raises(MissingLibraryError, match=r'pip install "wandb-ng\[keras\]"'):
        exec(f"from {package} import {name}")


def test_without_pytorch_watch_says_what_to_install(
    wandb_init_run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingLibraryError, match=r'pip install "wandb-ng\[pytorch\]"'):
        wandb.watch(object())
    wandb_init_run.unwatch()


def test_names_that_are_none() -> None:
    with pytest.raises(AttributeError, match="wandb.keras"):
        wandb.keras.WandbNothing
