"""A progress bar: one line that is written again and again, and a cursor that moves up and down."""

import sys

import wandb

run = wandb.init(settings=wandb.Settings(console="wrap"))
for done in range(0, 101, 5):
    sys.stderr.write(f"\rtraining: {done:3d}%|{'#' * (done // 10):10s}|")
    sys.stderr.flush()
    run.log({"done": done})
sys.stderr.write("\n")
print("epoch 1", end="\r")
print("epoch 2 is longer", end="\r")
print("epoch 3")
print("first bar\nsecond bar")
print("\033[A\033[Afirst bar done\033[B\033[B", end="\r")
print("after the bars")
run.finish()
