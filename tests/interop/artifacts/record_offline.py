"""Records artifacts offline with whichever client is installed: `record_offline.py DIRECTORY PAGES`.

Each case makes an artifact of its own, which is then logged; a case may return arguments for that.  What a
case raises is noted by its kind in `errors.json`, and that is compared too.  PAGES is the address of a web
server.
"""

from __future__ import annotations

import datetime
import json
import os
import sys
from pathlib import Path
from typing import Any, Callable, Dict, Optional

import wandb

PAGES = sys.argv[2]
CASES: Dict[str, Callable[[Any], Optional[Dict[str, Any]]]] = {}
# Files at an address that does not depend on who records.
SHARED = Path(sys.argv[1]).parent / "shared"


def case(fill: Callable[[Any], Any]) -> Callable[[Any], Any]:
    CASES[fill.__name__] = fill
    return fill


@case
def nothing(artifact: Any) -> None:
    pass


@case
def files(artifact: Any) -> Dict[str, Any]:
    artifact.add_file("data/a.txt")
    artifact.add_file("data/a.txt", name="deep/./er//again.txt")
    artifact.add_file(Path("data/empty"), skip_cache=True)
    artifact.add_file("data/deep/b.bin", policy="immutable", name="weird\nname \x1b Größe")
    return {"aliases": ["best", "v1.0"], "tags": ["one tag", "two"]}


@case
def temporary_name(artifact: Any) -> None:
    artifact.add_file("data/a.txt", name="t/a.table.json", is_tmp=True)


@case
def directory(artifact: Any) -> Dict[str, Any]:
    artifact.add_dir("data")
    artifact.add_dir("data", name="in/here", policy="immutable", skip_cache=True)
    return {"aliases": "one"}


@case
def new_files(artifact: Any) -> None:
    with artifact.new_file("x.txt") as file:
        file.write("Größe")
    with artifact.new_file("b/y.bin", mode="wb") as file:
        file.write(b"\0\1")
    with artifact.new_file("x.txt", mode="a") as file:
        file.write("more")


@case
def removed(artifact: Any) -> None:
    artifact.add_dir("data")
    artifact.remove("deep")
    artifact.remove(artifact.manifest.entries["empty"])


@case
def merged(artifact: Any) -> None:
    artifact.add_file("data/empty", name="a.txt")
    artifact.add_dir("data", merge=True)


@case
def file_references(artifact: Any) -> None:
    artifact.add_reference(SHARED.as_uri(), name="all")
    artifact.add_reference(f"{SHARED.as_uri()}/one.txt")
    artifact.add_reference(f"{SHARED.as_uri()}/one.txt", name="unchecked", checksum=False)
    artifact.add_reference(SHARED.as_uri(), name="none/checked", checksum=False)


@case
def web_references(artifact: Any) -> None:
    artifact.add_reference(f"{PAGES}/tagged.txt")
    artifact.add_reference(f"{PAGES}/plain.txt", name="other")
    artifact.add_reference(f"{PAGES}/with space.txt", name="space")
    artifact.add_reference(f"{PAGES}/moved.txt", name="moved")
    artifact.add_reference(f"{PAGES}/gone.txt", name="unchecked", checksum=False)


@case
def other_references(artifact: Any) -> None:
    artifact.add_reference("dvc://store/x", name="x")


@case
def metadata(artifact: Any) -> None:
    artifact.metadata = {
        "text": "Größe",
        "nan": float("nan"),
        "deep": {"list": (1, 2.5, None, True)},
        "when": datetime.date(2026, 1, 2),
        "bytes": b"x",
        7: "seven",
    }
    artifact.metadata["late"] = 1
    artifact.description = "words"


@case
def lives_two_days(artifact: Any) -> None:
    artifact.ttl = datetime.timedelta(days=2)


@case
def lives_for_ever(artifact: Any) -> None:
    artifact.ttl = None


@case
def lives_as_agreed(artifact: Any) -> None:
    artifact.ttl = wandb.ArtifactTTL.INHERIT


def fails(call: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def fill(artifact: Any) -> None:
        artifact.add_file("data/a.txt", name="there")
        call(artifact)

    return fill


CASES.update(
    {
        f"error_{name}": fails(call)
        for name, call in {
            "no_file": lambda a: a.add_file("nowhere"),
            "directory_as_file": lambda a: a.add_file("data"),
            "file_as_directory": lambda a: a.add_dir("data/a.txt"),
            "up": lambda a: a.add_file("data/a.txt", name="../x"),
            "absolute": lambda a: a.add_file("data/a.txt", name="/x"),
            "dot": lambda a: a.add_file("data/a.txt", name="."),
            "drive": lambda a: a.add_file("data/a.txt", name="c:/x"),
            "taken": lambda a: a.add_file("data/empty", name="there"),
            "policy": lambda a: a.add_file("data/a.txt", policy="x"),
            "new_file_twice": lambda a: [a.new_file("n").__enter__().close(), a.new_file("n").__enter__()],
            "reference_path": lambda a: a.add_reference("data/a.txt"),
            "reference_unnamed": lambda a: a.add_reference("dvc://x/y"),
            "reference_gone": lambda a: a.add_reference("file:///no/such"),
            "reference_many": lambda a: a.add_reference(SHARED.as_uri(), max_objects=1),
            "remove_nothing": lambda a: a.remove("nothing"),
            "metadata_inf": lambda a: setattr(a, "metadata", {"x": float("inf")}),
            "metadata_list": lambda a: setattr(a, "metadata", [1]),
            "metadata_many": lambda a: setattr(a, "metadata", {str(n): n for n in range(101)}),
            "ttl_zero": lambda a: setattr(a, "ttl", datetime.timedelta(0)),
            "ttl_get": lambda a: a.ttl,
            "version": lambda a: a.version,
            "aliases": lambda a: a.aliases,
            "entry": lambda a: a.get_entry("there"),
            "download": lambda a: a.download(),
            "file_count": lambda a: a.file_count,
            "wait": lambda a: a.wait(),
            "finalized": lambda a: [a.finalize(), a.add_file("data/a.txt")],
            "alias_slash": lambda a: wandb.run.log_artifact(a, aliases=["a/b"]),
            "tag_slash": lambda a: wandb.run.log_artifact(a, tags=["a/b"]),
            "path_nowhere": lambda a: wandb.run.log_artifact("nowhere"),
            "number": lambda a: wandb.run.log_artifact(7),
            "upsert": lambda a: wandb.run.upsert_artifact(a),
            "name_slash": lambda a: wandb.Artifact("a/b", "t"),
            "name_long": lambda a: wandb.Artifact("a" * 129, "t"),
            "name_empty": lambda a: wandb.Artifact("", "t"),
            "type_job": lambda a: wandb.Artifact("a", "job"),
            "type_wandb": lambda a: wandb.Artifact("a", "wandb-x"),
            "type_table": lambda a: wandb.Artifact("run-a", "run_table"),
            "use_offline": lambda a: wandb.run.use_artifact("never-seen:latest"),
        }.items()
    }
)


def main(directory: Path) -> None:
    directory.mkdir()
    SHARED.mkdir(exist_ok=True)
    for name in ("one.txt", "two.txt"):
        (SHARED / name).write_text(name)
    os.chdir(directory)
    Path("data/deep").mkdir(parents=True)
    Path("data/a.txt").write_text("a" * 1000)
    Path("data/empty").write_text("")
    Path("data/deep/b.bin").write_bytes(bytes(range(256)) * 1000)
    errors = {}
    with wandb.init(mode="offline", project="p", id="maker", settings=wandb.Settings(silent=True)) as run:
        for name, fill in CASES.items():
            artifact = wandb.Artifact(name, "dataset")
            try:
                options = fill(artifact) or {}
                if not name.startswith("error_"):
                    run.log_artifact(artifact, **options)
            except Exception as error:
                errors[name] = [
                    kind.__name__ for kind in type(error).__mro__ if "wandb" not in kind.__module__
                ]
        run.log_artifact("data", name="of-path", type="model")
        run.log_artifact("data/a.txt")
        run.upsert_artifact(wandb.Artifact("together", "t"), distributed_id="d")
        run.finish_artifact(wandb.Artifact("together", "t"), distributed_id="d")
    Path("errors.json").write_text(json.dumps(errors))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
