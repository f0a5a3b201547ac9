"""One program, two runs, one after the other."""

import os

import wandb

first = wandb.init(id=os.environ["WANDB_RUN_ID"] + "_before", config={"lr": 1})
first.define_metric("loss", summary="max")
first.log({"loss": 2, "only_first": 1})
print("printed in the first")
second = wandb.init(reinit=True, config={"lr": 2})
assert second is not first
print("printed in the second")
second.log({"loss": 1})
second.summary["is"] = "second"
wandb.finish()
