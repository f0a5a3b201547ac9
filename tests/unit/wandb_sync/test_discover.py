"""Paths that a user gives -> logs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Dict, List

import pytest
from log_builder import LogBuilder

from wandb.errors import UsageError
from wandb.sdk import wandb_setup
from wandb_sync.discover import discover, directories_by_run, find, sidecars


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A directory with wandb/ and three runs in it, the last of which `latest-run` leads to."""
    root = tmp_path / "tree"
    for name in ("offline-run-20260101_000000-a", "offline-run-20260102_000000-b", "run-20260103_000000-c"):
        directory = root / "wandb" / name
        (directory / "files").mkdir(parents=True)
        (directory / f"run-{name[-1]}.wandb").write_bytes(b"")
    os.symlink("run-20260103_000000-c", root / "wandb" / "latest-run")
    (root / "wandb" / "settings").write_text("")
    (root / "wandb" / "logs").mkdir()
    return root


def found(tree: Path, *paths: str) -> List[str]:
    return [log.path.name for log in discover(paths, tree)]


@pytest.mark.parametrize(
    "paths, logs",
    [
        ((), ["a", "b", "c"]),
        (("wandb",), ["a", "b", "c"]),
        ((".",), ["a", "b", "c"]),
        (("wandb/offline-run-20260101_000000-a",), ["a"]),
        (("wandb/offline-run-20260101_000000-a/",), ["a"]),
        (("wandb/offline-run-20260102_000000-b/run-b.wandb",), ["b"]),
        (("wandb/offline-run-*",), ["a", "b"]),
        (("wandb/*/*.wandb",), ["a", "b", "c"]),
        (("wandb/latest-run",), ["c"]),
        (("wandb/latest-run", "wandb", "wandb/run-20260103_000000-c"), ["a", "b", "c"]),
    ],
)
def test_each_form_of_a_path_is_understood(tree: Path, paths: tuple, logs: List[str]) -> None:
    assert found(tree, *paths) == [f"run-{name}.wandb" for name in logs]


@pytest.mark.parametrize("path", ["nothing", "wandb/logs", "wandb/settings", "no-match-*"])
def test_a_path_without_a_run_is_an_error_that_names_it(tree: Path, path: str) -> None:
    with pytest.raises(UsageError, match=path.replace("*", r"\*")):
        discover([path], tree)


def test_one_path_without_a_run_does_not_keep_the_others_back(tree: Path) -> None:
    (tree / "wandb" / "offline-run-20260104_000000-d").mkdir()
    logs, unusable = find(["wandb/offline-run-*", "wandb/logs", "nothing", "x" * 5000, "wandb"], tree)
    assert [log.path.name for log in logs] == ["run-a.wandb", "run-b.wandb", "run-c.wandb"]
    assert [(its.path, its.error is None) for its in unusable] == [
        ("wandb/logs", True),
        ("nothing", False),
        ("x" * 5000, False),
    ]
    assert len(discover(["wandb/logs", "wandb"], tree)) == 3


def test_a_directory_that_cannot_be_read_is_told_as_such(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("wandb_sync.discover.os.listdir", refuse)
    monkeypatch.setattr("wandb_sync.discover.os.scandir", refuse)
    assert [its.reason for its in find(["wandb"], tree)[1]] == ["cannot be read: Permission denied"]
    monkeypatch.setattr("wandb_sync.discover.os.stat", refuse)
    assert [its.reason for its in find(["wandb"], tree)[1]] == ["cannot be read: Permission denied"]


@pytest.mark.parametrize(
    "environ, settings, recorded_in",
    [
        ({}, "", "wandb"),
        ({}, "", ".wandb"),
        ({"WANDB_DIR": "elsewhere"}, "", "elsewhere/wandb"),
        ({"WANDB_DIR": "elsewhere"}, "", "elsewhere/.wandb"),
        ({"WANDB_DIR": "~/home"}, "", "home/wandb"),
        ({}, "root_dir = elsewhere", "elsewhere/wandb"),
        ({"WANDB_USE_DOT_WANDB": "true"}, "", ".wandb"),
    ],
)
def test_without_paths_it_is_where_the_sdk_records(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    environ: Dict[str, str],
    settings: str,
    recorded_in: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    Path("wandb").mkdir()
    Path("wandb/settings").write_text(f"[default]\n{settings}\n")
    Path(recorded_in).mkdir(parents=True, exist_ok=True)
    setup = wandb_setup.Setup()
    assert Path(setup.settings.wandb_dir).resolve() == Path(recorded_in).resolve()
    LogBuilder(Path(recorded_in)).close()
    assert [log.path.parents[1] for log in discover([])] == [Path(recorded_in).resolve()]


def test_no_path_and_no_wandb_directory_is_nothing_to_do(tmp_path: Path) -> None:
    assert discover([], tmp_path) == []


def test_the_real_directory_is_used_and_shown(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree)
    (log,) = [log for log in discover([]) if log.path.name == "run-c.wandb"]
    assert log.directory.name == "run-20260103_000000-c"
    assert log.shown == "wandb/run-20260103_000000-c/run-c.wandb"


def test_two_names_of_one_file_are_one_log(tree: Path) -> None:
    run = tree / "wandb" / "offline-run-20260101_000000-a"
    os.link(run / "run-a.wandb", run / "run-other.wandb")
    assert len(discover(["wandb/offline-run-20260101_000000-a"], tree)) == 1


def test_what_was_named_and_what_was_found_are_told_apart(tree: Path) -> None:
    assert [log.is_named for log in discover(["wandb"], tree)] == [False] * 3
    assert [log.is_named for log in discover(["wandb/run-20260103_000000-c"], tree)] == [True]


def test_the_syncers_files_stand_beside_the_log_or_where_they_are_told(tree: Path, tmp_path: Path) -> None:
    (log,) = discover(["wandb/latest-run"], tree)
    assert sidecars(log).checkpoint == log.path.with_name("run-c.wandb.checkpoint")
    elsewhere = sidecars(log, tmp_path).checkpoint
    assert elsewhere == tmp_path / "run-20260103_000000-c-run-c.wandb.checkpoint"


def test_directories_are_found_by_the_run_that_they_may_be_of(tmp_path: Path) -> None:
    names = ["offline-run-20260101_000000-x", "run-20260102_000000-x-1", "run-20260103_000000-y", "copy of x"]
    for name in names:
        (tmp_path / "tree" / name).mkdir(parents=True)
    found = directories_by_run(tmp_path / "tree")
    assert sorted(found["x"]) == names[:2]
    assert found["x-1"] == [names[1]]
    assert found["y"] == [names[2]]
    assert found[""] == ["copy of x"]
    assert not directories_by_run(tmp_path / "gone")
