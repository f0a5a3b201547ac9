"""All forms of step=: growing, repeated, with gaps, going back, mixed with none."""

import wandb

run = wandb.init()
for step in range(3):
    run.log({"loss": 1.0 / (step + 1)}, step=step)
run.log({"extra": "same row"}, step=2)
run.log({"loss": 0.25, "extra": "replaced"}, step=2)
run.log({"loss": 0.2}, step=10)
run.log({"late": 1, "loss": 99.0}, step=4)
run.log({"loss": 0.15}, step=11)
run.log({"joined": 2})
run.log({"alone": 3})
run.log({"loss": 0.1}, step=20, commit=True)
run.log({"after_commit": 1}, step=20)
run.log({"loss": 0.05}, step=21, commit=False)
run.log({"nested": {"a": 1}}, step=30)
run.log({"nested": {"b": 2}}, step=30)
run.log({"_step": 77, "own_step": 1})
run.log({"end": True}, step=40)
run.finish()
