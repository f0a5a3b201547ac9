"""Is this a notebook?  Libraries ask so by wandb's own functions."""

from __future__ import annotations

import sys


def _shell_name() -> str:
    if "IPython" not in sys.modules:  # who runs in IPython has it imported
        return ""
    shell = sys.modules["IPython"].get_ipython()
    return "" if shell is None else f"{type(shell).__module__}.{type(shell).__name__}"


def in_notebook() -> bool:
    """Whether the program runs in IPython, at a terminal or in Jupyter."""
    return bool(_shell_name())


def in_jupyter() -> bool:
    """Whether it runs in Jupyter, Colab or the like."""
    name = _shell_name()
    return bool(name) and "terminal" not in name.lower()


def in_ipython() -> bool:
    """Whether it runs in IPython at a terminal."""
    return in_notebook() and not in_jupyter()
