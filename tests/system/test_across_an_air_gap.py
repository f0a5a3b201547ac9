"""Recorded here, packed, carried, synced there, receipts carried back, cleaned: on the real local server."""

from __future__ import annotations

import base64
import json
import os
import shutil
import time
import urllib.request
from pathlib import Path
from typing import Any, Dict, List

import pytest
from conftest import wandb_command as wandb
from conftest import wandb_lines as lines
from log_builder import LogBuilder, everything

import wandb_sync
from wandb_sync.pack import upload
from wandb_sync.pack.manifest import Manifest, Run
from wandb_sync.pack.upload import shares

DAY_S = 86400


@pytest.fixture
def server(mock_server: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, value in mock_server.environ.items():
        monkeypatch.setenv(name, value)
    return mock_server


def end_state(server: Any, run_id: str) -> Dict[str, Any]:
    (run,) = [run for run in server.runs() if run["name"] == run_id]
    state: Dict[str, Any] = server.run(run["entity"], run["project"], run_id)
    for key in ("id", "createdAt", "created_at", "updatedAt", "updated_at", "heartbeatAt", "heartbeat_at"):
        state.pop(key, None)
    return _without_times(state)


def _authorization(server: Any) -> Dict[str, str]:
    token = base64.b64encode(f"api:{server.api_key}".encode()).decode()
    return {"Authorization": f"Basic {token}"}


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_times(item) for key, item in value.items() if not key.endswith(("_at", "At"))}
    return [_without_times(item) for item in value] if isinstance(value, list) else value


def segments(parent: Path, count: int = 2, *, ends: bool = True) -> List[LogBuilder]:
    """Make the segments of one run, as a requeued job leaves them."""
    made: List[LogBuilder] = []
    for number in range(count):
        fields: Dict[str, Any] = {}
        if made:
            before = made[-1]
            fields["segment"] = {
                "previous": f"{before.directory.name}/{before.path.name}",
                "previous_end": before.path.stat().st_size,
                "begin": {"history": 10 * number, "console": number},
            }
        log = LogBuilder(
            parent,
            "seg",
            directory=f"offline-run-20260102_03040{number}-seg",
            started_s=1_700_000_000 + number * 100,
            display_name="requeued",
            **fields,
        )
        log.step = 10 * number
        log.rows(10).output(f"segment {number}\n")
        made.append(log)
    if ends:
        made[-1].exit(0)
    return made


def old(root: Path, days: float = 2) -> None:
    """Let logs be of two days ago."""
    at = time.time() - days * DAY_S
    for path in root.rglob("*.wandb"):
        os.utime(path, (at, at))


def test_the_whole_way_and_back(server: Any, tmp_path: Path) -> None:
    cluster, pack = tmp_path / "cluster", tmp_path / "carried" / "p.tar.zst"
    pack.parent.mkdir()
    everything(cluster)
    LogBuilder(cluster, "b").rows(5).exit(1)
    old(cluster)
    wandb("pack", cluster, "-o", pack)
    result = wandb("sync", pack)
    assert "Synced" in result.stdout and f"{pack}:offline-run" in result.stdout
    assert sorted(os.listdir(pack.parent)) == ["p.tar.zst", "wandb-pack-state"]
    wandb("receipts", "export", pack, "-o", tmp_path / "receipts.json")
    assert lines("clean", cluster, "--dry-run", "--json")[0]["reason"] == "no server is proven to have it"
    told = lines("receipts", "import", tmp_path / "receipts.json", cluster, "--json")
    assert [one["status"] for one in told] == ["imported", "imported"]
    told = lines("receipts", "import", tmp_path / "receipts.json", cluster, "--json")
    assert [one["status"] for one in told] == ["already here", "already here"]
    told = lines("verify", cluster, "--json")
    assert [(one["findings"], one["has_receipt"]) for one in told] == [([], True)] * 2
    told = lines("clean", cluster, "--yes", "--json", "--verified-only")
    assert [one["status"] for one in told] == ["removed", "removed"] and os.listdir(cluster) == []


def test_the_sync_of_a_pack_equals_the_sync_of_the_runs(
    server: Any, live_mock_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = tmp_path / "cluster"
    everything(cluster)
    segments(cluster)
    old(cluster)
    wandb("pack", cluster, "-o", tmp_path / "p.tar.zst", "--split-size", "3k")
    wandb("unpack", tmp_path / "p.tar.zst.001", "-C", tmp_path / "out")
    wandb("sync", tmp_path / "p.tar.zst.001")
    from_pack = [end_state(server, run_id) for run_id in ("all", "seg")]
    for name, value in live_mock_server.environ.items():
        monkeypatch.setenv(name, value)
    wandb("sync", cluster)
    from_runs = [end_state(live_mock_server, run_id) for run_id in ("all", "seg")]
    assert json.loads(json.dumps(from_runs).replace(live_mock_server.base_url, server.base_url)) == from_pack
    assert not any(one["findings"] for one in lines("verify", tmp_path / "out", "--json"))


def test_packs_of_a_run_that_goes_on_send_only_what_is_new_and_do_not_end_it(
    server: Any, tmp_path: Path
) -> None:
    cluster = tmp_path / "cluster"
    log = LogBuilder(cluster, "live").rows(20)
    first, second, third = (tmp_path / f"{number}.tar.zst" for number in range(3))
    wandb("pack", cluster, "-o", first)
    told = lines("sync", first, "--json", "--assume-dead-after", "0", exit_code=3)
    assert [one["status"] for one in told if one["event"] == "run_done"] == ["running"]
    assert end_state(server, "live")["state"] == "running"
    log.rows(10)
    wandb("pack", cluster, "--incremental", "-o", second)
    alone = tmp_path / "alone" / "second.tar.zst"
    alone.parent.mkdir()
    shutil.copy(second, alone)
    failed = lines("sync", alone, "--json", exit_code=1)
    assert "are missing" in [one for one in failed if one["event"] == "run_done"][0]["reason"]
    server.clear_requests()
    wandb("sync", second, first, "--json", exit_code=3)
    assert len(end_state(server, "live")["history"]) == 30
    sent = sum(one["n_bytes"] for one in server.requests() if one["path"].endswith("/file_stream"))
    log.rows(1).exit(0)
    wandb("pack", cluster, "--incremental", "-o", third)
    wandb("sync", first, second, third)
    assert (
        len(end_state(server, "live")["history"]) == 31 and end_state(server, "live")["state"] == "finished"
    )
    assert sent < 3000
    assert wandb("sync", first, second, third, "-v").stdout.count("Unchanged") == 1


def test_an_increment_brings_along_what_it_builds_on_and_nothing_else(server: Any, tmp_path: Path) -> None:
    cluster = tmp_path / "cluster"
    log = LogBuilder(cluster, "grows").rows(20)
    LogBuilder(cluster, "other").rows(1).exit(0)
    first, second, third = (tmp_path / f"{number}.tar.zst" for number in (3, 1, 2))  # not in order of name
    wandb("pack", cluster, "-o", first)
    log.rows(10)
    wandb("pack", cluster, "--incremental", "-o", second, "--split-size", "1k")
    log.rows(5).exit(0)
    wandb("pack", cluster, "--incremental", "-o", third)
    (tmp_path / "0.tar.zst").write_bytes(b"no pack")
    told = lines("sync", third, "--json")
    assert [one["status"] for one in told if one["event"] == "run_done"] == ["synced"]
    assert len(end_state(server, "grows")["history"]) == 35
    assert [run["name"] for run in server.runs()] == ["grows"]


def test_packs_are_not_followed_and_say_so(server: Any, tmp_path: Path) -> None:
    LogBuilder(tmp_path / "cluster").rows(1).exit(0)
    wandb("pack", tmp_path / "cluster", "-o", tmp_path / "p.tar.zst")
    for flag in ("--watch", "--live"):
        result = wandb("sync", flag, tmp_path / "p.tar.zst", tmp_path / "cluster", exit_code=2)
        assert "--live and --watch follow runs" in result.stderr
    assert server.requests() == []


def test_a_limit_holds_for_all_shares_of_a_pack_together(
    server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        LogBuilder(tmp_path / "cluster", f"run{number}").rows(20).exit(0)
    wandb("pack", tmp_path / "cluster", "-o", tmp_path / "p.tar.zst")
    monkeypatch.setattr(upload, "_share_bytes", lambda: 1)
    report = wandb_sync.sync(tmp_path / "p.tar.zst", max_transfer="12k", processes=1)
    sent = sum(one["n_bytes"] for one in server.requests())
    assert 6_000 < sent <= 12 * 1024 and report.exit_code == 8
    assert wandb_sync.sync(tmp_path / "p.tar.zst", processes=1).exit_code == 0
    assert len(server.runs()) == 4


def test_a_damaged_pack_is_not_uploaded_at_all(server: Any, tmp_path: Path) -> None:
    everything(tmp_path / "cluster")
    wandb("pack", tmp_path / "cluster", "-o", tmp_path / "p.tar.zst")
    data = bytearray((tmp_path / "p.tar.zst").read_bytes())
    data[-40] ^= 1
    (tmp_path / "p.tar.zst").write_bytes(data)
    result = wandb("sync", tmp_path / "p.tar.zst", exit_code=1)
    assert "damaged" in result.stderr and server.runs() == []
    assert wandb("check", tmp_path / "p.tar.zst", exit_code=1).stdout == ""


def test_a_dry_run_of_a_pack_leaves_nothing(server: Any, tmp_path: Path) -> None:
    everything(tmp_path / "cluster")
    wandb("pack", tmp_path / "cluster", "-o", tmp_path / "p.tar.zst")
    assert "Would send 1 run(s), 40 rows" in wandb("sync", tmp_path / "p.tar.zst", "--dry-run").stdout
    assert sorted(os.listdir(tmp_path)) == ["cluster", "home", "p.tar.zst", "work"]
    assert server.runs() == []


def test_a_pack_in_a_place_that_cannot_be_written_to_takes_a_state_dir(server: Any, tmp_path: Path) -> None:
    everything(tmp_path / "cluster")
    wandb("pack", tmp_path / "cluster", "-o", tmp_path / "p.tar.zst")
    (tmp_path / "wandb-pack-state").write_text("in the way")
    assert "--state-dir" in wandb("sync", tmp_path / "p.tar.zst", exit_code=2).stderr
    wandb("sync", tmp_path / "p.tar.zst", "--state-dir", tmp_path / "state")
    exported = wandb("receipts", "export", "--state-dir", tmp_path / "state").stdout
    (tmp_path / "r.json").write_text(exported)
    told = lines("receipts", "import", tmp_path / "r.json", tmp_path / "cluster", "--json")
    assert [one["status"] for one in told] == ["imported"]


def test_runs_are_divided_into_shares_that_fit_and_segments_stay_together() -> None:
    def run(directory: str, run_id: str, n_bytes: int, is_open: bool = False) -> Run:
        from wandb_sync.pack.manifest import LogPiece

        log = LogPiece("a.wandb", 0, n_bytes, 0, 0)
        return Run(directory, ("", "p", run_id), 1, 0, is_open, (), (log,), (), {})

    runs = [
        run("d1", "a", 5),
        run("d2", "b", 5),
        run("d3", "a", 4),
        run("d4", "c", 50),
        run("d5", "e", 1, True),
    ]
    found = shares([Manifest(1, "", tuple(runs)), Manifest(2, "", (run("d2", "b", 2),))], 10)
    assert [(share.is_open, sorted(share.directories)) for share in found] == [
        (False, ["d1", "d3"]),
        (False, ["d2"]),
        (False, ["d4"]),
        (True, ["d5"]),
    ]


# ---- receipts


def test_receipts_are_refused_for_runs_that_have_changed(server: Any, tmp_path: Path) -> None:
    cluster = tmp_path / "cluster"
    for run_id in ("log", "file", "same"):
        LogBuilder(cluster, run_id).rows(3).file("x.bin", b"12345").exit(0)
    wandb("pack", cluster, "-o", tmp_path / "p.tar.zst")
    wandb("sync", tmp_path / "p.tar.zst")
    wandb("receipts", "export", tmp_path / "p.tar.zst", "-o", tmp_path / "r.json")
    directory = {path.name.rpartition("-")[2]: path for path in cluster.iterdir()}
    with open(directory["log"] / "run-log.wandb", "ab") as file:
        file.write(b"more")
    (directory["file"] / "files" / "x.bin").write_bytes(b"54321")
    told = lines("receipts", "import", tmp_path / "r.json", cluster, "--json", exit_code=3)
    assert [(one["log"].rpartition("-")[2], one["status"]) for one in told] == [
        ("file.wandb", "refused"),
        ("log.wandb", "refused"),
        ("same.wandb", "imported"),
    ]
    shutil.rmtree(directory["same"])
    told = lines("receipts", "import", tmp_path / "r.json", cluster, "--json", exit_code=3)
    assert told[-1]["status"] == "no such run"
    (tmp_path / "r.json").write_text("{}")
    assert "damaged" in wandb("receipts", "import", tmp_path / "r.json", cluster, exit_code=1).stderr


# ---- verify


def test_verify_finds_what_the_server_lacks(server: Any, tmp_path: Path) -> None:
    log = everything(tmp_path / "w")
    old(tmp_path / "w")
    wandb("sync", tmp_path / "w")
    (told,) = lines("verify", tmp_path / "w", "--json")
    assert told["findings"] == [] and told["has_receipt"] and told["server_was_asked"]
    # The same log with two rows more, another value and another file: as if half of it had not arrived.
    other = LogBuilder(tmp_path / "other", "all").rows(42).file("media/images/a.png", b"\x89PNX").exit(1)
    other.path.with_name("run-all.wandb.synced").touch()
    (told,) = lines("verify", tmp_path / "other", "--json", exit_code=3)
    found = {finding["what"]: (finding["here"], finding["there"]) for finding in told["findings"]}
    assert found["history lines"] == (42, 40) and found["last step"] == (41, 39)
    assert "summary loss" in found and found["state"][1] == "finished"
    assert found["file media/images/a.png"][0] == "other bytes"
    assert not told["has_receipt"] and "no receipt" in told["notes"][0]
    with open(log.path, "ab") as file:
        file.write(b"x")
    (told,) = lines("verify", tmp_path / "w", "--json", exit_code=3)
    assert [finding["what"] for finding in told["findings"]] == ["receipt"]


def test_verify_knows_segments(server: Any, tmp_path: Path) -> None:
    segments(tmp_path / "w", 3)
    old(tmp_path / "w")
    wandb("sync", tmp_path / "w")
    assert all(not one["findings"] for one in lines("verify", tmp_path / "w", "--json"))


def test_verify_without_a_server_says_so(
    server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything(tmp_path / "w")
    old(tmp_path / "w")
    wandb("sync", tmp_path / "w")
    (told,) = lines("verify", "--offline", tmp_path / "w", "--json")
    assert told["has_receipt"] and not told["server_was_asked"]
    monkeypatch.setattr("wandb.cli.verify.RETRY_FOR_S", 0.1)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    (told,) = lines("verify", tmp_path / "w", "--json", exit_code=5)
    assert not told["findings"] and "cannot be reached" in told["notes"][-1]
    monkeypatch.setenv("WANDB_BASE_URL", server.base_url)
    monkeypatch.delenv("WANDB_API_KEY")
    assert "not asked" in wandb("verify", tmp_path / "w", exit_code=6).stderr
    monkeypatch.setenv("WANDB_API_KEY", "f" * 40)
    assert wandb("verify", tmp_path / "w", exit_code=6)
    monkeypatch.setenv("WANDB_API_KEY", server.api_key)
    other = LogBuilder(tmp_path / "other", "unknown").rows(1).exit(0)
    (told,) = lines("verify", other.directory, "--json", exit_code=3)
    assert [finding["what"] for finding in told["findings"]] == ["run"]


# ---- clean


def test_clean_takes_only_what_is_proven_old_and_not_among_the_newest(server: Any, tmp_path: Path) -> None:
    runs = tmp_path / "w"
    for number in range(4):
        LogBuilder(runs, f"r{number}", directory=f"offline-run-2026010{number}_030405-r{number}").rows(
            2
        ).exit(0)
    wandb("sync", runs)
    LogBuilder(runs, "unsynced", directory="offline-run-20260100_030405-unsynced").rows(2).exit(0)
    old(runs)
    os.utime(runs / "offline-run-20260101_030405-r1" / "run-r1.wandb")
    result = wandb("clean", runs, exit_code=2)
    assert "--yes" in result.stderr and len(os.listdir(runs)) == 5
    assert "Would remove 2 of 5" in wandb("clean", runs, "--dry-run", "--keep-last", "1").stdout
    assert len(os.listdir(runs)) == 5
    wandb("clean", runs, "--yes", "--keep-last", "1")
    assert sorted(path.name.rpartition("-")[2] for path in runs.iterdir()) == ["r1", "r3", "unsynced"]
    wandb("clean", runs, "--yes", "--min-hours", "0")
    assert [path.name.rpartition("-")[2] for path in runs.iterdir()] == ["unsynced"]
    wandb("clean", runs, "--force", "--include-unsynced")
    assert os.listdir(runs) == []
    wandb("clean", "--yes")


def test_clean_never_takes_a_run_that_goes_on_whatever_is_said(server: Any, tmp_path: Path) -> None:
    from wandb.processes import ProcessId
    from wandb_sync.lease import Lease

    runs = tmp_path / "w"
    me = ProcessId.current()
    writer = {
        "host": me.host,
        "boot_id": me.boot_id,
        "pid": me.pid,
        "pid_start_ticks": me.start_ticks,
        "pid_namespace": me.namespace,
    }
    LogBuilder(runs, "alive", writer=writer).rows(2)
    log = LogBuilder(runs, "leased").rows(2).exit(0)
    packed = LogBuilder(runs, "packed").rows(2).exit(0)
    old(runs)
    wandb("sync", log.directory, packed.directory)
    old(runs)
    with Lease(log.path.with_name(log.path.name + ".lease")), Lease(packed.directory / "wandb.packed.lease"):
        told = lines("clean", runs, "--yes", "--include-unsynced", "--older-than", "0", "--json")
    assert [one["status"] for one in told] == ["stays"] * 3
    assert [one["reason"] for one in told][0] == "the run goes on"
    assert "is syncing this run" in told[1]["reason"]


def test_earlier_segments_of_a_run_that_goes_on_may_go_and_nothing_is_missing_at_its_end(
    server: Any, tmp_path: Path
) -> None:
    runs = tmp_path / "w"
    first, second, last = segments(runs, 3, ends=False)
    wandb("sync", runs, exit_code=3)
    for log in (first, second):
        os.utime(log.path, (1.7e9, 1.7e9))
    wandb("clean", runs, "--yes")
    assert os.listdir(runs) == [last.directory.name]
    last.rows(5).output("the end\n").exit(0)
    wandb("sync", runs)
    state = end_state(server, "seg")
    assert len(state["history"]) == 35
    path = "/files/local/p/seg/output.log"
    printed = urllib.request.Request(server.base_url + path, headers=_authorization(server))
    with urllib.request.urlopen(printed) as answer:
        assert answer.read().decode().splitlines() == [*(f"segment {n}" for n in range(3)), "the end"]


def test_verified_only_asks_the_server(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = tmp_path / "w"
    everything(runs)
    old(runs)
    wandb("sync", runs)
    (run,) = server.runs()
    query = "mutation Delete($id: ID!) { deleteRun(input: {id: $id}) { success } }"
    graph = "query Id($e: String, $p: String, $n: String!) "
    graph += "{ project(name: $p, entityName: $e) { run(name: $n) { id } } }"
    found = server.graphql(graph, {"e": run["entity"], "p": run["project"], "n": run["name"]})
    server.graphql(query, {"id": found["project"]["run"]["id"]})
    (told,) = lines("clean", runs, "--yes", "--json", "--verified-only")
    assert told["status"] == "stays" and "the server differs" in told["reason"]


def test_what_a_killed_clean_has_left_goes(server: Any, tmp_path: Path) -> None:
    runs = tmp_path / "w"
    everything(runs)
    left = runs / ".removing-offline-run-20260102_030405-x" / "files"
    left.mkdir(parents=True)
    (runs / ".removing-mine").mkdir()
    wandb("clean", runs, "--yes")
    assert sorted(os.listdir(runs)) == [".removing-mine", "offline-run-20260102_030405-all"]
