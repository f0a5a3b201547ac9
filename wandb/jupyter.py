"""Notebooks: showing runs, the `%wandb` and `%%wandb` magics, and keeping the notebook with the run.

    %wandb                        the current run's page, in a frame
    %wandb me/project/runs/id     any page of the server's
    %%wandb -h 600                the page of the run that this cell begins, above what the cell prints

Registered when `wandb` is imported in a notebook; `%load_ext wandb.jupyter` does it by hand.

Rule 1: nothing here may disturb the notebook: what cannot be shown or saved is left out, and told.
Rule 2: what a notebook is, is found out from the environment and from what is loaded.  No server is asked.
"""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any, Dict, List, Optional

if TYPE_CHECKING:
    from wandb.sdk.wandb_run import Run
    from wandb.sdk.wandb_settings import Settings

DEFAULT_HEIGHT = 420  # pixels; as wandb
HISTORY_PATH = "code/_session_history.ipynb"  # as wandb

_magic_height: List[int] = []  # of the `%%wandb` cell that runs now and has not shown a run yet


def shell() -> Any:
    """Return IPython's shell; None outside of it."""
    ipython = sys.modules.get("IPython")
    try:
        return ipython.get_ipython() if ipython is not None else None
    except Exception:
        return None


def in_notebook() -> bool:
    """Say whether this is a kernel of Jupyter's or of a service like it."""
    return hasattr(shell(), "kernel")


def notebook_metadata(settings: Optional[Settings] = None) -> Dict[str, str]:
    """Return name, path and root of this notebook, as far as settings and environment tell; else {}."""
    path = _path(settings)
    return {"root": os.getcwd(), "path": path, "name": os.path.basename(path)} if path else {}


def _path(settings: Optional[Settings]) -> str:
    """Return the notebook's file: what the user says, else what VS Code or Jupyter does; "" if nobody."""
    from wandb import env

    of_vscode = getattr(shell(), "user_ns", {}).get("__vsc_ipynb_file__", "")
    said = getattr(settings, "notebook_name", None) or env.get("WANDB_NOTEBOOK_NAME")
    return said or of_vscode or env.get("JPY_SESSION_NAME") or ""


# ---- showing


def display(run: Run, height: int = DEFAULT_HEIGHT, hidden: bool = False) -> bool:
    """Show a run in the cell that runs now; False if this is no notebook."""
    return _show(run.to_html(height, hidden))


def _show(html: str) -> bool:
    if not in_notebook():
        return False
    from importlib import import_module  # of what only notebooks have

    import_module("IPython.display").display_html(html, raw=True)
    return True


def display_if_magic_is_used(run: Run) -> bool:
    """Show a run that begins in a `%%wandb` cell, the first one only; say whether it is such a cell."""
    if not _magic_height:
        return False
    height = _magic_height[-1]
    if height:
        _magic_height[-1] = 0
        display(run, height)
    return True


def show_lines(*lines: str) -> bool:
    """Show what else would be printed to stderr, as HTML; False if this is no notebook."""
    from html import escape

    return _show("<br>".join(map(escape, lines)))


# ---- magics


def register() -> None:
    """Register the magics where there is an IPython; called when `wandb` is imported."""
    current = shell()
    if current is not None:
        try:
            load_ipython_extension(current)
        except Exception:  # an IPython that works otherwise: the rest of wandb does not need it
            return


def load_ipython_extension(ipython: Any) -> None:
    """Register the magics; called by `%load_ext wandb.jupyter`."""
    ipython.register_magic_function(_magic, magic_kind="line_cell", magic_name="wandb")


def _magic(line: str, cell: Optional[str] = None) -> None:
    """Show a run, or a page of the server's.

    %wandb [-h HEIGHT] [PATH]   the current run, or what is at a path: entity/project/runs/id
    %%wandb [-h HEIGHT]         the run that the cell begins
    """
    path, height = _arguments(line)
    is_shown = True
    if path:
        _show_path(path, height)
    else:
        from wandb.sdk import wandb_setup

        runs = wandb_setup.setup().active_runs
        is_shown = bool(runs) and display(runs[-1], height)
    if cell is None:
        return
    _magic_height.append(0 if is_shown else height)
    try:
        shell().run_cell(cell)
    finally:
        _magic_height.pop()


def _arguments(line: str) -> Any:
    """Return (path, height) of a magic's line.

    Raises:
        UsageError: It makes no sense.
    """
    from wandb.errors import UsageError

    path, height, words = "", DEFAULT_HEIGHT, iter(line.split())
    for word in words:
        name, equals, value = word.partition("=")
        if name in ("-h", "--height"):
            value = value if equals else next(words, "")
            if not value.isdigit():
                raise UsageError(f"%wandb: {name} {value!r} is no number of pixels")
            height = int(value)
        elif word.startswith("-") or path:
            raise UsageError(f"%wandb: {word!r} is not understood", hint="%wandb [-h HEIGHT] [PATH]")
        else:
            path = word
    return path, height


def _show_path(path: str, height: int) -> None:
    from html import escape
    from urllib.parse import quote

    from wandb.sdk import wandb_setup

    base = wandb_setup.setup().settings.base_url.replace("https://api.wandb.ai", "https://wandb.ai")
    url = f"{base.rstrip('/')}/{quote(path.strip('/'))}"
    style = f"border:none;width:100%;height:{height}px;"
    _show(f'<iframe src="{escape(url)}?jupyter=true" style="{style}"></iframe>')


# ---- keeping the notebook


class Notebook:
    """The notebook of one run: its file, the cells that were run, and what they have shown.

    Args:
        settings: The run's.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.shell = shell()
        self.outputs: Dict[int, List[Dict[str, Any]]] = {}  # by the number of the cell
        self._run: Any = None
        self._publish: Any = None

    def watch(self, run: Run) -> None:
        """Save the file behind each cell, and remember what is shown."""
        if self.shell is None:
            return
        self._run = run
        if not self.settings.save_code or self.settings.disable_code:
            return
        self.shell.events.register("post_run_cell", self._after_cell)
        publisher = self.shell.display_pub
        self._publish = publisher.publish

        def publish(data: Any, metadata: Any = None, *args: Any, **kwargs: Any) -> None:
            self._publish(data, metadata, *args, **kwargs)
            self.save_display(self.shell.execution_count, {"data": data, "metadata": metadata})

        publisher.publish = publish

    def finish(self) -> None:
        """Save the cells that were run, and watch no more."""
        if self._publish is None:
            return
        self.shell.events.unregister("post_run_cell", self._after_cell)
        self.shell.display_pub.publish = self._publish
        self._publish = None
        self.save_ipynb()
        self.save_history(self._run)

    def forget(self) -> None:
        """Let go without saving, in a forked child."""
        self._publish = None

    def _after_cell(self, *_: Any) -> None:
        if self._publish is not None:
            self.save_ipynb()

    def save_display(self, number: int, data: Dict[str, Any]) -> None:
        """Remember what a cell has shown."""
        from base64 import b64encode

        content = {
            kind: b64encode(value).decode() if isinstance(value, bytes) else value
            for kind, value in (data["data"] or {}).items()
        }
        self.outputs.setdefault(number, []).append({"data": content, "metadata": data["metadata"] or {}})

    def probe_ipynb(self) -> Optional[Dict[str, Any]]:
        """Return the notebook's file as a dict; None if it is not known or cannot be read."""
        try:
            with open(_path(self.settings), encoding="utf-8") as file:
                found = json.load(file)
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def save_ipynb(self) -> bool:
        """Keep the notebook's file as it is now, below code/; False if it is not known."""
        path = _path(self.settings)
        if not path or not os.path.isfile(path) or self._run is None or self._run._files is None:
            return False
        from wandb.interface import records

        relative = os.path.relpath(path)
        name = os.path.basename(path) if relative.startswith(os.pardir) else relative
        place = os.path.join("code", name)
        return bool(self._run._files.keep("save_code", path, place, records.NOW, records.WANDB))

    def save_history(self, run: Run) -> None:
        """Keep the cells of this session, as they were run, as a notebook of their own."""
        manager = getattr(self.shell, "history_manager", None)
        if manager is None or run._files is None:
            return
        cells = [self._cell(*entry) for entry in manager.get_range(output=True)]
        if len(cells) <= 1:
            return
        python = sys.version_info[0]
        kernel = {"display_name": f"Python {python}", "name": f"python{python}", "language": "python"}
        language = {"name": "python", "version": sys.version.split()[0]}
        book = {
            "cells": cells,
            "metadata": {"kernelspec": kernel, "language_info": language},
            "nbformat": 4,
            "nbformat_minor": 4,
        }
        from tempfile import NamedTemporaryFile

        from wandb.interface import records

        with NamedTemporaryFile("w", encoding="utf-8", errors="replace") as file:
            json.dump(book, file, indent=1, default=str)
            file.flush()
            if run._files.keep("save_code", file.name, HISTORY_PATH, records.NOW, records.WANDB):
                run._note(("session_history",), HISTORY_PATH)

    def _cell(self, session: int, number: int, entry: Any) -> Dict[str, Any]:
        source, printed = entry
        outputs: List[Dict[str, Any]] = []
        if printed:
            outputs.append({"output_type": "stream", "name": "stdout", "text": str(printed)})
        outputs += [{"output_type": "display_data", **shown} for shown in self.outputs.get(number, ())]
        return {
            "cell_type": "code",
            "execution_count": number,
            "metadata": {},
            "outputs": outputs,
            "source": source,
        }
