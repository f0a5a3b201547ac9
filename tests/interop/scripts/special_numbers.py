"""NaN, the infinities, whole floats, negative zero, tiny and huge numbers, integers beyond 64 bits."""

import math

import wandb

run = wandb.init(config={"nan": math.nan, "inf": math.inf, "big": 2**70, "whole": 3.0, "zero": -0.0})
run.log({"loss": math.nan, "high": math.inf, "low": -math.inf})
run.log({"loss": 1.0, "high": 1e308, "low": -1e308})
run.log({"loss": -0.0, "tiny": 5e-324, "exact": 0.1 + 0.2, "third": 1 / 3})
run.log({"int53": 2**53 + 1, "int63": 2**63 - 1, "negative": -(2**63)})
run.log({"unsigned": 2**64 - 1, "huge": 2**70, "exponent": 1.79e9, "billion": 1e9, "e21": 1e21, "e20": 1e20})
run.log({"inside": {"nan": math.nan, "list": [math.nan, math.inf, 1.0]}, "yes": True})
run.summary["best"] = math.nan
run.summary["bound"] = math.inf
run.finish()
