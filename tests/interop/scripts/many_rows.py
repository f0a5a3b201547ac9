"""Some thousand rows of ten numbers."""

import wandb

run = wandb.init(config={"n": 3000})
for step in range(3000):
    run.log({f"metric_{index}": (step * 31 + index * 17) % 101 / 7 for index in range(10)})
run.finish()
