"""Somebody presses Ctrl-C."""

import os
import signal
import time

import wandb

wandb.init()
wandb.log({"loss": 1})
os.kill(os.getpid(), signal.SIGINT)
time.sleep(30)
