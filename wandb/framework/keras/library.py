"""Keras 3, and the run that a callback reports to."""

from __future__ import annotations

from typing import Any

import wandb
from wandb.data_types.media import library
from wandb.errors import Error, MissingLibraryError


def _keras() -> Any:
    found = library("keras", "keras", "a callback for Keras")
    if int(found.__version__.partition(".")[0]) < 3:
        reason = f"the callbacks are for Keras 3, and this is Keras {found.__version__}"
        raise MissingLibraryError(reason, hint='pip install "wandb-ng[keras]"')
    return found


keras: Any = _keras()


def current_run(callback: object, feature: str) -> Any:
    """Return the current run, and note which callback it uses.

    Args:
        feature: The field of the telemetry's Feature.

    Raises:
        Error: There is none.
    """
    if wandb.run is None:
        raise Error(f"You must call `wandb.init()` before {type(callback).__name__}()")
    wandb.run._used(feature)
    return wandb.run


def as_number(value: Any) -> float:
    """Return a number, a variable or a tensor of one element as a float."""
    return float(keras.ops.convert_to_numpy(value).item())
