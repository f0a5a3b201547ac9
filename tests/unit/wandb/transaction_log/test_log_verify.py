"""Verify and repair."""

from __future__ import annotations

from pathlib import Path
from zlib import crc32

import pytest

from wandb.errors import BadFileHeader, LogWriteError
from wandb.transaction_log.format import BLOCK_BYTES, CHUNK_HEADER, FILE_HEADER, LAST
from wandb.transaction_log.parser import Lost
from wandb.transaction_log.reader import read_records
from wandb.transaction_log.verify import MAX_LOSSES, repair, verify
from wandb.transaction_log.writer import Writer


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "run-x.wandb"
    writer = Writer.create(path)
    for number in range(100):
        writer.write(b"%02d" % number * 500)
    writer.close()
    return path


def damage(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 0x20
    path.write_bytes(data)


def test_a_whole_log_is_sound(path: Path) -> None:
    report = verify(path)
    assert (report.verdict, report.n_records, report.payload_bytes) == ("sound", 100, 100000)
    assert report.n_bytes == report.end == path.stat().st_size
    assert (report.lost, report.lost_bytes, report.tail_bytes, report.path) == ([], 0, 0, str(path))


def test_a_log_whose_writer_was_killed_is_torn(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])
    report = verify(path)
    assert (report.verdict, report.n_records, report.tail_bytes) == ("torn", 99, 1006)


def test_damage_is_counted(path: Path) -> None:
    damage(path, 40000)
    report = verify(path)
    assert report.verdict == "damaged"
    assert 0 < report.lost_bytes <= BLOCK_BYTES + 1007
    assert report.n_records + 35 > 100


def test_damage_in_the_last_block_is_counted_too(path: Path) -> None:
    damage(path, path.stat().st_size - 1)
    report = verify(path)
    assert (report.verdict, report.n_records) == ("damaged", 99)
    assert report.lost == [Lost(path.stat().st_size - 1007, 1007, "checksum")]
    assert (report.end, report.tail_bytes) == (path.stat().st_size, 0)


def test_verify_changes_nothing(path: Path) -> None:
    damage(path, 40000)
    before = path.read_bytes()
    verify(path)
    assert path.read_bytes() == before


def test_repair_keeps_every_whole_record(path: Path, tmp_path: Path) -> None:
    damage(path, 40000)
    before = path.read_bytes()
    report = repair(path, tmp_path / "out.wandb")
    assert report == verify(path)
    assert path.read_bytes() == before
    assert verify(tmp_path / "out.wandb").verdict == "sound"
    assert list(r.payload for r in read_records(tmp_path / "out.wandb")) == list(
        r.payload for r in read_records(path)
    )


@pytest.mark.parametrize("offset", range(7))
def test_a_damaged_file_header_costs_no_record(path: Path, tmp_path: Path, offset: int) -> None:
    sound = [record.payload for record in read_records(path)]
    damage(path, offset)
    with pytest.raises(BadFileHeader):
        verify(path)
    report = repair(path, tmp_path / "out.wandb")
    assert (report.verdict, report.lost) == ("damaged", [Lost(0, 7, "file header")])
    assert (report.n_lost, report.lost_bytes) == (1, 7)
    assert [record.payload for record in read_records(tmp_path / "out.wandb")] == sound


def test_what_was_never_a_log_is_not_repaired(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_bytes(b"all work and no play " * 10000)
    with pytest.raises(BadFileHeader, match="notes.txt"):
        repair(tmp_path / "notes.txt", tmp_path / "out.wandb")
    assert not (tmp_path / "out.wandb").exists()


@pytest.mark.parametrize("data", [b"x", b"abc", b"notes.", b"garbage"])
def test_what_is_shorter_than_a_header_is_not_repaired_either(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "notes.txt").write_bytes(data)
    with pytest.raises(BadFileHeader, match="notes.txt"):
        repair(tmp_path / "notes.txt", tmp_path / "out.wandb")
    assert not (tmp_path / "out.wandb").exists()


def test_of_very_many_losses_the_first_are_listed_and_all_are_counted(tmp_path: Path) -> None:
    """A block full of chunks without a beginning."""
    chunk = CHUNK_HEADER.pack(crc32(bytes([LAST])), 0, LAST)
    n_lost = (BLOCK_BYTES - len(FILE_HEADER)) // len(chunk)
    path = tmp_path / "run-x.wandb"
    path.write_bytes(FILE_HEADER + chunk * n_lost)
    report = verify(path)
    assert (report.verdict, report.n_lost, report.lost_bytes) == ("damaged", n_lost, n_lost * len(chunk))
    assert len(report.lost) == MAX_LOSSES < n_lost
    assert report.lost[-1].offset == len(FILE_HEADER) + (MAX_LOSSES - 1) * len(chunk)
    assert (report.end, report.tail_bytes) == (path.stat().st_size, 0)


def test_repair_never_replaces_a_file(path: Path) -> None:
    with pytest.raises(LogWriteError, match="exists already"):
        repair(path, path)
    assert verify(path).verdict == "sound"
