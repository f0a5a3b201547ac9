"""The process is killed while a row waits for its end."""

import os
import signal

import wandb

run = wandb.init()
run.log({"a": 1})
run.log({"b": 2}, step=5)
run.log({"c": {"d": 3}}, step=5)
run.log({"e": 4}, step=5, commit=False)
os.kill(os.getpid(), signal.SIGKILL)
