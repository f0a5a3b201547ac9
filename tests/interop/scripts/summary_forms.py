"""All ways into the summary, and out of it."""

import wandb

run = wandb.init()
run.log({"loss": 2.0, "acc": 0.5, "gone": 1, "nested": {"a": 1, "b": 2}})
run.log({"loss": 1.0, "acc": 0.75})
run.summary["best_acc"] = 0.9
run.summary.note = "by attribute"
run.summary.update({"final": {"f1": 0.8, "by_class": {"cat": 1}}, "n": 3})
run.summary["late"] = {"f1": 0.5}
run.summary["none"] = None
run.summary["list"] = [1, {"x": None}]
run.summary["acc"] = 0.99
del run.summary["gone"]
run.log({"loss": 0.5})
run.summary["loss"] = "overwritten"
run.log({"loss": 0.25, "acc": 0.8})
wandb.summary["by_global"] = 1
run.summary["dotted.key"] = 1
run.summary["with space/slash"] = 2
run.finish()
