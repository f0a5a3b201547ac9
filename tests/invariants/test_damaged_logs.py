"""A log that was cut anywhere, or has any byte changed, is synced as far as it is whole; never further, never
with a row that nobody logged, and never called synced.

`tox -e soak` tries every byte.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Dict, Iterable, List

import pytest
from log_builder import LogBuilder, everything
from simulated_server import SimulatedServer

from wandb_sync.outcomes import Outcome, Status
from wandb_sync.run_sync import RunOptions
from wandb_sync.service import Service

STEP = 61  # a prime: neither records nor fields repeat with it


class Damaged:
    """A log of every kind of record, and what comes of its damaged copies."""

    def __init__(self, place: Path) -> None:
        self.log: LogBuilder = everything(place, n_rows=12)
        self.data = self.log.path.read_bytes()
        self.server = SimulatedServer()
        (self.clean,) = self._sync(self.data)
        assert self.clean.status is Status.SYNCED
        self.state = self.server.run("all").state()

    def sync(self, data: bytes) -> Outcome:
        """Sync a copy to a server that knows nothing; returns its outcome."""
        self.server = SimulatedServer()
        (outcome,) = self._sync(data)
        assert "internal error" not in outcome.reason, outcome
        return outcome

    def _sync(self, data: bytes) -> List[Outcome]:
        for path in self.log.directory.glob("*.wandb.*"):
            path.unlink()
        self.log.path.write_bytes(data)
        service = Service(self.server, self.server.base_url, RunOptions(finish=True), parallel=1)
        return service.run([str(self.log.directory)]).outcomes

    def check_that_nothing_is_claimed(self, outcome: Outcome) -> None:
        assert outcome.status is not Status.SYNCED
        left = {path.suffix for path in self.log.directory.glob("*.wandb.*")}
        assert not left & {".receipt", ".synced", ".lease"}

    def lines(self) -> Dict[str, List[Any]]:
        """What the server has of the run's rows and events."""
        if not self.server.runs:
            return {"history": [], "events": []}
        (run,) = self.server.runs.values()
        return {"history": run.history, "events": run.events}


@pytest.fixture
def damaged(tmp_path: Path) -> Damaged:
    return Damaged(tmp_path)


def check_cuts(damaged: Damaged, lengths: Iterable[int]) -> None:
    n_rows = -1
    for n_bytes in lengths:
        outcome = damaged.sync(damaged.data[:n_bytes])
        damaged.check_that_nothing_is_claimed(outcome)
        for name, lines in damaged.lines().items():
            assert lines == damaged.state[name][: len(lines)], (n_bytes, name)
        rows = len(damaged.lines()["history"])
        assert rows >= n_rows, n_bytes  # a longer piece never has less
        n_rows = rows
    assert n_rows == 12


def check_flips(damaged: Damaged, places: Iterable[int]) -> None:
    for at in places:
        data = bytearray(damaged.data)
        data[at] ^= 1 << at % 8
        outcome = damaged.sync(bytes(data))
        damaged.check_that_nothing_is_claimed(outcome)
        for name, lines in damaged.lines().items():
            known = iter(json.dumps(line) for line in damaged.state[name])
            assert all(json.dumps(line) in known for line in lines), (at, name)  # in order, none of them new


def test_a_log_that_was_cut_arrives_as_far_as_it_is_whole(damaged: Damaged) -> None:
    n = len(damaged.data)
    check_cuts(damaged, [*range(0, n, STEP), n - 1])


def test_a_log_with_a_changed_bit_brings_no_row_that_was_not_logged(damaged: Damaged) -> None:
    check_flips(damaged, range(7, len(damaged.data), STEP))  # the first seven are the log's header


@pytest.mark.soak
def test_a_log_that_was_cut_at_any_byte_arrives_as_far_as_it_is_whole(damaged: Damaged) -> None:
    check_cuts(damaged, range(len(damaged.data)))


@pytest.mark.soak
def test_a_log_with_any_byte_changed_brings_no_row_that_was_not_logged(damaged: Damaged) -> None:
    check_flips(damaged, range(len(damaged.data)))


def test_a_log_that_was_cut_and_comes_back_whole_arrives_whole(damaged: Damaged) -> None:
    """As with a copy over a slow link that was synced while it came."""
    server = SimulatedServer()
    log = damaged.log
    for path in log.directory.glob("*.wandb.*"):
        path.unlink()
    n = len(damaged.data)
    for n_bytes in (*range(n // 10, n, n // 10), n):
        log.path.write_bytes(damaged.data[:n_bytes])
        os.utime(log.path)
        Service(server, server.base_url, RunOptions(), parallel=1).run([str(log.directory)])
    assert server.run("all").state() == damaged.state
