"""`wandb artifact`: what is recorded, what goes from the cache, what is said."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from conftest import cli_runner
from log_view import LogView

import wandb
from wandb.cli import main
from wandb.cli.artifact import size_of
from wandb.errors import UsageError


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")


def test_a_directory_is_recorded_and_used_by_a_run() -> None:
    Path("data").mkdir()
    Path("data/x").write_bytes(b"x")
    command = ["artifact", "put", "data", "-n", "digits/train", "-a", "good", "--json"]
    result = cli_runner().invoke(main, command)
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    (record,) = LogView(said["directory"]).of("artifact")
    assert (record.name, record.type, record.project) == ("train", "dataset", "digits")
    assert list(record.aliases) == ["good", "latest"] and said["digest"] == record.digest
    with wandb.init(project="digits", settings={"silent": True}) as run:
        assert Path(run.use_artifact("train:good").download(), "x").read_bytes() == b"x"


def test_what_is_no_file_is_wrong_usage() -> None:
    result = cli_runner().invoke(main, ["artifact", "put", "nowhere"])
    assert result.exit_code == 2 and "no file, no directory and no address" in result.stderr
    assert not Path("wandb").exists()


def test_what_was_used_longest_ago_goes_first(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))
    objects = tmp_path / "cache/artifacts/obj/md5/aa"
    objects.mkdir(parents=True)
    for age, name in enumerate("abcd"):
        (objects / name).write_bytes(bytes(100))
        os.utime(objects / name, (1e9 - age, 1e9 - age))
    (objects / "e.7.partial").write_bytes(bytes(100))
    os.utime(objects / "e.7.partial", (1e9, 1e9))
    (objects / "f.8.partial").write_bytes(bytes(100))
    result = cli_runner().invoke(main, ["artifact", "cache", "cleanup", "250", "--json"])
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {"removed_bytes": 300, "removed": 3, "left": 200}
    assert sorted(path.name for path in objects.iterdir()) == ["a", "b", "f.8.partial"]
    assert cli_runner().invoke(main, ["artifact", "cache", "cleanup", "--remove-temp", "0"]).exit_code == 0
    assert not list(objects.iterdir())
    assert cli_runner().invoke(main, ["artifact", "cache", "cleanup", "much"]).exit_code == 2


def test_sizes() -> None:
    assert [size_of(text) for text in ("10", "1kB", "1.5 GB", "2KiB", "0", "1M")] == [
        10,
        1000,
        1_500_000_000,
        2048,
        0,
        1_000_000,
    ]
    for wrong in ("", "GB", "1 XB", "-1", "1ib"):
        with pytest.raises(UsageError):
            size_of(wrong)
