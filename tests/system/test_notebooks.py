"""Runs in notebooks: real cells in a real kernel, and what is in the log behind them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable, List

import pytest
from log_view import LogView

Notebook = Callable[..., List[Any]]


def log_of(run_id: str) -> LogView:
    (path,) = Path("wandb").glob(f"*run-*-{run_id}/run-{run_id}.wandb")
    return LogView(path)


def files_of(run_id: str) -> Path:
    (path,) = Path("wandb").glob(f"*run-*-{run_id}/files")
    return path


def test_a_notebook_from_its_first_cell_to_its_last(
    notebook: Notebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_NOTEBOOK_NAME", "book.ipynb")
    monkeypatch.setenv("WANDB_SAVE_CODE", "true")
    cells = notebook(
        "import wandb",
        "%%wandb -h 77\nrun = wandb.init(project='p', id='one', config={'lr': 1})\nprint('begun')",
        "run.log({'a': 1})\nprint('in a cell')\nrun",
        "run.config.lr = 2\n1 / 0",
        "run.log({'a': 2})",
        "again = wandb.init(project='p', id='two')\nassert again is not run",
        "%wandb -h 50",
        "wandb.login(), again.log({'b': 1})",
        "from IPython.display import display\ndisplay(again)",
    )
    assert [cell.error for cell in cells] == ["", "", "", "ZeroDivisionError", "", "", "", "", ""]
    assert "begun" in cells[1].text and "Run one is recorded in" in cells[1].html
    assert "Display W&amp;B run" in cells[2].html and "Run two is recorded" in cells[6].html
    assert "Run summary" in cells[5].html and "Run data is saved locally in" in cells[5].html
    assert not any("callback" in cell.text for cell in cells)

    one, two = log_of("one"), log_of("two")
    assert one.rows() == [{"a": 1, "_step": 0}, {"a": 2, "_step": 1}] and two.rows() == [{"b": 1, "_step": 0}]
    assert one.config()["lr"] == 2  # notebooks may change it
    assert "in a cell" in one.console() and "in a cell" not in two.console()
    assert [log.of("exit")[0].exit_code for log in (one, two)] == [0, 0]  # an error in a cell ends no run
    assert one.of("environment")[0].program == "book.ipynb"

    code = files_of("two") / "code"
    assert json.loads((code / "book.ipynb").read_text())["nbformat"] == 4
    history = json.loads((code / "_session_history.ipynb").read_text())
    assert history["cells"][0]["source"] == "import wandb"
    shown = [out["output_type"] for cell in history["cells"] for out in cell["outputs"]]
    assert "display_data" in shown
    assert two.config()["_wandb"]["session_history"] == "code/_session_history.ipynb"


def test_the_log_of_a_kernel_that_is_killed_has_all_rows(notebook: Notebook) -> None:
    notebook(
        "import os, signal, wandb\nrun = wandb.init(project='p', id='dead')\nprint('alive')",
        "for i in range(5): run.log({'i': i})",
        "os.kill(os.getpid(), signal.SIGKILL)",
    )
    log = log_of("dead")
    assert [row["i"] for row in log.rows()] == list(range(5)) and not log.of("exit")
    assert "alive" in log.console()


def test_nothing_is_shown_or_kept_that_nobody_wants(notebook: Notebook) -> None:
    cells = notebook(
        "import wandb\nrun = wandb.init(project='p', id='quiet', settings={'silent': True})",
        "run.display()",
        "run.finish()\nprint('over')",
        "%wandb",
        "%wandb --nonsense",
    )
    assert [cell.html for cell in cells] == ["", "", "", "", ""]
    assert cells[2].text == "over\n" and cells[4].error == "UsageError"
    assert not (files_of("quiet") / "code").exists()
