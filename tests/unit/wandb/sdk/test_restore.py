"""`wandb.restore`: files from run directories here, then from the server."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import wandb
from wandb.errors import NeedsServerError, RejectedError, ValidationError


def kept(content: str, run_id: str = "abc", **options: Any) -> None:
    """Record a run that keeps `ckpt/last.pt`."""
    Path("ckpt").mkdir(exist_ok=True)
    Path("ckpt/last.pt").write_text(content)
    with wandb.init(id=run_id, project="p", mode="offline", **options) as run:
        run.save("ckpt/last.pt")
    os.unlink("ckpt/last.pt")


def test_a_file_of_a_run_here_is_put_into_the_working_directory() -> None:
    kept("weights")
    file = wandb.restore("ckpt/last.pt", run_path="me/p/abc")
    assert file is not None
    with file:
        assert (file.name, file.read()) == (os.path.abspath("ckpt/last.pt"), "weights")


def test_the_newest_segment_that_has_the_file_counts() -> None:
    kept("first")
    kept("second", resume="allow")
    with wandb.init(id="abc", project="p", mode="offline", resume="allow") as run:
        file = run.restore("ckpt/last.pt")
        assert file is not None
        with file:
            assert file.read() == "second"
            assert file.name == os.path.join(run.dir, "ckpt", "last.pt")


def test_a_file_that_is_there_is_opened_unless_it_is_to_be_replaced() -> None:
    kept("recorded")
    Path("ckpt/last.pt").write_text("mine")
    for replace, content in ((False, "mine"), (True, "recorded")):
        file = wandb.restore("ckpt/last.pt", "abc", replace=replace)
        assert file is not None
        with file:
            assert file.read() == content


def test_root_is_where_it_is_put() -> None:
    kept("x")
    file = wandb.restore("ckpt/last.pt", "abc", root="elsewhere")
    assert file is not None
    file.close()
    assert Path("elsewhere/ckpt/last.pt").read_text() == "x"
    assert sorted(os.listdir("elsewhere/ckpt")) == ["last.pt"]  # no scratch file is left


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "a/../../b", "", "."])
def test_a_name_that_leads_out_of_the_root_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="leads out of"):
        wandb.restore(name, "abc")


def test_before_init_a_run_must_be_named() -> None:
    with pytest.raises(ValueError, match="run_path"):
        wandb.restore("a")


def test_offline_nothing_else_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    with pytest.raises(NeedsServerError, match="no run directory of nobody here has a"):
        wandb.restore("a", "nobody")
    with wandb.init(project="p") as run:
        with pytest.raises(NeedsServerError, match="mode is offline"):
            run.restore("a")


def test_a_disabled_run_has_nothing() -> None:
    with wandb.init(mode="disabled"):
        assert wandb.restore("a") is None
        Path("a").write_text("x")
        file = wandb.restore("a")
        assert file is not None
        file.close()


@pytest.mark.long  # two processes of ours
def test_the_server_is_asked_for_what_is_not_here(
    live_mock_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in live_mock_server.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("WANDB_MODE", "online")
    Path("model.pt").write_bytes(b"weights")
    with wandb.init(id="abc", project="p", dir="there") as run:
        run.save("model.pt")
    os.unlink("model.pt")
    path = run.path
    wandb.teardown()
    file = wandb.restore("model.pt", path)
    assert file is not None
    with file:
        assert (file.name, file.read()) == (os.path.abspath("model.pt"), "weights")
    assert wandb.restore("no-such-file", path) is None
    with pytest.raises(RejectedError, match="does not know the run"):
        wandb.restore("model.pt", path + "z", replace=True)
