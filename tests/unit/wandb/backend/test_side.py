"""A side log begins with its first record, and what comes while it cannot begin waits."""

from __future__ import annotations

from typing import List

import pytest

from wandb.backend.base import Backend
from wandb.backend.memory import MemoryBackend
from wandb.backend.side import MAX_EARLY_BYTES, SideBackend
from wandb.errors import LogWriteError


class Disk:
    """Opens logs while it is `well`; counts."""

    def __init__(self) -> None:
        self.well = True
        self.log = MemoryBackend()
        self.n_begun = 0
        self.told: List[LogWriteError] = []

    def open(self) -> Backend:
        if not self.well:
            raise LogWriteError("the disk is full")
        return self.log

    def begun(self) -> None:
        self.n_begun += 1

    def backend(self, raises: bool = False) -> SideBackend:
        return SideBackend(self.open, self.begun, None if raises else self.told.append)


def bodies(disk: Disk) -> List[bytes]:
    return [payload[2:] for payload in disk.log.records]  # without their numbers


def test_without_a_record_nothing_is_opened() -> None:
    disk = Disk()
    disk.well = False
    backend = disk.backend(raises=True)
    backend.sync()
    backend.take_over()
    backend.close()
    assert not backend.has_records and not disk.n_begun


def test_records_that_come_before_the_log_can_begin_are_the_first_in_it() -> None:
    disk = Disk()
    backend = disk.backend()
    disk.well = False
    backend.append(b"\x12\x01a")
    backend.append(b"\x12\x01b")
    assert backend.has_records and len(disk.told) == 2 and not disk.n_begun
    disk.well = True
    backend.append(b"\x12\x01c")
    backend.append(b"\x12\x01d")
    assert bodies(disk) == [b"\x12\x01a", b"\x12\x01b", b"\x12\x01c", b"\x12\x01d"] and disk.n_begun == 1


def test_the_end_is_the_last_attempt_to_begin() -> None:
    disk = Disk()
    backend = disk.backend()
    disk.well = False
    backend.append(b"\x12\x01a")
    with pytest.raises(LogWriteError):
        backend.close()
    disk.well = True
    backend.close()
    assert bodies(disk) == [b"\x12\x01a"]


def test_what_waits_is_bounded_and_with_raises_nothing_waits() -> None:
    disk = Disk()
    disk.well = False
    backend = disk.backend()
    backend.append(b"x" * MAX_EARLY_BYTES)
    with pytest.raises(LogWriteError):
        backend.append(b"x")
    strict = disk.backend(raises=True)
    with pytest.raises(LogWriteError):
        strict.append(b"x")
    assert not strict.has_records
