"""A config out of YAML files."""

import wandb

with open("config-defaults.yaml", "w", encoding="utf-8") as file:
    file.write(
        "lr:\n  desc: the rate\n  value: 0.5\nlayers:\n  value: [1, 2]\nmodel:\n  value:\n    kind: resnet\n"
    )
run = wandb.init(config={"lr": 0.25, "mine": True})
with open("more.yaml", "w", encoding="utf-8") as file:
    file.write("extra:\n  value: text\nlate:\n  value: null\n")
run.config.update("more.yaml")
run.log({"loss": 1})
run.finish()
