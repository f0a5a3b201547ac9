"""`wandb.sdk.lib.telemetry.context()`: how libraries tell wandb that they are in use.

    with wandb.sdk.lib.telemetry.context(run) as tel:
        tel.feature.watch = True

What a library says is taken and dropped: nothing here reports who uses what.
"""

from __future__ import annotations

from typing import Any


class _Anything:
    """Takes every assignment, at every depth."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        found = _Anything()
        object.__setattr__(self, name, found)
        return found


class context:
    """A `with` block in which anything may be set on what it gives."""

    def __init__(self, run: Any = None, obj: Any = None) -> None:
        self._told = _Anything() if obj is None else obj

    def __enter__(self) -> Any:
        return self._told

    def __exit__(self, *error: Any) -> None:
        pass
