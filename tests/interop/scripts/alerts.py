"""Messages for the user."""

import datetime

import wandb

run = wandb.init()
run.alert("plain", "text")
run.alert(title="warning", text="look\nat this", level=wandb.AlertLevel.WARN, wait_duration=300)
wandb.alert("error", "ж", level="ERROR", wait_duration=datetime.timedelta(minutes=2))
run.log({"loss": 1})
run.finish()
