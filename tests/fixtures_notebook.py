"""The fixture `notebook`: cells in a real kernel of Jupyter's, in a process of its own.

    cells = notebook("import wandb", "run = wandb.init()", ...)     runs them in order, each in its cell
    cells[1].html, cells[1].text, cells[1].error                    what a cell has shown, printed, raised

The notebook lies as `book.ipynb` in the working directory; the kernel is shut down in order behind the last
cell, unless it has died.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Callable, List, NamedTuple

import pytest

TIMEOUT_S = 120  # per cell


class Cell(NamedTuple):
    """What became of a cell: HTML that it has shown, text that it has printed, name of what it has raised."""

    html: str
    text: str
    error: str


@pytest.fixture
def notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., List[Cell]]:
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import DeadKernelError

    monkeypatch.setenv("WANDB_MODE", os.environ.get("WANDB_MODE", "offline"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")

    def run(*sources: str) -> List[Cell]:
        book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
        nbformat.write(book, "book.ipynb")
        resources: Any = {"metadata": {"path": os.getcwd()}}
        try:
            NotebookClient(book, timeout=TIMEOUT_S, resources=resources, allow_errors=True).execute()
        except DeadKernelError:
            pass
        return [_cell(cell.outputs) for cell in book.cells]

    return run


def _cell(outputs: List[Any]) -> Cell:
    html = "\n".join(out["data"].get("text/html", "") for out in outputs if "data" in out)
    text = "".join(out["text"] for out in outputs if out["output_type"] == "stream")
    return Cell(html, text, "".join(out["ename"] for out in outputs if out["output_type"] == "error"))
