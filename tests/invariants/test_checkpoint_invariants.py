"""Promise 3: a checkpoint never stands past what the server acknowledged; whatever is interrupted, whenever,
the server ends up exactly as after one clean upload.  Promise 5: "synced" is proven.

One sentence per test.  The server is simulated, the rest is real: files, checkpoints, leases.
"""

from __future__ import annotations

import random
import shutil
import threading
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from log_builder import LogBuilder, everything, grow
from simulated_server import Answer, Cut, SimulatedServer

from wandb_sync import batching
from wandb_sync.batching import HISTORY
from wandb_sync.checkpoint import CheckpointFile, Destination
from wandb_sync.outcomes import Report, Status
from wandb_sync.run_sync import RunOptions
from wandb_sync.service import Service
from wandb_sync.transport.base import Request, Response

BATCH_BYTES = 3000  # so that a log of 40 rows is several posts


class Killed(BaseException):
    """Ends a sync as SIGKILL would: nothing of ours runs after it but what unwinds the stack."""


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "BATCH_BYTES", BATCH_BYTES)


class _Server(SimulatedServer):
    """Kills the client at a request of its choice, before or after it has acted."""

    def __init__(self) -> None:
        super().__init__()
        self.kill_at: Dict[int, bool] = {}  # number of the request -> whether the server acts first
        self.n_sent = 0
        self._counting = threading.Lock()

    def send(self, request: Request) -> Response:
        with self._counting:  # uploads come from several threads
            acts = self.kill_at.pop(self.n_sent, None)
            self.n_sent += 1
        if acts is not False:
            response = super().send(request)
        if acts is not None:
            raise Killed
        return response


def sync(server: SimulatedServer, log: LogBuilder, **options: Any) -> Report:
    return Service(server, server.base_url, RunOptions(**options), parallel=1).run([str(log.directory)])


def killed_or_done(server: SimulatedServer, log: LogBuilder, **options: Any) -> bool:
    try:
        sync(server, log, **options)
    except Killed:
        # The lease of a killed process stays; its process is dead, which this one is not.
        for lease in log.directory.glob("*.lease*"):
            lease.unlink()
        return False
    return True


def clean_state(log: LogBuilder, **options: Any) -> Tuple[Dict[str, Any], int]:
    """Return the end state of one clean upload, and how many requests that is."""
    server = SimulatedServer()
    sync(server, log, **options)
    forget(log)
    return server.run(log.run_id).state(), len(server.requests)


def forget(log: LogBuilder) -> None:
    for path in log.directory.glob("*.wandb.*"):
        path.unlink()


def n_rows_of(body: Any) -> int:
    return len(((body or {}).get("files") or {}).get(HISTORY, {}).get("content", ()))


@pytest.mark.parametrize("acts", [False, True], ids=["request lost", "answer lost"])
@pytest.mark.parametrize("producer", ["wandb-ng/0.1.0", "0.31.0+x"], ids=["our log", "wandb's log"])
def test_killed_at_any_request_the_server_ends_as_after_one_clean_upload(
    tmp_path: Path, acts: bool, producer: str
) -> None:
    log = everything(tmp_path, producer=producer)
    wanted, n_requests = clean_state(log)
    assert n_requests > 10
    for n in range(n_requests):
        server = _Server()
        server.kill_at = {n: acts}
        assert not killed_or_done(server, log)
        report = sync(server, log)
        assert [outcome.status for outcome in report.outcomes] == [Status.SYNCED], n
        assert server.run("all").state() == wanted, n
        forget(log)


def test_killed_at_every_request_in_turn_it_still_arrives(tmp_path: Path) -> None:
    log = everything(tmp_path)
    wanted, n_requests = clean_state(log)
    server = _Server()
    n_tries = 0
    while True:
        server.kill_at = {server.n_sent + 2 + n_tries // 3: n_tries % 2 == 0}
        n_tries += 1
        if killed_or_done(server, log):
            break
        assert n_tries < 4 * n_requests
    assert server.run("all").state() == wanted


def test_a_kill_costs_at_most_one_batch_sent_twice(tmp_path: Path) -> None:
    log = everything(tmp_path, n_rows=200)
    _, n_requests = clean_state(log)
    for n in range(n_requests):
        server = _Server()
        server.kill_at = {n: True}
        killed_or_done(server, log)
        sync(server, log)
        sent = [n_rows_of(body) for body in server.bodies]
        assert sum(sent) - 200 <= max(sent)
        n_uploads = server.requests.count("upload")
        assert n_uploads <= 2 * len(server.run("all").files)
        forget(log)


def test_the_checkpoint_never_stands_past_what_was_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = everything(tmp_path, n_rows=100)
    server = SimulatedServer()
    saved: List[Tuple[int, int]] = []
    save = CheckpointFile.save

    def spy(self: CheckpointFile, checkpoint: Any) -> None:
        rows = checkpoint.session["n_rows"]
        held = len(server.run("all").lines.get(HISTORY, {}))
        saved.append((rows, held))
        save(self, checkpoint)

    monkeypatch.setattr(CheckpointFile, "save", spy)
    sync(server, log)
    assert len(saved) > 3 and all(rows <= held for rows, held in saved)


def test_nothing_is_called_synced_while_anything_is_refused(tmp_path: Path) -> None:
    log = everything(tmp_path)
    wanted, n_requests = clean_state(log)
    marker = log.path.with_name(log.path.name + ".synced")
    receipt = log.path.with_name(log.path.name + ".receipt")
    for status in (400, 403, 404, 409, 413, 500):
        for n in range(n_requests):
            server = SimulatedServer()
            server.fail = lambda operation, number: Answer(status) if number == n else None
            report = sync(server, log)
            if report.outcomes[0].status is not Status.SYNCED:
                assert report.exit_code != 0 and not marker.exists() and not receipt.exists(), (status, n)
            else:  # a request that was tried again in smaller pieces, or one that nothing depends on
                assert server.run("all").state() == wanted, (status, n)
            server.fail = lambda operation, number: None
            assert sync(server, log).outcomes[0].status in (Status.SYNCED, Status.UNCHANGED)
            forget(log)


def test_a_checkpoint_that_is_lost_damaged_or_stale_costs_no_data(tmp_path: Path) -> None:
    log = everything(tmp_path, n_rows=100)
    wanted, n_requests = clean_state(log)
    destination = Destination("http://simulated", "", "", "all")
    checkpoint = destination.file(log.path.with_name(log.path.name + ".checkpoint"))
    for harm in ("lost", "damaged", "stale"):
        server = _Server()
        server.kill_at = {3: True}
        killed_or_done(server, log)
        old = checkpoint.read_bytes()
        server.kill_at = {server.n_sent + 3: True}
        killed_or_done(server, log)
        if harm == "lost":
            checkpoint.unlink()
        elif harm == "damaged":
            checkpoint.write_bytes(checkpoint.read_bytes()[:-9])
        else:
            checkpoint.write_bytes(old)
        sync(server, log)
        assert server.run("all").state() == wanted, harm
        forget(log)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    yield tmp_path_factory.mktemp("growing")


@given(data=st.data())
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_log_that_grows_between_interrupted_syncs_arrives_whole(
    directory: Path, data: st.DataObject
) -> None:
    seed = data.draw(st.integers(0, 2**32))
    rng = random.Random(seed)
    for path in directory.iterdir():
        shutil.rmtree(path)
    log = LogBuilder(directory, "all")
    server = _Server()
    for _ in range(rng.randrange(1, 8)):
        for _ in range(rng.randrange(12)):
            grow(log, rng)
        if rng.random() < 0.6:
            server.kill_at = {server.n_sent + rng.randrange(6): rng.random() < 0.5}
        killed_or_done(server, log, finish=rng.random() < 0.3)
        server.kill_at = {}
    log.exit(rng.randrange(3))
    report = sync(server, log)
    assert [outcome.status for outcome in report.outcomes] == [Status.SYNCED]
    found = server.run("all").state()
    forget(log)
    clean = SimulatedServer()
    sync(clean, log)
    assert found == clean.run("all").state()


def test_a_cut_connection_is_tried_again_and_nothing_doubles(tmp_path: Path) -> None:
    from wandb_sync.transport.retry import Retry

    log = everything(tmp_path)
    wanted, n_requests = clean_state(log)
    for cut in Cut:
        server = SimulatedServer()
        server.fail = lambda operation, n: cut if n % 2 == 0 else None
        retry = Retry(server, sleep=lambda seconds: None)
        report = Service(retry, server.base_url, RunOptions(), parallel=1).run([str(log.directory)])
        assert report.exit_code == 0 and server.run("all").state() == wanted
        forget(log)
