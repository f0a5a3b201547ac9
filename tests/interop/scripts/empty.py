"""Nothing is logged."""

import wandb

wandb.init().finish()
