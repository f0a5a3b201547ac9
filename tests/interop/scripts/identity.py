"""Name, notes, tags, group and job type, given and changed."""

import wandb

run = wandb.init(name="first name", notes="first notes", tags=["a", "b"], group="the group", job_type="train")
run.log({"loss": 1})
run.name = "second näme"
run.notes = "line one\nline two"
run.tags = ("b", "c")
run.tags += ("d e",)
run.log({"loss": 2})
run.finish()
