"""Artifacts of online runs: logged, waited for, used and downloaded again from the real server."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from fixtures_server import ServerProcess
from log_view import LogView

import wandb
from wandb.errors import NeedsServerError


@pytest.fixture(autouse=True)
def online(live_mock_server: ServerProcess, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in live_mock_server.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))


def run(**options: Any) -> Any:
    settings = {"silent": True, "console": "off", "x_disable_stats": True}
    return wandb.init(project="p", settings={**settings, **options.pop("settings", {})}, **options)


@pytest.mark.long
def test_what_is_logged_online_is_used_elsewhere_and_then_offline(tmp_path: Path) -> None:
    Path("data/deep").mkdir(parents=True)
    Path("data/deep/x").write_bytes(b"x" * 5000)
    Path("data/empty").write_bytes(b"")
    with run() as maker:
        made = wandb.Artifact("digits", "dataset", metadata={"n": 1})
        made.add_dir("data")
        maker.log_artifact(made, aliases="good").wait(timeout=60)
        assert (made.version, made.name, made.state) == ("v0", "digits:v0", "COMMITTED")
        assert sorted(made.aliases) == ["good", "latest"]
    shutil.rmtree("wandb")
    shutil.rmtree(tmp_path / "cache")  # another machine
    with run() as user:
        used = user.use_artifact("digits:good", type="dataset")
        assert (used.name, used.digest, used.metadata) == ("digits:v0", made.digest, {"n": 1})
        root = Path(used.download())
        assert (root / "deep/x").read_bytes() == b"x" * 5000 and (root / "empty").read_bytes() == b""
        used.verify()
        (use,) = LogView(user.sync_dir).of("use_artifact")
        assert (use.id, use.name) == (used.id, "digits:good")
        with pytest.raises(NeedsServerError):
            user.use_artifact("digits:v7")
    shutil.rmtree(root)
    with run(mode="offline") as later:
        again = later.use_artifact("digits:v0")
        assert Path(again.download(), "deep/x").read_bytes() == b"x" * 5000
        assert again.qualified_name == used.qualified_name
