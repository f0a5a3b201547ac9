"""Values inside of values: dicts, lists, lists of dicts, None, empty ones, long texts."""

import wandb

run = wandb.init()
run.log({"loss": {"train": 1.5, "val": {"mean": 2, "by_class": {"cat": 0.25, "dog": 0.75}}}, "epoch": 0})
run.log({"loss": {"train": 1.25}, "boxes": [{"x": 1, "label": "cat"}, {"x": 2.5, "label": None}]})
run.log({"nothing": None, "empty_dict": {}, "empty_list": [], "inner": {"empty": {}, "nothing": None}})
run.log({"mixed": [1, 2.5, "three", None, True, [4, [5]], {"six": 7}], "flag": True, "off": False})
run.log({"text": "x" * 20_000, "tuple": (1, 2), "epoch": 4})
run.log({"loss": 3, "epoch": {"n": 5}})
run.log({"keys": {1: "one", "two": 2}})
run.finish()
