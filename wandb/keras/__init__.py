"""The callbacks for Keras, where wandb had them first; they live in `wandb.framework.keras`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wandb import _load
from wandb.framework.keras import _HOMES

if TYPE_CHECKING:
    from wandb.framework.keras.callback import WandbCallback as WandbCallback
    from wandb.framework.keras.eval_callback import WandbEvalCallback as WandbEvalCallback
    from wandb.framework.keras.metrics_logger import WandbMetricsLogger as WandbMetricsLogger
    from wandb.framework.keras.model_checkpoint import WandbModelCheckpoint as WandbModelCheckpoint

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    return _load(globals(), _HOMES, name)
