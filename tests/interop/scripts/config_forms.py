"""All ways into the config."""

import argparse

import wandb

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--layers", type=int, nargs="*", default=[64, 32])
parser.add_argument("--name", default=None)
arguments = parser.parse_args([])

run = wandb.init(
    config={
        "model": {"kind": "resnet", "depth": 18, "blocks": [{"n": 2}, {"n": 3}]},
        "batch": 32,
        "empty": {},
        "none": None,
        "arguments": 3,
        "box": {"was": "dict"},
        "excluded": "secret",
    },
    config_exclude_keys=["excluded"],
    allow_val_change=False,
)
run.config.update(arguments)
run.config.item = 1
run.config["other item"] = "two"
run.config.update({"batch": 64}, allow_val_change=True)
run.config.update({"late": True, "model": {"kind": "vit", "depth": 24, "blocks": []}}, allow_val_change=True)
run.config.update({"arguments": {"was": "int"}, "box": [1, {"deep": True}]}, allow_val_change=True)
run.config.setdefaults({"batch": 1, "fresh": 2})
try:
    run.config.batch = 128
except wandb.errors.Error as error:
    run.config.refused = type(error).__name__
wandb.config.update(dict(by_global=(1, 2, 3)))
run.config["dotted.key"] = 3.0
run.config["ünï/çode"] = "ж 🚀"
run.log({"loss": run.config.lr * run.config["batch"]})
run.finish()
