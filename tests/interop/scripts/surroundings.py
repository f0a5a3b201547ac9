"""What a run says of the machine, the program and its packages, and what it measures of them."""

import time

import wandb

run = wandb.init(settings=wandb.Settings(x_disable_stats=False, x_stats_sampling_interval=0.2))
run.log({"loss": 1})
time.sleep(1)
run.finish()
