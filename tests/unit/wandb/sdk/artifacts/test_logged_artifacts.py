"""What becomes of an artifact that is logged: files in the run directory, and a record."""

from __future__ import annotations

import gzip
import json
import os
import threading
from pathlib import Path
from typing import Any, List

import pytest
from log_view import LogView

import wandb
from wandb.errors import ArtifactNotLoggedError, NeedsServerError, RunFinishedError
from wandb.sdk import wandb_artifacts


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


def uses(run: Any) -> List[Any]:
    return LogView(run.sync_dir).of("use_artifact")


def offline(**options: Any) -> Any:
    settings = {"silent": True, "console": "off"}
    return wandb.init(mode="offline", project="test", reinit="create_new", settings=settings, **options)


def logged(content: str, **options: Any) -> wandb.Artifact:
    """An artifact that a run of its own has recorded."""
    artifact = wandb.Artifact("digits", "dataset", metadata={"n": 1})
    with artifact.new_file("deep/x.txt") as file:
        file.write(content)
    with offline() as run:
        run.log_artifact(artifact, **options)
    return artifact


def test_what_is_logged_can_be_read_at_once_and_offline() -> None:
    artifact = logged("one").wait()
    assert artifact.file_count == 1
    root = Path(artifact.download())
    assert (root / "deep/x.txt").read_text() == "one"
    artifact.verify()
    assert Path(artifact.file("elsewhere")).read_text() == "one"
    assert Path(artifact.get_entry("deep/x.txt").download("there")).read_text() == "one"
    with pytest.raises(KeyError):
        artifact.get_entry("nothing")
    for only_a_server_knows in ("version", "entity", "aliases", "qualified_name", "created_at"):
        with pytest.raises(ArtifactNotLoggedError):
            getattr(artifact, only_a_server_knows)
    assert artifact.id is None and artifact.is_draft() and artifact.state == "PENDING"


def test_a_download_mends_what_is_wrong_and_leaves_the_rest() -> None:
    artifact = logged("one")
    root = Path(artifact.download("there"))
    (root / "mine").write_text("mine")
    (root / "deep/x.txt").write_text("two")
    with pytest.raises(ValueError, match="not a member"):
        artifact.verify("there")
    artifact.download("there")
    assert (root / "mine").read_text() == "mine" and (root / "deep/x.txt").read_text() == "one"
    artifact.checkout("there")
    assert not (root / "mine").exists()
    artifact.verify("there")
    (root / "deep/x.txt").write_text("two")
    with pytest.raises(ValueError, match="Digest mismatch"):
        artifact.verify("there")


def test_an_offline_run_uses_what_another_has_logged(wandb_init_run: Any) -> None:
    first, second = logged("one", aliases="good"), logged("two")
    latest = wandb_init_run.use_artifact("digits:latest")
    good = wandb_init_run.use_artifact("digits:good", type="dataset")
    assert (latest.digest, good.digest) == (second.digest, first.digest)
    assert good.metadata == {"n": 1} and good.type == "dataset"
    assert Path(good.download(), "deep/x.txt").read_text() == "one"
    assert Path(latest.download(), "deep/x.txt").read_text() == "two"
    said = [(use.name, use.type, use.client_id, use.digest) for use in uses(wandb_init_run)]
    assert said == [
        ("digits:latest", "dataset", second._client_id, second.digest),
        ("digits:good", "dataset", first._client_id, first.digest),
    ]
    with pytest.raises(ValueError, match="does not match type"):
        wandb_init_run.use_artifact("digits:latest", type="model")


def test_what_is_not_here_says_where_it_was_looked_for(wandb_init_run: Any) -> None:
    logged("one")
    for name in ("digits:v3", "others:latest", "other/digits:latest"):
        with pytest.raises(NeedsServerError, match="WANDB_CACHE_DIR"):
            wandb_init_run.use_artifact(name)
        with pytest.raises(TypeError):
            wandb_init_run.use_artifact(name)
    with pytest.raises(ValueError, match="Invalid artifact path"):
        wandb_init_run.use_artifact("a/b/c/d:v0")
    assert not uses(wandb_init_run)


def test_a_file_comes_from_the_cache_when_the_run_directory_is_gone(wandb_init_run: Any) -> None:
    import shutil

    logged("one")
    for directory in Path("wandb").glob("offline-run-*"):
        if str(directory.resolve()) != os.path.realpath(wandb_init_run.sync_dir):
            shutil.rmtree(directory)
    used = wandb_init_run.use_artifact("digits:latest")
    assert Path(used.download(), "deep/x.txt").read_text() == "one"


def test_a_draft_that_is_used_is_logged(wandb_init_run: Any) -> None:
    artifact = wandb.Artifact("a", "b")
    assert wandb_init_run.use_artifact(artifact) is artifact
    (record,) = recorded(wandb_init_run)
    assert record.user_created and record.use_after_commit


def test_several_processes_make_one_artifact_together(wandb_init_run: Any) -> None:
    with pytest.raises(TypeError, match="distributed_id is provided"):
        wandb_init_run.upsert_artifact(wandb.Artifact("a", "b"))
    wandb_init_run.upsert_artifact(wandb.Artifact("a", "b"), distributed_id="d")
    wandb_init_run.finish_artifact(wandb.Artifact("a", "b"), distributed_id="d")
    assert [(record.distributed_id, record.finalize) for record in recorded(wandb_init_run)] == [
        ("d", False),
        ("d", True),
    ]


def test_links_are_recorded_offline(wandb_init_run: Any) -> None:
    Path("m").write_text("m")
    wandb_init_run.link_artifact(wandb.Artifact("a", "b"), "wandb-registry-models/best", aliases=["prod"])
    wandb_init_run.link_model("m", "registered", name="mine")
    wandb_init_run.log_model("m")
    first, second = (use.link for use in uses(wandb_init_run))
    assert (first.project, first.collection, list(first.aliases)) == (
        "wandb-registry-models",
        "best",
        ["prod"],
    )
    assert (second.project, second.collection) == ("model-registry", "registered")
    assert [record.type for record in recorded(wandb_init_run)] == ["b", "model", "model"]
    with pytest.raises(AssertionError):
        wandb_init_run.link_model("m", "a/b")


def test_models_are_used_offline(wandb_init_run: Any) -> None:
    Path("m").write_text("m")
    with offline() as run:
        run.log_model("m", name="mine")
    assert Path(wandb_init_run.use_model("mine:latest")).read_text() == "m"
    logged("one")
    with pytest.raises(AssertionError):
        wandb_init_run.use_model("digits:latest")


def test_the_next_version_begins_with_the_files_of_the_last(wandb_init_run: Any) -> None:
    draft = logged("one").new_draft()
    draft.remove("deep/x.txt")
    with draft.new_file("y") as file:
        file.write("y")
    wandb_init_run.log_artifact(draft)
    next_one = draft.new_draft()
    wandb_init_run.log_artifact(next_one)
    assert kept(wandb_init_run) == [b"y"]
    assert [record.digest for record in recorded(wandb_init_run)] == [draft.digest] * 2


def test_a_disabled_run_keeps_nothing() -> None:
    with wandb.init(mode="disabled") as run:
        artifact = run.log_artifact(wandb.Artifact("a", "b"))
        assert artifact.name == "a"
        run.link_artifact(artifact, "b")


def test_save_logs_to_the_current_run(wandb_init_run: Any) -> None:
    wandb.Artifact("a", "b").save()
    assert [record.name for record in recorded(wandb_init_run)] == ["a"]


@pytest.mark.swallows
@pytest.mark.wandb_args(init={"settings": {"console": "off", "silent": True, "quota_bytes": 100_000}})
def test_beyond_the_quota_files_stay_where_they_are(wandb_init_run: Any, swallowed_errors: Any) -> None:
    Path("big").write_bytes(bytes(200_000))
    wandb_init_run.log_artifact("big", name="a", type="b")
    (record,) = recorded(wandb_init_run)
    (entry,) = record.manifest.contents
    assert entry.local_path == os.path.abspath("big")
    assert not kept(wandb_init_run)
    assert "quota" in str(swallowed_errors[0])
    unkept = wandb.Artifact("c", "d")
    with unkept.new_file("new", mode="w") as file:
        file.write("x" * 200_000)
    wandb_init_run.log_artifact(unkept)
    assert len(recorded(wandb_init_run)) == 1


@pytest.mark.swallows
def test_a_run_directory_that_takes_no_files_costs_no_exception(
    wandb_init_run: Any, swallowed_errors: Any
) -> None:
    Path("x").write_bytes(b"x")
    Path(wandb_init_run.sync_dir, "artifacts").write_text("in the way")
    wandb_init_run.log_artifact("x", name="a", type="b")
    (record,) = recorded(wandb_init_run)
    assert record.manifest.contents[0].local_path == os.path.abspath("x")
    wandb_init_run.log({"loss": 1})


def test_no_room_for_a_copy_costs_no_exception(
    wandb_init_run: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    Path("x").write_bytes(b"x")
    Path("no-directory").write_text("")
    monkeypatch.setenv("WANDB_DATA_DIR", os.path.abspath("no-directory"))
    wandb_init_run.log_artifact("x", name="a", type="b")
    assert kept(wandb_init_run) == [b"x"]


@pytest.mark.wandb_args(init={"settings": {"console": "off", "silent": True, "durability": "record"}})
def test_files_are_on_the_disk_before_the_record(wandb_init_run: Any) -> None:
    wandb_init_run.log_artifact(logged("one"))
    assert kept(wandb_init_run) == [b"one"]


def test_a_hard_link_is_made_of_what_was_promised_only(wandb_init_run: Any) -> None:
    Path("mutable").write_bytes(b"mutable")
    Path("immutable").write_bytes(b"immutable")
    artifact = wandb.Artifact("a", "b")
    artifact.add_file("mutable")
    artifact.add_file("immutable", policy="immutable")
    wandb_init_run.log_artifact(artifact)
    assert os.stat("mutable").st_nlink == 1 and os.stat("immutable").st_nlink > 1
    with open("mutable", "r+b") as file:
        file.write(b"changed")
    assert b"mutable" in kept(wandb_init_run)


def test_a_forked_child_logs_artifacts(wandb_init_run: Any) -> None:
    before = wandb.Artifact("before", "b")
    with before.new_file("x") as file:
        file.write("x")
    child = os.fork()
    if child == 0:
        try:
            wandb_init_run.log_artifact(before)
            mine = wandb.Artifact("mine", "b")
            with mine.new_file("y") as file:
                file.write("y")
            wandb_init_run.log_artifact(mine)
            wandb_init_run.finish()
            os._exit(0)
        except BaseException:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    (side,) = Path(wandb_init_run.sync_dir).glob("*.side-*")
    assert [record.name for record in LogView(side).of("artifact")] == ["before", "mine"]
    assert kept(wandb_init_run) == [b"x", b"y"]


def test_threads_log_artifacts_at_once(wandb_init_run: Any) -> None:
    def work(number: int) -> None:
        artifact = wandb.Artifact(f"a{number}", "b")
        for name in ("same", f"own{number}"):
            with artifact.new_file(name) as file:
                file.write(name)
        wandb_init_run.log_artifact(artifact)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(recorded(wandb_init_run)) == 8 and len(kept(wandb_init_run)) == 9


def test_a_large_manifest_is_a_file_of_its_own(wandb_init_run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wandb_artifacts, "MAX_INLINE_ENTRIES", 2)
    artifact = wandb.Artifact("a", "b")
    for name in ("x", "y", "z"):
        with artifact.new_file(name) as file:
            file.write(name)
    wandb_init_run.log_artifact(artifact)
    (record,) = recorded(wandb_init_run)
    assert not record.manifest.contents and record.manifest.version == 1
    with gzip.open(record.manifest.manifest_file_path, "rt") as lines:
        entries = [json.loads(line) for line in lines]
    assert [entry["path"] for entry in entries] == ["x", "y", "z"]
    assert [Path(entry["local_path"]).read_text() for entry in entries] == ["x", "y", "z"]
