"""define_metric: what the summary keeps."""

import math

import wandb

run = wandb.init()
run.define_metric("all", summary="min,max,mean,last,first")
run.define_metric("low", summary="min")
run.define_metric("nothing", summary="none")
run.define_metric("copied", summary="copy")
run.define_metric("g/*", summary="max")
run.define_metric("g/special", summary="min")
run.define_metric("with_nan", summary="min,max,mean")
run.define_metric("text", summary="first,last")
run.define_metric("tree.leaf", summary="max")
run.define_metric("set_by_hand", summary="max")
run.define_metric("changed", summary="min")
for value in (3.0, 1.0, 2.0, None, 5):
    run.log({"all": value, "low": value, "nothing": value, "copied": value, "undefined": value})
for value in (1, 3, 2):
    run.log(
        {"g/a": value, "g/special": value, "with_nan": math.nan if value == 3 else value, "text": str(value)}
    )
    run.log({"tree": {"leaf": value}, "set_by_hand": value, "changed": value})
run.summary["set_by_hand"] = 100
run.log({"set_by_hand": 7})
run.define_metric("changed", summary="max", overwrite=True)
run.log({"changed": 2})
run.define_metric("low", summary="max")
run.log({"low": 4})
run.finish()
