"""The run is to say nothing of the machine."""

import wandb

run = wandb.init(settings=wandb.Settings(x_disable_machine_info=True), config={"lr": 0.1})
run.log({"loss": 1})
run.finish()
