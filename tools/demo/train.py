"""A small real training loop: logistic regression by gradient descent, in plain Python.

The only lines about recording are the three with `wandb` in them.
"""

import math
import random
import sys

import wandb

EPOCHS = int(sys.argv[1]) if len(sys.argv) > 1 else 400
RATE, POINTS, FEATURES = 0.005, 60, 4

random.seed(7)
truth = [random.gauss(0, 2) for _ in range(FEATURES)]
inputs = [[random.gauss(0, 1) for _ in range(FEATURES)] for _ in range(POINTS)]
labels = [1 if sum(w * x for w, x in zip(truth, row)) + random.gauss(0, 1) > 0 else 0 for row in inputs]

run = wandb.init(project="demo", name="logistic", config={"rate": RATE, "points": POINTS}, mode="offline")
weights = [0.0] * FEATURES
for epoch in range(EPOCHS):
    loss, right, guesses, gradient = 0.0, 0, [], [0.0] * FEATURES
    for row, label in zip(inputs, labels):
        guess = 1 / (1 + math.exp(-sum(w * x for w, x in zip(weights, row))))
        loss -= math.log(guess if label else 1 - guess) / POINTS
        right += (guess > 0.5) == bool(label)
        guesses.append(guess)
        for i, x in enumerate(row):
            gradient[i] += (guess - label) * x / POINTS
    weights = [w - RATE * g for w, g in zip(weights, gradient)]
    named = {f"w{i}": w for i, w in enumerate(weights)}
    run.log({"loss": loss, "accuracy": right / POINTS, "weights": named, "guesses": guesses})
    if epoch % 500 == 0:
        print(f"epoch {epoch:5d}  loss {loss:.4f}", flush=True)
run.finish()
