"""The program says itself that it failed."""

import wandb

with wandb.init() as run:
    run.log({"loss": 1})
    run.finish(exit_code=7)
