"""Which files a call of `save` means; the answers are wandb's, but that directories are taken whole."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Dict, List

import pytest
from log_view import LogView

import wandb
from wandb.errors import ValidationError


@pytest.fixture(autouse=True)
def tree() -> None:
    for path in ("a.txt", "d/b.txt", "d/e/c.txt", "d/e/f/g.txt", "d/e/x[1].txt"):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(path)


def saved(what: Any, **options: Any) -> List[str]:
    """Save in a run of its own; return where the files are in the run, as its directory and its log say."""
    with wandb.init(project="p", mode="offline", settings={"silent": True}) as run:
        answer = run.save(what, **options)
        assert isinstance(answer, list)
        below = sorted(os.path.relpath(path, run.dir) for path in answer)
    for path in answer:
        assert os.path.isfile(path) and not os.path.islink(path)
    items = [item for record in LogView(run.sync_dir).of("files") for item in record.files]
    assert sorted(item.path for item in items if item.path != "requirements.txt") == below
    return below


IN_E = ["d/e/c.txt", "d/e/x[1].txt"]
ALL = ["d/b.txt", "d/e/c.txt", "d/e/f/g.txt", "d/e/x[1].txt"]


@pytest.mark.parametrize(
    "glob, options, expected",
    [
        ("a.txt", {}, ["a.txt"]),
        ("./a.txt", {}, ["a.txt"]),
        ("d/../a.txt", {}, ["a.txt"]),
        (b"a.txt", {}, ["a.txt"]),
        (Path("d/b.txt"), {}, ["d/b.txt"]),
        (Path("d/b.txt"), {"base_path": Path("d")}, ["b.txt"]),
        ("d/b.txt", {}, ["d/b.txt"]),
        ("d/e/*.txt", {}, IN_E),
        ("d/**/*.txt", {}, ALL),
        ("d", {}, ALL),
        ("d/*", {}, ALL),
        ("d/e/c.txt", {"base_path": "d"}, ["e/c.txt"]),
        ("d/e/c.txt", {"base_path": "d/e"}, ["c.txt"]),
        ("d/e/x[1].txt", {"glob": False}, ["d/e/x[1].txt"]),
        ("d/e/x[1].txt", {}, []),
        ("nothing*", {}, []),
        ("gs://bucket/x", {}, []),
        ("a.txt", {"policy": "now"}, ["a.txt"]),
        ("a.txt", {"policy": "end"}, ["a.txt"]),
    ],
)
def test_what_is_saved(glob: Any, options: Dict[str, Any], expected: List[str]) -> None:
    assert saved(glob, **options) == expected


def test_an_absolute_path_keeps_one_directory() -> None:
    here = os.getcwd()
    assert saved(os.path.join(here, "d", "e", "c.txt")) == ["e/c.txt"]
    assert saved(os.path.join(here, "d", "e", "*.txt")) == ["e/c.txt", "e/x[1].txt"]
    assert saved(os.path.join(here, "d", "e", "c.txt"), base_path=here) == ["d/e/c.txt"]


@pytest.mark.parametrize(
    "glob, options",
    [
        ("", {}),
        (".", {}),
        ("d", {"base_path": "d"}),
        ("d/e/c.txt", {"base_path": "d/e/f"}),
        ("a.txt", {"policy": "later"}),
        (3, {}),
    ],
)
def test_what_has_no_meaning_is_refused_and_nothing_saved(glob: Any, options: Dict[str, Any]) -> None:
    with wandb.init(project="p", mode="offline") as run:
        with pytest.raises(ValidationError, match="^save"):
            run.save(glob, **options)
        assert not [
            name for name in os.listdir(run.dir) if name.endswith(".txt") and name != "requirements.txt"
        ]


def test_a_directory_above_the_runs_is_saved_without_them() -> None:
    base = os.path.dirname(os.getcwd())
    below = saved(os.getcwd(), base_path=base)
    assert len(below) == 5 and not [path for path in below if "offline-run-" in path]


def test_a_file_that_looks_like_a_pattern_is_pointed_out(capsys: pytest.CaptureFixture[str]) -> None:
    with wandb.init(project="p", mode="offline") as run:
        assert run.save("d/e/x[1].txt") == []
    assert "glob=False" in capsys.readouterr().err
