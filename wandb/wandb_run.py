"""Where older scripts have `Run` from."""

from wandb.sdk.wandb_run import Run as Run

__all__ = ["Run"]
