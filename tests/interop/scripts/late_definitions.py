"""define_metric for what was logged before, once more, and for what a glob has met."""

import wandb

run = wandb.init()
run.log({"late": 5, "one_more": 5, "v/x": 5, "v/own": 5})
run.log({"late": 7, "one_more": 7})
run.define_metric("late", summary="min,max,first")
run.define_metric("v/*", summary="min")
run.log({"late": 3, "v/x": 2, "v/own": 1})
run.define_metric("v/*", summary="max")
run.define_metric("v/own", summary="last")
run.log({"late": 4, "v/x": 9, "v/own": 2, "v/new": 6})
run.define_metric("one_more", summary="max")
run.finish()
