"""Callbacks for Keras 3, on any of its backends; `wandb.integration.keras` and `wandb.keras` name them too.

metrics_logger    WandbMetricsLogger
model_checkpoint  WandbModelCheckpoint
eval_callback     WandbEvalCallback
callback          WandbCallback, the classic one; made of examples, gradients and validation_table
library           Keras itself, or the error that says how to install it

Keras is imported when the first of these names is looked up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wandb import _load

if TYPE_CHECKING:
    from wandb.framework.keras.callback import WandbCallback as WandbCallback
    from wandb.framework.keras.eval_callback import WandbEvalCallback as WandbEvalCallback
    from wandb.framework.keras.metrics_logger import WandbMetricsLogger as WandbMetricsLogger
    from wandb.framework.keras.model_checkpoint import WandbModelCheckpoint as WandbModelCheckpoint

_HOMES = {
    "WandbCallback": "wandb.framework.keras.callback",
    "WandbEvalCallback": "wandb.framework.keras.eval_callback",
    "WandbMetricsLogger": "wandb.framework.keras.metrics_logger",
    "WandbModelCheckpoint": "wandb.framework.keras.model_checkpoint",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    return _load(globals(), _HOMES, name)
