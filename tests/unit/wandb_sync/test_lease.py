"""Who may sync a run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, List

import pytest

from wandb.errors import LeaseHeld, SyncError
from wandb_sync import lease as lease_module
from wandb_sync.lease import STALE_AFTER_S, Lease
from wandb.processes import Life, ProcessId, life_of


def no_sleep(seconds: float) -> None:
    pass


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run-abc.wandb.lease"


def leave_behind(path: Path, **process: Any) -> None:
    """Write the lease of somebody else."""
    body = {"nonce": "theirs", "process": {**ProcessId.current().to_json(), **process}, "taken_at": 0}
    path.write_text(json.dumps(body))


def dead_pid() -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def test_a_lease_is_given_back(path: Path) -> None:
    with Lease(path):
        assert path.exists()
    assert list(path.parent.glob("*lease*")) == []


def test_a_second_syncer_is_refused_and_told_who_holds_it(path: Path) -> None:
    with Lease(path):
        with pytest.raises(LeaseHeld, match=str(os.getpid())):
            Lease(path).acquire()
    assert list(path.parent.glob("*lease*")) == []


def test_the_lease_of_a_dead_process_is_taken_over(path: Path) -> None:
    leave_behind(path, pid=dead_pid(), start_ticks=1)
    with Lease(path, sleep=no_sleep):
        assert json.loads(path.read_text())["process"]["pid"] == os.getpid()
    assert list(path.parent.glob("*lease*")) == []


def test_a_process_number_that_was_used_again_is_another_process(path: Path) -> None:
    leave_behind(path, start_ticks=ProcessId.current().start_ticks - 1)
    Lease(path, sleep=no_sleep).acquire()


def test_processes_from_before_a_reboot_are_dead(path: Path) -> None:
    leave_behind(path, boot_id="another")
    Lease(path, sleep=no_sleep).acquire()


def test_a_fresh_lease_of_another_host_is_respected(path: Path) -> None:
    leave_behind(path, host="elsewhere")
    with pytest.raises(LeaseHeld, match="elsewhere"):
        Lease(path, sleep=no_sleep).acquire()


def test_a_lease_of_another_host_that_was_not_renewed_is_taken_over(path: Path) -> None:
    leave_behind(path, host="elsewhere")
    old = time.time() - STALE_AFTER_S - 1
    os.utime(path, (old, old))
    Lease(path, sleep=no_sleep).acquire()


def test_a_holder_in_another_process_namespace_is_respected(path: Path) -> None:
    leave_behind(path, namespace="pid:[1]", pid=dead_pid())
    with pytest.raises(LeaseHeld):
        Lease(path, sleep=no_sleep).acquire()


def test_renewing_makes_it_young_again(path: Path) -> None:
    held = Lease(path)
    held.acquire()
    os.utime(path, (0, 0))
    held.renew()
    assert not held.is_lost and path.stat().st_mtime > 0


def test_a_holder_finds_out_that_somebody_took_over(path: Path) -> None:
    held = Lease(path)
    held.acquire()
    leave_behind(path)
    held.renew()
    assert held.is_lost
    held.release()
    assert json.loads(path.read_text())["nonce"] == "theirs"


@pytest.mark.parametrize("text", ["", "{", "[]"])
def test_a_lease_that_cannot_be_read_just_now_is_not_lost(path: Path, text: str) -> None:
    held = Lease(path)
    held.acquire()
    path.write_text(text)
    held.renew()
    assert not held.is_lost


def test_a_lease_that_is_gone_is_lost(path: Path) -> None:
    held = Lease(path)
    held.acquire()
    path.unlink()
    held.renew()
    assert held.is_lost


def test_what_killed_syncers_left_goes_with_the_next_lease(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for left in (".00ff", ".00ff.stale"):
        leave_behind(path.with_name(path.name + left), pid=dead_pid(), start_ticks=1)
    with Lease(path):
        pass
    assert len(list(path.parent.glob("*lease*"))) == 2  # a rival may be at it just now
    monkeypatch.setattr(lease_module, "STALE_AFTER_S", -1)
    with Lease(path):
        assert len(list(path.parent.glob("*lease*"))) == 1


def test_one_may_look_without_writing(path: Path) -> None:
    Lease(path).check()
    leave_behind(path, pid=dead_pid(), start_ticks=1)
    Lease(path).check()
    leave_behind(path, host="elsewhere")
    with pytest.raises(LeaseHeld, match="elsewhere"):
        Lease(path).check()
    os.utime(path, (0, 0))
    Lease(path).check()


def test_a_lease_that_makes_no_sense_counts_by_its_age(path: Path) -> None:
    path.write_text("{")
    with pytest.raises(LeaseHeld):
        Lease(path, sleep=no_sleep).acquire()
    os.utime(path, (0, 0))
    Lease(path, sleep=no_sleep).acquire()


def test_without_hard_links_it_works_too(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_link(source: Any, target: Any) -> None:
        raise PermissionError(1, "no hard links here")

    monkeypatch.setattr(lease_module.os, "link", no_link)
    with Lease(path):
        with pytest.raises(LeaseHeld):
            Lease(path).acquire()
    assert list(path.parent.glob("*lease*")) == []


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(SyncError):
        Lease(tmp_path / "no" / "lease").acquire()


@pytest.mark.parametrize("stale", [False, True])
def test_of_many_at_once_at_most_one_wins(path: Path, stale: bool) -> None:
    for _ in range(10):
        if stale:
            leave_behind(path, pid=dead_pid(), start_ticks=1)
        winners: List[Lease] = []
        barrier = threading.Barrier(6)

        def race() -> None:
            one = Lease(path, sleep=lambda seconds: time.sleep(seconds / 4))
            barrier.wait()
            try:
                one.acquire()
            except LeaseHeld:
                return
            winners.append(one)

        threads = [threading.Thread(target=race) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for winner in winners:
            winner.renew()
        holders = [winner for winner in winners if not winner.is_lost]
        assert len(holders) <= 1 and (stale or len(winners) == 1)
        for winner in winners:
            winner.release()
        assert list(path.parent.glob("*lease*")) == []


def test_this_process_is_alive_and_one_that_ended_is_dead() -> None:
    here = ProcessId.current()
    assert life_of(here) is Life.ALIVE
    assert life_of(here._replace(pid=dead_pid(), start_ticks=1)) is Life.DEAD
    assert life_of(here._replace(host="elsewhere")) is Life.UNKNOWN
    assert life_of(here._replace(pid=0)) is Life.UNKNOWN


def test_a_lease_whose_directory_was_moved_under_its_holder_is_free_for_him(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    held = Lease(tmp_path / "a" / "lease", sleep=no_sleep)
    held.acquire()
    (tmp_path / "a").rename(tmp_path / "b")
    again = Lease(tmp_path / "b" / "lease", sleep=no_sleep)
    with pytest.raises(LeaseHeld):
        again.acquire()
    held.release()
    with again:
        assert (tmp_path / "b" / "lease").exists()
    assert not (tmp_path / "b" / "lease").exists()
