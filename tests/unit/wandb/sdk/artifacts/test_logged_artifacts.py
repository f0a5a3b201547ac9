"""What becomes of an artifact that is logged: files in the run directory, and a record."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, List

import pytest
from log_view import LogView

import wandb
from wandb.errors import RunFinishedError


def recorded(run: Any) -> List[Any]:
    return LogView(run.sync_dir).of("artifact")


def kept(run: Any) -> List[bytes]:
    return sorted(path.read_bytes() for path in Path(run.sync_dir, "artifacts").rglob("*") if path.is_file())


def test_the_run_directory_has_the_files_and_the_log_the_record(wandb_init_run: Any) -> None:
    Path("x").write_bytes(b"x")
    artifact = wandb.Artifact("digits", "dataset", description="words", metadata={"n": 1})
    artifact.add_file("x")
    artifact.add_file("x", name="again")
    logged = wandb_init_run.log_artifact(artifact, aliases=["best"], tags="t")
    assert logged is artifact
    (record,) = recorded(wandb_init_run)
    assert (record.name, record.type, record.digest) == ("digits", "dataset", artifact.digest)
    assert (record.run_id, record.project) == (wandb_init_run.id, "test")
    assert (list(record.aliases), list(record.tags)) == (["best", "latest"], ["t"])
    assert (record.description, record.metadata) == ("words", '{"n": 1}')
    assert record.finalize and not record.user_created
    assert [entry.path for entry in record.manifest.contents] == ["again", "x"]
    for entry in record.manifest.contents:
        assert Path(entry.local_path).read_bytes() == b"x"
        assert entry.local_path.startswith(wandb_init_run.sync_dir)
    assert kept(wandb_init_run) == [b"x"]


def test_nothing_waits_when_all_is_logged(wandb_init_run: Any) -> None:
    Path("x").write_bytes(b"x")
    wandb_init_run.log_artifact("x", type="dataset")
    assert not [path for path in Path("wandb/staging").rglob("*") if path.name.isdigit()]


def test_a_path_becomes_an_artifact(wandb_init_run: Any) -> None:
    Path("data").mkdir()
    Path("data/x").write_bytes(b"x")
    wandb_init_run.log_artifact("data/x")
    wandb_init_run.log_artifact(Path("data"), name="d", type="dataset")
    wandb_init_run.log_artifact(f"file://{os.path.abspath('data')}", name="r", type="dataset")
    with pytest.raises(ValueError, match="path must be a file"):
        wandb_init_run.log_artifact("nowhere")
    names = [(record.name, record.type) for record in recorded(wandb_init_run)]
    assert names == [(f"run-{wandb_init_run.id}-x", "unspecified"), ("d", "dataset"), ("r", "dataset")]


@pytest.mark.parametrize(
    "arguments",
    [{"aliases": ["a/b"]}, {"aliases": ["a:b"]}, {"tags": ["a/b"]}, {"aliases": 7}, {"tags": [7]}],
)
def test_what_is_wrong_raises_before_anything_is_recorded(wandb_init_run: Any, arguments: Any) -> None:
    artifact = wandb.Artifact("a", "b")
    with pytest.raises(ValueError):
        wandb_init_run.log_artifact(artifact, **arguments)
    with pytest.raises(TypeError):
        wandb_init_run.log_artifact(7)
    assert not recorded(wandb_init_run)


def test_a_finished_run_takes_none(wandb_init_run: Any) -> None:
    wandb_init_run.finish()
    with pytest.raises(RunFinishedError):
        wandb_init_run.log_artifact(wandb.Artifact("a", "b"))


def test_one_artifact_in_two_runs(wandb_init_run: Any) -> None:
    artifact = wandb.Artifact("a", "b")
    with artifact.new_file("x") as file:
        file.write("x")
    wandb_init_run.log_artifact(artifact)
    wandb_init_run.finish()
    with wandb.init(mode="offline", project="test", settings={"silent": True}) as second:
        second.log_artifact(artifact)
    assert kept(wandb_init_run) == kept(second) == [b"x"]
