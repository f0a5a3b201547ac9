"""numpy scalars and arrays; long arrays become histograms."""

import numpy as np
import wandb

run = wandb.init(config={"rate": np.float32(0.1), "sizes": np.array([8, 16]), "n": np.int64(7)})
run.config.update({"long": np.arange(40), "one": np.array([1.5]), "list": [np.array(4.5), np.float64(2)]})
run.log({"f16": np.float16(0.1), "f32": np.float32(0.1), "f64": np.float64(0.1)})
run.log({"i8": np.int8(-5), "u64": np.uint64(2**64 - 1), "i64": np.int64(-(2**63)), "bool": np.bool_(True)})
run.log({"zero_dim": np.array(4.5), "one": np.array([1.5]), "short": np.arange(5), "matrix": np.eye(3)})
run.log({"at_32": np.arange(32), "histogram": np.linspace(-1.0, 1.0, 200)})
run.log({"histogram": np.arange(1000) % 7, "nested": {"mean": np.float32(2.5), "list": np.array([1, 2])}})
run.log({"list": [np.float32(1.5), np.int64(2)], "text": np.str_("numpy text")})
run.log({"nan": np.float32("nan"), "inf": np.float64("inf"), "row": np.array([1.0, np.nan])})
run.summary["array"] = np.array([1, 2, 3])
run.summary["long"] = np.linspace(0.0, 5.0, 50)
run.summary["scalar"] = np.float32(0.5)
run.finish()
