"""Dicts that take the place of dicts, and keys set in dicts that are there."""

import wandb

run = wandb.init(config={"model": {"kind": "resnet", "depth": 18, "blocks": {"n": 2}}, "kept": {"a": 1}})
run.config.update({"model": {"kind": "vit", "blocks": {"m": 3}}}, allow_val_change=True)
run.log({"loss": {"train": 1.5, "val": {"mean": 2, "max": 3}}, "other": 1})
run.log({"loss": 3})
run.log({"loss": {"train": 0.5}})
run.summary["final"] = {"f1": 0.8, "by_class": {"cat": 1}}
run.summary["final"]["recall"] = 0.7
run.finish()
