"""The program ends by sys.exit with a text."""

import sys

import wandb

wandb.init()
wandb.log({"loss": 1})
sys.exit("no more data")
