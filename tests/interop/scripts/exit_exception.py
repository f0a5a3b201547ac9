"""The program dies of an exception."""

import wandb

run = wandb.init(config={"lr": 1})
run.log({"loss": 1})
print("before the fall")
raise RuntimeError("the training diverged")
