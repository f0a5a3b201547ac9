"""The process is killed after 500 rows; nobody says goodbye."""

import os
import signal

import wandb

run = wandb.init(config={"lr": 0.1}, tags=["doomed"])
run.summary["noted"] = "before"
for step in range(500):
    run.log({"loss": 1.0 / (step + 1), "step_squared": step * step})
os.kill(os.getpid(), signal.SIGKILL)
