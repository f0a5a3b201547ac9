"""commit=False collects one row; commit=True ends it."""

import wandb

run = wandb.init()
run.log({"a": 1}, commit=False)
run.log({"b": 2}, commit=False)
run.log({"c": 3})
run.log({"a": 4})
run.log({"a": 5}, commit=False)
run.log({"a": 6, "b": 7}, commit=True)
run.log({}, commit=False)
run.log({})
run.log({"d": {"x": 1}}, commit=False)
run.log({"d": {"y": 2}}, commit=True)
run.log({"d": 5}, commit=False)
run.log({"d": {"z": 3}}, commit=True)
wandb.log({"last": 1}, commit=False)
wandb.log({"left": "uncommitted"}, commit=False)
run.finish()
