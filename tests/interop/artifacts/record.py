"""Artifacts of all kinds that can be logged offline; the same calls for both clients."""

from pathlib import Path

import wandb

place = Path("things")
place.mkdir()
(place / "a.txt").write_text("a" * 1000)
(place / "empty").write_text("")
(place / "deep").mkdir()
(place / "deep" / "b.bin").write_bytes(bytes(range(256)))

with wandb.init(project="recorded", entity="interop", id="maker") as run:
    first = wandb.Artifact("data", "dataset", description="first", metadata={"n": 1, "deep": {"x": [1, 2]}})
    first.add_dir(str(place))
    first.add_reference("https://example.org/x", name="ref", checksum=False)
    run.log_artifact(first, aliases=["best", "latest"], tags=["red"])
    again = wandb.Artifact("data", "dataset")
    again.add_dir(str(place))
    again.add_reference("https://example.org/x", name="ref", checksum=False)
    run.log_artifact(again)
    run.log({"loss": 1})
    (place / "a.txt").write_text("changed")
    second = wandb.Artifact("data", "dataset")
    second.add_dir(str(place))
    second.ttl = None
    run.log_artifact(second)
    run.log({"table": wandb.Table(columns=["x"], data=[[1], [2]])})
    model = wandb.Artifact("model", "model")
    with model.new_file("new.txt") as file:
        file.write("new")
    run.log_artifact(model)
