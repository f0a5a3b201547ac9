"""Artifacts of the real server, asked for and brought by `wandb.apis.artifacts`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest
from conftest import wandb_command, wandb_lines
from fixtures_server import ServerThread
from log_builder import LogBuilder

import wandb
import wandb_sync
from wandb.apis import artifacts
from wandb.apis.artifacts import ArtifactServer
from wandb.errors import RejectedError

BIG = os.urandom(5000)


@pytest.fixture
def server(mock_server: ServerThread, tmp_path: Path) -> Iterator[ArtifactServer]:
    log = LogBuilder(tmp_path).artifact("data", {"a.txt": b"1", "deep/empty": b""}, metadata='{"n": 1}')
    log.artifact("data", {"big": BIG, "a.txt": b"2"}, aliases=["best"], refs={"there": "https://example.org"})
    log.artifact("model", {"w": b"w"}, type="model").exit(0).close()
    wandb_sync.sync([log.directory], base_url=mock_server.base_url, api_key=mock_server.api_key)
    with ArtifactServer(mock_server.base_url, mock_server.api_key) as opened:
        yield opened


def found(server: ArtifactServer, alias: str) -> Dict[str, Any]:
    facts = server.find("", "p", "data", alias)
    assert facts is not None
    return facts


def test_a_name_means_what_the_server_says(server: ArtifactServer) -> None:
    facts = found(server, "v0")
    assert (facts["entity"], facts["collection"], facts["version"]) == ("local", "data", "v0")
    assert (facts["type"], facts["metadata"], facts["aliases"]) == ("dataset", {"n": 1}, [])
    assert sorted(facts["manifest"]["contents"]) == ["a.txt", "deep/empty"]
    assert [found(server, alias)["version"] for alias in ("latest", "best", "v1")] == ["v1"] * 3
    assert server.find("local", "p", "data", "v7") is None
    assert server.find("local", "p", "nothing") is None


def test_collections_and_versions_are_listed(server: ArtifactServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts, "PAGE", 1)
    listed = {one.name: one.type for one in server.collections("local", "p")}
    assert listed == {"data": "dataset", "model": "model"}
    newest, oldest = server.versions("local", "p", "data")
    assert (newest.version, newest.aliases, newest.n_files) == ("v1", ["best", "latest"], 3)
    assert (oldest.version, oldest.aliases, oldest.n_bytes) == ("v0", [], 1)
    assert server.versions("local", "p", "nothing") == []


def test_files_are_brought_once_and_whole(
    server: ArtifactServer, mock_server: ServerThread, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifacts, "PIECE_BYTES", 999)
    facts = found(server, "latest")
    done: List[str] = []

    def fetch() -> None:
        server.fetch(
            facts,
            facts["manifest"]["contents"],
            lambda path, entry: str(tmp_path / "to" / path),
            lambda path, n_bytes: done.append(path),
        )

    fetch()
    assert sorted(done) == ["a.txt", "big"]
    assert (tmp_path / "to" / "big").read_bytes() == BIG
    assert sorted(os.listdir(tmp_path / "to")) == ["a.txt", "big"]
    mock_server.clear_requests()
    fetch()
    assert mock_server.requests() == []
    (tmp_path / "to" / "a.txt").write_bytes(b"3")
    fetch()
    assert (tmp_path / "to" / "a.txt").read_bytes() == b"2"


def test_other_bytes_than_the_manifest_says_are_not_taken(server: ArtifactServer, tmp_path: Path) -> None:
    facts = found(server, "latest")
    entry = {**facts["manifest"]["contents"]["a.txt"], "digest": "AAAAAAAAAAAAAAAAAAAAAA=="}
    facts["manifest"]["contents"]["a.txt"] = entry
    with pytest.raises(RejectedError):
        server.fetch(facts, ["a.txt"], lambda path, entry: str(tmp_path / path))
    assert not (tmp_path / "a.txt").exists()


def test_a_file_without_an_address_is_found_by_digest(server: ArtifactServer, tmp_path: Path) -> None:
    facts = found(server, "latest")
    server._urls = lambda artifact_id: {}  # type: ignore[method-assign]  # as of an older server
    server.fetch(facts, ["a.txt"], lambda path, entry: str(tmp_path / path))
    assert (tmp_path / "a.txt").read_bytes() == b"2"


def test_the_command_lists_and_brings_for_use_offline(
    server: ArtifactServer, mock_server: ServerThread, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in mock_server.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("WANDB_ENTITY", "local")
    monkeypatch.chdir(tmp_path)
    assert {line["name"] for line in wandb_lines("artifact", "ls", "p", "--json")} == {"data", "model"}
    versions = wandb_lines("artifact", "ls", "local/p/data:", "--json")
    assert [one["version"] for one in versions] == ["v1", "v0"]
    (told,) = wandb_lines("artifact", "get", "p/data:best", "--root", "here", "--json")
    assert told["name"] == "local/p/data:v1" and told["files"] == 3
    assert (tmp_path / "here" / "big").read_bytes() == BIG
    wandb_command("artifact", "get", "p/data:v9", exit_code=1)
    wandb_command("artifact", "get", "p/data:v0", "--type", "model", exit_code=2)
    run = wandb.init(mode="offline", entity="local", project="p")
    assert Path(run.use_artifact("data:best").get_entry("a.txt").download()).read_bytes() == b"2"
    run.finish()
