"""matplotlib's figures, however a user holds one: the figure, a part of it, or pyplot."""

from __future__ import annotations

from typing import Any

from wandb.errors import ValidationError


def matplotlib_figure(value: Any) -> Any:
    """Return the figure that pyplot draws on now, or that a part of a figure belongs to.

    Raises:
        ValidationError: There is none, or pyplot has drawn nothing.
    """
    if hasattr(value, "gcf"):
        value = value.gcf()
        if not any(axes.has_data() for axes in value.axes):
            raise ValidationError("pyplot", "its figure is empty", hint="draw first, or pass the figure")
    elif not hasattr(value, "savefig"):
        value = value.get_figure() if hasattr(value, "get_figure") else None
    if value is None or not hasattr(value, "axes"):
        raise ValidationError("a figure", "that is no figure of matplotlib's")
    return value


def library_of(value: Any) -> str:
    """Return the name of the library that a value, or pyplot itself, comes from."""
    name = value.__name__ if hasattr(value, "gcf") and hasattr(value, "__name__") else type(value).__module__
    return str(name).partition(".")[0]
