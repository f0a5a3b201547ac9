"""The checkpoint file: replaced as a whole, bound to its log, never trusted when in doubt."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, List

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wandb.errors import CheckpointMismatch, CheckpointUnreadable, SyncError
from wandb_sync.checkpoint import (
    Checkpoint,
    CheckpointFile,
    checkpoints_of,
    Destination,
    Identity,
    identify,
    replace_file,
    sealed,
    unsealed,
)

HERE = Destination("http://server", "", "p", "abc")
THERE = Destination("http://other", "", "p", "abc")


def checkpoint(log: Path, offset: int, **session: Any) -> Checkpoint:
    return Checkpoint(identify(log, offset), dict(session), {"a": [1, 2]}, ["a"], {}, [], [], False)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "run-abc.wandb"
    path.write_bytes(bytes(range(256)) * 100)
    return path


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    return tmp_path / "run-abc.wandb.checkpoint"


@pytest.fixture
def path(shared: Path) -> Path:
    """Where the checkpoint for HERE is."""
    return HERE.file(shared)


def test_what_was_saved_is_loaded(log: Path, shared: Path, path: Path) -> None:
    saved = checkpoint(log, 9000, x=[1, "é", None, float("inf")])
    CheckpointFile(shared, HERE).save(saved)
    assert CheckpointFile(shared, HERE).load(log) == saved


def test_each_destination_has_its_own_file(log: Path, shared: Path) -> None:
    CheckpointFile(shared, HERE).save(checkpoint(log, 100, at="here"))
    CheckpointFile(shared, THERE).save(checkpoint(log, 200, at="there"))
    for where, at in ((HERE, "here"), (THERE, "there")):
        found = CheckpointFile(shared, where).load(log)
        assert found is not None and found.session["at"] == at
    assert CheckpointFile(shared, HERE._replace(run_id="x")).load(log) is None
    assert len(list(log.parent.glob("run-abc.wandb.????????.checkpoint"))) == 2
    assert set(checkpoints_of(shared)) == {HERE.key, THERE.key}


def test_the_one_file_of_older_versions_is_read_until_there_is_a_newer_one(log: Path, shared: Path) -> None:
    def entry(offset: int) -> Any:
        old = checkpoint(log, offset)
        return {**old._asdict(), "identity": old.identity._asdict()}

    body = {"format": "wandb-ng checkpoint", "version": 1}
    shared.write_bytes(sealed({**body, "destinations": {HERE.key: entry(100), THERE.key: entry(200)}}))
    CheckpointFile(shared, HERE).save(checkpoint(log, 300))
    offsets = []
    for where in (HERE, THERE):
        found = CheckpointFile(shared, where).load(log)
        assert found is not None
        offsets.append(found.identity.offset)
    assert offsets == [300, 200]


def test_nothing_is_there_before_the_first_save(log: Path, shared: Path, path: Path) -> None:
    assert CheckpointFile(shared, HERE).load(log) is None


def test_a_longer_log_is_still_the_same_log(log: Path, shared: Path, path: Path) -> None:
    CheckpointFile(shared, HERE).save(checkpoint(log, 9000))
    with open(log, "ab") as file:
        file.write(b"more")
    assert CheckpointFile(shared, HERE).load(log) is not None


@pytest.mark.parametrize("at", [0, 4000, 8999, 5000])
def test_other_bytes_make_another_log(log: Path, shared: Path, path: Path, at: int) -> None:
    CheckpointFile(shared, HERE).save(checkpoint(log, 9000))
    data = bytearray(log.read_bytes())
    data[at] ^= 1
    log.write_bytes(data)
    with pytest.raises(CheckpointMismatch):
        CheckpointFile(shared, HERE).load(log)


def test_a_log_that_became_shorter_is_another_log(log: Path, shared: Path, path: Path) -> None:
    CheckpointFile(shared, HERE).save(checkpoint(log, 9000))
    os.truncate(log, 8999)
    with pytest.raises(CheckpointMismatch):
        CheckpointFile(shared, HERE).load(log)


def test_any_flipped_bit_makes_the_file_count_as_none(log: Path, shared: Path, path: Path) -> None:
    CheckpointFile(shared, HERE).save(checkpoint(log, 300, x=1))
    good = path.read_bytes()
    for at in range(0, len(good) - 1, 3):
        for bit in (1, 32):
            data = bytearray(good)
            data[at] ^= bit
            path.write_bytes(data)
            file = CheckpointFile(shared, HERE)
            assert file.was_damaged and file.load(log) is None


def test_every_truncation_makes_the_file_count_as_none(log: Path, shared: Path, path: Path) -> None:
    CheckpointFile(shared, HERE).save(checkpoint(log, 300, x=1))
    good = path.read_bytes()
    for n_bytes in range(0, len(good) - 1, 7):
        path.write_bytes(good[:n_bytes])
        assert CheckpointFile(shared, HERE).was_damaged


def test_a_newer_version_is_not_overwritten(shared: Path, path: Path) -> None:
    body = {"format": "wandb-ng checkpoint", "version": 2, "destinations": {}}
    path.write_bytes(sealed(body))
    with pytest.raises(CheckpointUnreadable):
        CheckpointFile(shared, HERE)


def test_the_old_file_stays_until_the_new_one_is_whole(
    log: Path, shared: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    CheckpointFile(shared, HERE).save(checkpoint(log, 300, x=1))
    before = path.read_bytes()
    order: List[str] = []
    real_fsync, real_replace = os.fsync, os.replace

    def fsync(fd: int) -> None:
        order.append("directory" if os.path.isdir(f"/proc/self/fd/{fd}") else "file")
        assert path.read_bytes() == before or "rename" in order
        real_fsync(fd)

    def replace(source: Any, target: Any) -> None:
        assert path.read_bytes() == before
        order.append("rename")
        real_replace(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    CheckpointFile(shared, HERE).save(checkpoint(log, 400, x=2))
    assert order == ["file", "rename", "directory"]
    assert sorted(os.listdir(path.parent)) == sorted([path.name, log.name, "home", "work"])


def test_a_place_that_cannot_be_written_is_told_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SyncError, match="state-dir"):
        replace_file(tmp_path / "no" / "such" / "file", b"")


def test_the_identity_of_nothing_is_the_same_for_all_logs(log: Path) -> None:
    assert identify(log, 0) == Identity(0, 0, 0, 0, 0)


@given(st.recursive(st.none() | st.integers() | st.text() | st.floats(allow_nan=False), st.lists))
def test_what_was_sealed_can_be_opened(value: Any) -> None:
    body = {"value": value}
    assert unsealed(sealed(body), "it") == json.loads(json.dumps(body))


def test_the_vectors_of_the_specification_can_be_read() -> None:
    vectors = Path(__file__).resolve().parents[3] / "schema" / "checkpoint" / "vectors"
    found = sorted(vectors.glob("*.checkpoint"))
    assert len(found) >= 3
    for vector in found:
        expected = json.loads(vector.with_suffix(".json").read_text())
        try:
            file = CheckpointFile(vector, HERE)
        except CheckpointUnreadable:
            assert expected["verdict"] == "refused"
            continue
        assert expected["verdict"] == ("damaged" if file.was_damaged else "read")
        assert sorted(checkpoints_of(vector)) == expected["destinations"]
