"""What is damaged is told by bytes, records and steps; what is sound is saved, and a backup stays."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest
from conftest import wandb_command as wandb
from conftest import wandb_lines as lines
from log_builder import LogBuilder
from log_view import LogView

from wandb.errors import BadFileHeader, LeaseHeld, UsageError
from wandb.transaction_log.reader import read_records
from wandb_sync.check import check
from wandb_sync.discover import Log
from wandb_sync.lease import Lease
from wandb_sync.repair import repair


@pytest.fixture
def log(tmp_path: Path) -> LogBuilder:
    """Several blocks of rows; an old log, so that nobody is taken to write it."""
    made = LogBuilder(tmp_path / "wandb", "long").rows(2000).exit(0)
    os.utime(made.path, (1.7e9, 1.7e9))
    return made


def damage(log: LogBuilder, at: int) -> None:
    data = bytearray(log.path.read_bytes())
    data[at] ^= 0xFF
    log.path.write_bytes(data)
    os.utime(log.path, (1.7e9, 1.7e9))


def test_a_sound_log_is_sound(log: LogBuilder) -> None:
    (told,) = lines("check", log.directory, "--json")
    assert told["verdict"] == "sound" and told["losses"] == [] and told["has_exit"]
    assert (told["n_records"], told["n_rows"], told["last_step"]) == (2003, 2000, 1999)
    assert wandb("check", "--quiet", log.directory).stdout == ""
    assert "sound, 2003 records, 2000 rows, last step 1999" in wandb("check", log.directory).stdout


def test_damage_is_told_by_bytes_records_and_steps(log: LogBuilder) -> None:
    before = {record.offset: record for record in read_records(log.path)}
    damage(log, 40000)
    (told,) = lines("check", log.directory, "--json", exit_code=3)
    (loss,) = told["losses"]
    after = {record.offset: record for record in read_records(log.path)}
    lost = [LogView_number(before[at].payload) for at in before if at not in after]
    assert (loss["after_record"], loss["before_record"]) == (lost[0] - 1, lost[-1] + 1)
    assert loss["n_records"] == len(lost) == told["n_lost_records"]
    assert (loss["after_step"], loss["before_step"]) == (
        lost[0] - 4,
        lost[-1] - 2,
    )  # header and run come first
    assert loss["offset"] <= 40000 < loss["offset"] + loss["n_bytes"]
    said = wandb("check", log.directory, exit_code=3).stdout
    assert f"{len(lost)} records lost" in said and f"after step {loss['after_step']}" in said


def LogView_number(payload: bytes) -> int:
    from wandb.proto.record_pb2 import Record

    return int(Record.FromString(payload).num)


def test_damage_at_the_ends_is_told_too(log: LogBuilder) -> None:
    n_bytes = log.path.stat().st_size
    damage(log, n_bytes - 3)
    (told,) = lines("check", log.directory, "--json", exit_code=3)
    assert told["losses"][0]["before_record"] is None and not told["has_exit"]
    damage(log, 2)
    (told,) = lines("check", log.directory, "--json", exit_code=3)
    assert told["losses"][0]["reason"] == "file header" and told["losses"][0]["offset"] == 0
    log.path.write_bytes(b"no log at all")
    assert lines("check", log.directory, "--json", exit_code=1)[0]["verdict"] == "unreadable"


def test_a_torn_tail_is_no_damage_and_what_the_recorder_gave_up_is_told(log: LogBuilder) -> None:
    from wandb.proto import record_pb2 as pb
    from wandb.transaction_log.writer import Writer

    os.truncate(log.path, log.path.stat().st_size - 3)
    (told,) = lines("check", log.directory, "--json")
    assert told["verdict"] == "torn" and told["tail_bytes"] > 0
    writer = Writer.append_to(log.path)
    record = pb.Record()
    record.footer.lost.history = 7
    writer.write(record.SerializeToString())
    writer.close()
    (told,) = lines("check", log.directory, "--json", exit_code=3)
    assert told["verdict"] == "sound" and told["given_up"] == 7


def test_any_flipped_byte_is_found_or_changes_nothing(tmp_path: Path) -> None:
    small = LogBuilder(tmp_path, "s").rows(20).exit(0)
    whole = small.path.read_bytes()
    rng = random.Random(3)
    for at in rng.sample(range(len(whole)), 150):
        small.path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << rng.randrange(8)]) + whole[at + 1 :])
        try:
            checked = check(small.path)
        except BadFileHeader:
            assert at < 7
            continue
        assert checked.verdict != "sound", at


def test_a_repair_keeps_a_backup_saves_the_rest_and_is_told_by_the_sync(log: LogBuilder) -> None:
    damage(log, 40000)
    damaged = log.path.read_bytes()
    kept = [record.payload for record in read_records(log.path)]
    (told,) = lines("repair", log.directory, "--json", exit_code=3)
    assert told["status"] == "repaired" and told["n_lost_records"] > 100
    backup = log.path.with_name("run-long.wandb.damaged")
    assert Path(told["backup"]) == backup and backup.read_bytes() == damaged
    now = [record.payload for record in read_records(log.path)]
    assert now[:-1] == kept
    checked = check(log.path)
    assert checked.verdict == "sound" and checked.given_up == told["n_lost_records"] and checked.has_exit
    assert log.path.stat().st_mtime == pytest.approx(1.7e9)
    (told,) = lines("repair", log.directory, "--json")
    assert told["status"] == "sound"
    damage(log, 60000)
    wandb("repair", log.directory, exit_code=3)
    assert log.path.with_name("run-long.wandb.damaged.2").exists() and backup.read_bytes() == damaged
    assert LogView(log.path).kinds().count("exit") == 1


def test_a_repair_to_another_file_and_a_dry_one_leave_the_log(log: LogBuilder, tmp_path: Path) -> None:
    damage(log, 40000)
    damaged = log.path.read_bytes()
    assert "would be repaired" in wandb("repair", log.directory, "--dry-run", exit_code=3).stdout
    wandb("repair", log.directory, "--out", tmp_path / "saved.wandb", exit_code=3)
    assert log.path.read_bytes() == damaged and check(tmp_path / "saved.wandb").verdict == "sound"
    assert sorted(os.listdir(log.directory)) == ["files", "run-long.wandb"]
    with pytest.raises(UsageError, match="is there already"):
        repair(Log(log.path, "x"), out=tmp_path / "saved.wandb")


def test_a_lost_file_header_is_repaired(log: LogBuilder) -> None:
    damage(log, 1)
    wandb("repair", log.directory, exit_code=3)
    assert check(log.path).verdict == "sound" and check(log.path).n_rows == 2000
    log.path.write_bytes(b"no log at all")
    wandb("repair", log.directory, exit_code=1)
    assert log.path.read_bytes() == b"no log at all"
    assert not [name for name in os.listdir(log.directory) if "repairing" in name]


def test_a_run_that_goes_on_or_is_being_synced_is_not_repaired(log: LogBuilder) -> None:
    damage(log, 40000)
    damaged = log.path.read_bytes()
    with Lease(log.path.with_name(log.path.name + ".lease")), pytest.raises(LeaseHeld):
        repair(Log(log.path, "x"))
    os.utime(log.path)
    assert "goes on" in wandb("repair", log.directory, exit_code=2).stderr
    assert log.path.read_bytes() == damaged
    wandb("repair", log.directory, "--force", exit_code=3)


def test_where_there_are_no_hard_links_the_backup_is_a_copy(
    log: LogBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    damage(log, 40000)
    damaged = log.path.read_bytes()

    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError(1, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    repair(Log(log.path, "x"))
    assert log.path.with_name("run-long.wandb.damaged").read_bytes() == damaged


def test_a_repair_on_a_full_disk_changes_nothing(small_disk: Any) -> None:
    log = LogBuilder(small_disk.path, "s").rows(600).exit(0)
    os.utime(log.path, (1.7e9, 1.7e9))
    damage(log, 40000)
    damaged = log.path.read_bytes()
    small_disk.fill()
    wandb("repair", log.directory, exit_code=1)
    assert log.path.read_bytes() == damaged and sorted(os.listdir(log.directory)) == ["files", "run-s.wandb"]
