"""The program ends by sys.exit(3), and nobody calls finish."""

import sys

import wandb

wandb.init(tags=["exits"])
wandb.log({"loss": 1}, step=5)
sys.exit(3)
