"""What a user of the real client does with artifacts, online; prints what it got as one JSON object."""

import json
import sys
from pathlib import Path

import wandb

got = {}
place = Path("things")
place.mkdir()
(place / "a.txt").write_text("a" * 1000)
(place / "deep").mkdir()
(place / "deep" / "b.bin").write_bytes(bytes(range(256)))

with wandb.init(project="art", entity="interop", id="maker") as run:
    first = wandb.Artifact("data", "dataset", description="first", metadata={"n": 1})
    first.add_dir(str(place))
    first.add_reference("https://example.org/x", name="ref", checksum=False)
    run.log_artifact(first, aliases=["best"], tags=["red"]).wait()
    got["first"] = [first.name, first.version, sorted(first.aliases), first.digest, first.state, first.size]
    again = wandb.Artifact("data", "dataset")
    again.add_dir(str(place))
    again.add_reference("https://example.org/x", name="ref", checksum=False)
    run.log_artifact(again).wait()
    got["same"] = again.version
    (place / "a.txt").write_text("changed")
    second = wandb.Artifact("data", "dataset")
    second.add_dir(str(place))
    run.log_artifact(second).wait()
    got["second"] = [second.version, sorted(second.aliases)]
    run.log({"table": wandb.Table(columns=["x"], data=[[1], [2]])})
    linked = run.link_artifact(second, "interop/art/portfolio", aliases=["prod"])
    got["linked"] = [linked.name, linked.collection.name, sorted(linked.aliases)] if linked else None
    added = second.new_draft()
    with added.new_file("new.txt") as file:
        file.write("new")
    run.log_artifact(added).wait()
    got["draft"] = [added.version, sorted(added.manifest.entries)]

with wandb.init(project="art", entity="interop", id="user") as run:
    used = run.use_artifact("data:best")
    down = Path(used.download("down"))
    got["downloaded"] = sorted(str(path.relative_to(down)) for path in down.rglob("*") if path.is_file())
    used.verify("down")
    got["entry"] = Path(used.get_entry("a.txt").download("entry")).read_text()[:3]

api = wandb.Api()
artifact = api.artifact("interop/art/data:latest")
got["latest"] = artifact.version
artifact.aliases.append("added")
artifact.metadata["k"] = 2
artifact.description = "described"
artifact.tags = ["blue"]
artifact.save()
artifact = api.artifact("interop/art/data:added")
got["saved"] = [artifact.version, artifact.metadata, artifact.description, artifact.tags]
got["versions"] = [v.version for v in api.artifacts("dataset", "interop/art/data")]
got["types"] = [t.name for t in api.artifact_types("interop/art")]
got["collections"] = sorted(c.name for c in api.artifact_collections("interop/art", "dataset"))
got["exists"] = [api.artifact_exists("interop/art/data:v0"), api.artifact_exists("interop/art/data:v9")]
maker, user = (api.run(f"interop/art/{name}") for name in ("maker", "user"))
got["logged"] = [a.name for a in maker.logged_artifacts()]
got["used"] = [a.name for a in user.used_artifacts()]
best = api.artifact("interop/art/data:best")
got["used_by"] = [r.id for r in best.used_by()]
got["logged_by"] = best.logged_by().id
got["files"] = sorted(f.name for f in best.files())
got["ttl"] = str(best.ttl)
portfolio = api.artifact("interop/art/portfolio:prod")
got["portfolio"] = [portfolio.name, portfolio.source_name, portfolio.is_link]
portfolio.unlink()
got["unlinked"] = api.artifact_exists("interop/art/portfolio:prod")
try:
    best.delete()
    got["deleted"] = "without aliases"
except Exception as error:
    got["deleted"] = type(error).__name__
best.delete(delete_aliases=True)
got["gone"] = api.artifact_exists("interop/art/data:v0")
Path(sys.argv[1]).write_text(json.dumps(got))
