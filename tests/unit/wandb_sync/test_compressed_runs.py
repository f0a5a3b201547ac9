"""Runs whose logs are compressed: synced, gone on with, proven and cleaned as if they were plain."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, List

import pytest
from log_builder import LogBuilder, everything
from simulated_server import Cut, SimulatedServer

from wandb.transaction_log.compaction import compress, decompress
from wandb_sync import batching
from wandb_sync.clean import removable
from wandb_sync.discover import discover
from wandb_sync.run_sync import RunOptions, Status
from wandb_sync.service import Report, Service


def sync(server: SimulatedServer, *paths: Path, **options: Any) -> Report:
    return Service(server, server.base_url, RunOptions(**options)).run([str(path) for path in paths])


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A directory for the checkpoints of a sync that nobody else is to know of."""
    path = tmp_path / "state"
    path.mkdir()
    return path


def state(report: Report) -> List[Status]:
    return [outcome.status for outcome in report.outcomes]


def test_the_server_gets_the_same_and_a_second_sync_sends_nothing(tmp_path: Path, elsewhere: Path) -> None:
    log = everything(tmp_path)
    plain, packed = SimulatedServer(), SimulatedServer()
    sync(plain, log.directory, state_dir=elsewhere)
    compress(log.path)
    assert state(sync(packed, log.directory)) == [Status.SYNCED]
    assert packed.run("all").state() == plain.run("all").state()
    n_requests = len(packed.requests)
    assert state(sync(packed, log.directory)) == [Status.UNCHANGED] and len(packed.requests) == n_requests
    # Whatever the form, it is the log that the checkpoint and the receipt are of.
    decompress(f"{log.path}.zst")
    assert state(sync(packed, log.directory)) == [Status.UNCHANGED] and len(packed.requests) == n_requests


def test_a_checkpoint_stays_valid(tmp_path: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "BATCH_BYTES", 3000)
    log = everything(tmp_path, n_rows=200)
    server = SimulatedServer()
    server.fail = lambda operation, n: Cut.AFTER if operation == "file_stream" and n >= 4 else None
    assert state(sync(server, log.directory)) == [Status.FAILED]
    server.fail = lambda operation, n: None
    before = len(server.run("all").history)
    compress(log.path)
    assert state(sync(server, log.directory)) == [Status.SYNCED]
    clean = SimulatedServer()
    sync(clean, log.directory, state_dir=elsewhere)
    assert 0 < before < 200 and server.run("all").state() == clean.run("all").state()


def test_segments_know_each_other_by_their_plain_names(tmp_path: Path) -> None:
    first = LogBuilder(tmp_path, "x", directory="offline-run-20260101_000000-x").rows(10).exit(0)
    segment = {
        "previous": f"{first.directory.name}/run-x.wandb",
        "previous_end": first.path.stat().st_size,
        "begin": {"history": 10},
    }
    second = LogBuilder(tmp_path, "x", directory="offline-run-20260102_000000-x", segment=segment)
    second.step = 10
    second.rows(5).exit(0)
    for log in (first, second):
        compress(log.path)
    server = SimulatedServer()
    assert state(sync(server, second.directory)) == [Status.SYNCED]
    assert state(sync(server, first.directory)) == [Status.SYNCED]
    assert len(server.run("x").history) == 15 and all(server.run("x").history)


def test_a_damaged_frame_is_told_and_what_is_around_it_is_uploaded(tmp_path: Path) -> None:
    log = LogBuilder(tmp_path, "x").rows(20_000).exit(0)
    compress(log.path)
    compressed = Path(f"{log.path}.zst")
    data = bytearray(compressed.read_bytes())
    data[len(data) // 2] ^= 0x10
    compressed.write_bytes(data)
    server = SimulatedServer()
    report = sync(server, log.directory)
    assert state(report) == [Status.INCOMPLETE] and "are damaged" in report.outcomes[0].reason
    assert 10_000 < len(server.run("x").history) < 20_000


def test_a_receipt_is_of_the_log_in_either_form(tmp_path: Path) -> None:
    log = everything(tmp_path)
    server = SimulatedServer()
    sync(server, log.directory)
    compress(log.path)
    (found,) = discover([str(log.directory)])
    assert removable([found], -1.0) == ({log.directory: ()}, {})
    left = Path(f"{log.path}.zst.1.unfinished")
    left.write_bytes(b"")
    assert removable([found], -1.0) == ({log.directory: ()}, {})
    Path(f"{log.path}.notes").write_bytes(b"mine")
    assert removable([found], -1.0)[0] == {}
    os.unlink(f"{log.path}.notes")
    data = bytearray(Path(f"{log.path}.zst").read_bytes())
    data[len(data) // 2] ^= 1
    Path(f"{log.path}.zst").write_bytes(data)
    assert removable([found], -1.0) == ({}, {})  # it is not the log of the receipt any more


def test_each_log_is_found_once_in_whichever_forms_it_is_there(tmp_path: Path) -> None:
    log = everything(tmp_path / "wandb")
    data = log.path.read_bytes()
    compress(log.path)
    log.path.write_bytes(data)
    os.symlink(f"{log.path}.zst", tmp_path / "link.wandb.zst")
    for places in ([str(tmp_path)], [str(log.directory)], [str(log.path), f"{log.path}.zst"]):
        assert [found.path for found in discover(places)] == [log.path]
    log.path.unlink()
    found = discover([str(log.path), f"{log.path}.zst", str(tmp_path / "link.wandb.zst"), str(log.directory)])
    assert [each.path for each in found] == [log.path] and found[0].is_named
