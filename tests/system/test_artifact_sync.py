"""Artifacts of a log on their way to the real server: all of them, once, whatever happens on the way."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, List

import pytest
from artifact_state import artifacts_of, n_pending, versions_of
from conftest import wandb_command
from fault_proxy import FaultProxy
from fixtures_server import ServerProcess, TestServer
from log_builder import LogBuilder

import wandb_sync
from wandb_sync.discover import discover
from wandb_sync.outcomes import Outcome, Status
from wandb_sync.pack.unpack import unpack
from wandb_sync.pack.write import PackOptions, pack
from wandb_sync.transport.http import HttpTransport
from wandb_sync.verify import verify

SYNC = """
import sys
from wandb_sync import artifacts
artifacts.FILES_PER_REQUEST = 2
artifacts.MULTIPART_FROM_BYTES, artifacts.PART_BYTES = 5000, 2000
from wandb_sync.cli import main
sys.argv[0] = "wandb-sync"
main()
"""


def start(base_url: str, server: TestServer, *arguments: object) -> "subprocess.Popen[bytes]":
    environ = {**os.environ, "WANDB_BASE_URL": base_url, "WANDB_API_KEY": server.api_key}
    command = [sys.executable, "-c", SYNC, *map(str, arguments)]
    return subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def sync(server: TestServer, log: Path, **options: Any) -> Outcome:
    options = {"base_url": server.base_url, "api_key": server.api_key, **options}
    (outcome,) = wandb_sync.sync([log], **options).outcomes
    return outcome


def full_log(parent: Path, run_id: str = "abc") -> LogBuilder:
    """Return a log with several names, versions, references and a use."""
    log = LogBuilder(parent, run_id)
    made = {"a.txt": b"first", "deep/b.bin": bytes(1000), "big": os.urandom(1) + bytes(9000)}
    log.artifact("data", made, metadata='{"n": 1}', description="what", aliases=["latest", "best"])
    log.row(loss=1)
    log.artifact("data", {**made, "a.txt": b"second"}, refs={"there": "https://example.org/x"})
    log.artifact("data", {"a.txt": b"third"}, tags=["red"], ttl_duration_seconds=3600)
    log.artifact(f"run-{run_id}-table", {"table.table.json": b"{}"}, type="run_table")
    log.artifact("model", {"weights": b"w" * 100}, type="model", use_after_commit=True)
    log.use_artifact("data:v0")
    return log.row(loss=2).exit(0).close()


def test_everything_of_an_artifact_arrives(mock_server: TestServer, tmp_path: Path) -> None:
    log = full_log(tmp_path)
    outcome = sync(mock_server, log.directory)
    assert (outcome.status, outcome.counts["artifacts"]) == (Status.SYNCED, 6)
    state = artifacts_of(mock_server, "local", "p")
    assert {name: sorted(one["versions"]) for name, one in state.items()} == {
        "data": ["v0", "v1", "v2"],
        "model": ["v0"],
        "run-abc-table": ["v0"],
    }
    first, second, third = (state["data"]["versions"][name] for name in ("v0", "v1", "v2"))
    assert (first["aliases"], second["aliases"], third["aliases"]) == (["best"], [], ["latest"])
    assert first["metadata"] == {"n": 1} and first["description"] == "what" and first["createdBy"] == "abc"
    assert (first["usedBy"], state["model"]["versions"]["v0"]["usedBy"]) == (["abc"], ["abc"])
    assert (first["historyStep"], second["historyStep"]) == (None, 1)
    assert second["manifest"]["contents"]["there"]["ref"] == "https://example.org/x"
    assert sorted(second["files"]) == ["a.txt", "big", "deep/b.bin"]
    assert (third["tags"], third["ttlDurationSeconds"]) == (["red"], 3600)
    receipt = json.loads(next(log.directory.glob("*.receipt")).read_bytes())["body"]
    (told,) = receipt["destinations"].values()
    assert [one["version"] for one in told["artifacts"] if one["name"] == "data"] == [0, 1, 2]
    assert sync(mock_server, log.directory).status is Status.UNCHANGED


@pytest.mark.long
def test_killed_at_any_request_no_version_is_made_twice_or_lost(
    mock_server: TestServer, tmp_path: Path
) -> None:
    original = full_log(tmp_path / "original")
    clean = start(mock_server.base_url, mock_server, original.directory, "--project", "clean")
    assert clean.wait() == 0
    wanted = artifacts_of(mock_server, "local", "clean")
    assert len(wanted) == 3
    n_died = 0
    with FaultProxy(mock_server.base_url) as proxy:
        for n in range(5, 45, 8):
            directory = tmp_path / f"killed-{n}" / original.directory.name
            shutil.copytree(original.directory, directory)
            for path in directory.glob("*.wandb.*"):
                path.unlink()
            victims: List[subprocess.Popen[bytes]] = []
            seen = [0]

            def kill(number: int) -> None:
                seen[0] += 1
                if seen[0] == n and victims:
                    victims[0].send_signal(signal.SIGKILL)

            proxy.on_request = kill
            project = f"killed-{n}"
            victims.append(start(proxy.base_url, mock_server, directory, "--project", project))
            n_died += victims[0].wait() == -signal.SIGKILL
            proxy.on_request = lambda number: None
            again = start(proxy.base_url, mock_server, directory, "--project", project)
            assert again.wait() == 0, again.communicate()[0].decode()
            assert artifacts_of(mock_server, "local", project) == wanted, n
    assert n_died >= 4
    assert n_pending(mock_server) == 0


def test_two_syncers_of_two_copies_make_no_version_twice(mock_server: TestServer, tmp_path: Path) -> None:
    log = full_log(tmp_path / "one")
    shutil.copytree(log.directory, tmp_path / "two" / log.directory.name)
    both = [
        start(mock_server.base_url, mock_server, tmp_path / name / log.directory.name)
        for name in ("one", "two")
    ]
    assert [process.wait() for process in both] == [0, 0]
    assert versions_of(mock_server, "local", "p")["data"] == ["v0", "v1", "v2"]


def test_answers_that_are_lost_make_no_version_twice(mock_server: TestServer, tmp_path: Path) -> None:
    log = full_log(tmp_path)
    for operation in ("CreateArtifact", "CreateArtifactManifest", "CreateArtifactFiles", "CommitArtifact"):
        mock_server.fault("drop_after", operation=operation)
    mock_server.fault("drop_after", path="/upload/artifact")
    assert start(mock_server.base_url, mock_server, log.directory).wait() == 0
    assert versions_of(mock_server, "local", "p")["data"] == ["v0", "v1", "v2"]
    assert n_pending(mock_server) == 0


def test_a_retargeted_run_has_its_artifacts_in_the_new_place(mock_server: TestServer, tmp_path: Path) -> None:
    log = full_log(tmp_path)
    assert sync(mock_server, log.directory, entity="team", project="q", id="new").status is Status.SYNCED
    state = artifacts_of(mock_server, "team", "q")
    assert sorted(state) == ["data", "model", "run-new-table"]
    assert state["data"]["versions"]["v0"]["createdBy"] == "new"
    assert artifacts_of(mock_server, "local", "p") == {}


def test_a_run_directory_can_be_carried_elsewhere(mock_server: TestServer, tmp_path: Path) -> None:
    log = full_log(tmp_path / "here")
    there = tmp_path / "there" / "another-name"
    there.parent.mkdir()
    shutil.move(str(log.directory), str(there))
    assert sync(mock_server, there).status is Status.SYNCED


@pytest.mark.parametrize("damage", ["gone", "shorter", "other"])
def test_a_file_that_is_not_what_it_was_fails_its_artifact_only(
    mock_server: TestServer, tmp_path: Path, damage: str
) -> None:
    log = LogBuilder(tmp_path).artifact("bad", {"x": b"bytes"}, outside=tmp_path / "staging")
    log.artifact("good", {"y": b"other"}).row(loss=1).exit(0).close()
    (staged,) = (tmp_path / "staging").iterdir()
    {
        "gone": staged.unlink,
        "shorter": lambda: staged.write_bytes(b"b"),
        "other": lambda: staged.write_bytes(b"BYTES"),
    }[damage]()
    outcome = sync(mock_server, log.directory)
    assert (outcome.status, outcome.exit_code) == (Status.INCOMPLETE, 3)
    assert "artifact bad: its file x" in outcome.reason
    assert versions_of(mock_server, "local", "p") == {"bad": [], "good": ["v0"]}
    assert not list(log.directory.glob("*.synced")) and not list(log.directory.glob("*.receipt"))
    # It is on the list of what has failed, and is tried again by whoever asks for it.
    assert sync(mock_server, tmp_path).status is Status.REFUSED
    staged.write_bytes(b"bytes")
    assert sync(mock_server, tmp_path, failed=True).status is Status.SYNCED
    assert versions_of(mock_server, "local", "p") == {"bad": ["v0"], "good": ["v0"]}


def test_an_artifact_that_refers_to_a_later_one_waits_for_it(mock_server: TestServer, tmp_path: Path) -> None:
    log = LogBuilder(tmp_path)
    to_a_later_one = {
        "t": "wandb-client-artifact://theotherone/x",
        "s": "wandb-client-artifact://theone:latest/x",
    }
    log.artifact("asks", {}, refs=to_a_later_one)
    log.artifact("told", {"x": b"1"}, client_id="theotherone", sequence_client_id="theone").exit(0).close()
    assert sync(mock_server, log.directory).status is Status.SYNCED
    refs = artifacts_of(mock_server, "local", "p")["asks"]["versions"]["v0"]["manifest"]["contents"]
    assert refs["t"]["ref"].startswith("wandb-artifact://") and refs["s"]["ref"] == refs["t"]["ref"]


def test_artifacts_that_refer_to_each_other_or_to_nothing_fail(
    mock_server: TestServer, tmp_path: Path
) -> None:
    log = LogBuilder(tmp_path)
    log.artifact("a", {}, refs={"t": "wandb-client-artifact://bb/x"}, client_id="aa")
    log.artifact("b", {}, refs={"t": "wandb-client-artifact://aa/x"}, client_id="bb")
    log.artifact("c", {}, refs={"t": "wandb-client-artifact://nobody/x"}).exit(0).close()
    outcome = sync(mock_server, log.directory)
    assert outcome.status is Status.INCOMPLETE and "refers to an artifact" in outcome.reason


def test_the_rows_come_though_an_artifact_is_refused(mock_server: TestServer, tmp_path: Path) -> None:
    log = LogBuilder(tmp_path).artifact("has:colon", {"x": b"1"}).row(loss=1).exit(0).close()
    outcome = sync(mock_server, log.directory)
    assert outcome.status is Status.INCOMPLETE and "colon" in outcome.reason
    assert len(mock_server.run("local", "p", "abc")["history"]) == 1


def test_distributed_parts_become_one_version(mock_server: TestServer, tmp_path: Path) -> None:
    for rank, last in ((0, False), (1, False), (2, True)):
        log = LogBuilder(tmp_path / str(rank), f"rank{rank}")
        files = {f"part-{rank}": str(rank).encode()} if not last else {}
        log.artifact("dist", files, distributed_id="together", finalize=last, digest="none").exit(0).close()
        assert sync(mock_server, log.directory).status is Status.SYNCED
    (version,) = artifacts_of(mock_server, "local", "p")["dist"]["versions"].values()
    assert sorted(version["manifest"]["contents"]) == ["part-0", "part-1"]


def test_an_incremental_artifact_keeps_the_files_before(mock_server: TestServer, tmp_path: Path) -> None:
    log = LogBuilder(tmp_path).artifact("inc", {"a": b"1", "b": b"1"})
    log.artifact("inc", {"b": b"2", "c": b"2"}, incremental_beta1=True).exit(0).close()
    assert sync(mock_server, log.directory).status is Status.SYNCED
    versions = artifacts_of(mock_server, "local", "p")["inc"]["versions"]
    assert {name: size for name, (_, size) in versions["v1"]["files"].items()} == {"a": 1, "b": 1, "c": 1}
    assert versions["v1"]["files"]["b"] != versions["v0"]["files"]["b"]


def test_a_dry_run_sends_nothing(mock_server: TestServer, tmp_path: Path) -> None:
    log = full_log(tmp_path)
    assert sync(mock_server, log.directory, dry_run=True).status is Status.PLANNED
    assert mock_server.requests() == []


def test_several_destinations_have_each_their_own_state(mock_server: TestServer, tmp_path: Path) -> None:
    log = full_log(tmp_path)
    for project in ("one", "two"):
        assert sync(mock_server, log.directory, project=project).status is Status.SYNCED
    one, two = (artifacts_of(mock_server, "local", project) for project in ("one", "two"))
    assert one == two and len(one) == 3


def test_a_pack_carries_the_files_that_lie_elsewhere(mock_server: TestServer, tmp_path: Path) -> None:
    log = LogBuilder(tmp_path / "here").artifact(
        "data", {"x": b"bytes", "y": b"more"}, outside=tmp_path / "staging"
    )
    log.exit(0).close()
    parts = pack([str(log.directory)], str(tmp_path / "one.tar.zst")).parts
    again = pack([str(log.directory)], str(tmp_path / "two.tar.zst"), PackOptions(incremental=True))
    assert again.parts == []
    shutil.rmtree(tmp_path / "staging")
    shutil.rmtree(tmp_path / "here")
    assert sync(mock_server, Path(parts[0]), project="packed").status is Status.SYNCED
    unpack(parts, tmp_path / "there")
    assert sync(mock_server, tmp_path / "there", project="unpacked").status is Status.SYNCED
    assert artifacts_of(mock_server, "local", "packed") == artifacts_of(mock_server, "local", "unpacked")


def test_verify_sees_an_artifact_that_is_gone(mock_server: TestServer, tmp_path: Path) -> None:
    log = full_log(tmp_path)
    assert sync(mock_server, log.directory).status is Status.SYNCED
    logs = discover([str(log.directory)])
    transport = HttpTransport(mock_server.base_url, mock_server.api_key)
    assert [one.findings for one in verify(logs, transport, mock_server.base_url)] == [[]]
    found = mock_server.graphql('{ project(name: "p") { artifact(name: "data:v1") { id } } }')
    mutation = "mutation ($id: ID!) { deleteArtifact(input: {artifactID: $id}) { artifact { id } } }"
    mock_server.graphql(mutation, {"id": found["project"]["artifact"]["id"]})
    (one,) = verify(logs, transport, mock_server.base_url)
    transport.close()
    assert [str(finding.what) for finding in one.findings] == ["artifact data"]


def test_a_server_that_is_killed_keeps_what_it_has_acknowledged(
    live_mock_server: ServerProcess, tmp_path: Path
) -> None:
    log = full_log(tmp_path)
    process = start(live_mock_server.base_url, live_mock_server, log.directory)
    while process.poll() is None and "graphql:CommitArtifact" not in live_mock_server.ctx:
        time.sleep(0.01)
    live_mock_server.restart()
    assert process.wait() == 0, process.communicate()[0]
    live_mock_server.restart()
    assert versions_of(live_mock_server, "local", "p")["data"] == ["v0", "v1", "v2"]
    again = sync(live_mock_server, log.directory, include_synced=True)
    assert again.status is Status.SYNCED
    assert versions_of(live_mock_server, "local", "p")["data"] == ["v0", "v1", "v2"]
    assert artifacts_of(live_mock_server, "local", "p")["data"]["versions"]["v2"]["aliases"] == ["latest"]


def test_show_lists_artifacts_and_what_is_the_matter_with_them(tmp_path: Path) -> None:
    log = LogBuilder(tmp_path).artifact("bad", {"x": b"bytes"}, outside=tmp_path / "staging")
    log.artifact("good", {"y": b"other"}, refs={"r": "https://example.org"}).row(loss=1).exit(0).close()
    shutil.rmtree(tmp_path / "staging")
    told = json.loads(wandb_command("show", log.directory, "--json").stdout)["artifacts"]
    assert [(one["name"], one["n_files"], one["n_bytes"]) for one in told] == [("bad", 1, 5), ("good", 1, 5)]
    assert "its file x is gone" in told[0]["trouble"] and not told[1]["trouble"]
    assert "good (dataset): 1 files, 5 B" in wandb_command("show", log.directory).stdout
