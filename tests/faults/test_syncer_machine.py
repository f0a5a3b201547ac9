"""Whatever happens to syncer, server, network, log and disk, in whatever order: the server ends up as after
one clean upload, and the receipts tell the truth.

A state machine says what may happen, dice or hypothesis choose.  The server is the real one, in a process of
its own, behind a bad network; syncers that are killed are processes, too.  `tox -e long` plays a few games,
`tox -e soak` many.
"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple

import pytest
from fault_proxy import AFTER, FAULTS, FaultProxy
from fixtures_server import ServerProcess
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from log_builder import LogBuilder, grow

import wandb_sync
from wandb_sync import batching, receipts, run_sync
from wandb_sync.checkpoint import checkpoints_of
from wandb_sync.discover import Log, sidecars
from wandb_sync.outcomes import Report, Status

SYNC = """
import sys
from wandb_sync import batching, run_sync
batching.BATCH_BYTES, run_sync.SAVE_FILES_EVERY_S = 1500, 0.0
from wandb_sync.cli import main
sys.argv[0] = "wandb-sync"
main()
"""
RUN_ID = "abc"
PER_SERVER = ("id", "entity", "project", "createdAt", "updatedAt", "heartbeatAt")
ended = (Status.SYNCED, Status.UPLOADED, Status.INCOMPLETE, Status.UNCHANGED)


class SyncerMachine(RuleBasedStateMachine):
    """The log of one run, a server, and what may happen to them."""

    server: ServerProcess  # is given to the class; to start one takes longer than a game

    @initialize(seed=st.integers(0, 2**32 - 1))
    def begin(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.place = Path(tempfile.mkdtemp(prefix="machine-"))
        self.entity = f"e{os.urandom(6).hex()}"
        self.proxy = FaultProxy(self.server.base_url)
        self.proxy.__enter__()
        self.log = LogBuilder(self.place, RUN_ID)
        self.is_written = True  # somebody still writes to the log
        self.is_damaged = False
        self.n_records = 0
        self.append(40)

    def teardown(self) -> None:
        if not hasattr(self, "place"):
            return
        try:
            self.proxy.next = []
            self.check_the_end()
        finally:
            self.proxy.__exit__()
            self.log.close()
            shutil.rmtree(self.place)

    # ---- what may happen

    @precondition(lambda self: self.is_written)
    @rule(n=st.integers(20, 60))
    def append(self, n: int) -> None:
        self.n_records += n
        for _ in range(n):
            grow(self.log, self.rng)
            self.log.row(x=self.rng.random())
        if self.rng.random() < 0.3:
            self.log.file(f"f{self.rng.randrange(3)}", os.urandom(self.rng.randrange(300)))

    @precondition(lambda self: self.is_written and self.n_records > 120)
    @rule(code=st.integers(0, 1))
    def finish_the_run(self, code: int) -> None:
        self.log.exit(code)
        self.is_written = False

    @precondition(lambda self: self.is_written and self.n_records > 120)
    @rule(n_bytes=st.integers(0, 200))
    def kill_the_writer(self, n_bytes: int) -> None:
        """It has got as far as it got: a part of a record may be left of what nobody has read yet."""
        grow(self.log, self.rng)
        self.log.close()
        self.is_written = False
        size = self.log.path.stat().st_size
        os.truncate(self.log.path, max(self.n_acknowledged, size - n_bytes))

    @rule(faults=st.lists(st.sampled_from(FAULTS) | st.none(), min_size=2, max_size=8))
    def sync_through_a_bad_network(self, faults: List[Optional[str]]) -> None:
        self.proxy.next = list(faults)
        self.check(self.sync())
        self.proxy.next = []

    @rule(after=st.integers(0, 9), fault=st.sampled_from(AFTER + ("drop_before",)))
    def kill_the_syncer(self, after: int, fault: str) -> None:
        process: List["subprocess.Popen[bytes]"] = []
        begin = self.proxy.n_requests

        def kill(number: int) -> None:
            if number - begin == after and process:
                process[0].kill()

        self.proxy.next = [None] * after + [fault]
        self.proxy.on_request = kill
        process.append(self.start())
        process[0].communicate(timeout=120)
        self.proxy.on_request, self.proxy.next = (lambda number: None), []

    @rule()
    def run_two_syncers(self) -> None:
        both = [self.start(), self.start()]
        for process in both:
            _, errors = process.communicate(timeout=120)
            assert process.returncode in (0, 3, 9), (process.returncode, errors.decode())

    @rule()
    def restart_the_server(self) -> None:
        self.server.restart()

    @rule(n_requests=st.integers(1, 5))
    def kill_the_server_under_the_syncer(self, n_requests: int) -> None:
        begin = self.proxy.n_requests

        def kill(number: int) -> None:
            if number - begin == n_requests:
                self.server.kill()

        self.proxy.on_request = kill
        report = self.sync()
        self.proxy.on_request = lambda number: None
        self.server.restart()
        self.check(report)

    @rule(n_bytes=st.integers(0, 3000))
    def fill_the_disk(self, n_bytes: int) -> None:
        def no_file_may_grow() -> None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, n_bytes))

        process = self.start(preexec_fn=no_file_may_grow)
        _, errors = process.communicate(timeout=120)
        assert process.returncode in (0, 1, 3) and b"Traceback" not in errors, errors.decode()

    @precondition(lambda self: not self.is_damaged and self.log.path.stat().st_size > self.n_acknowledged + 8)
    @rule(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
    def flip_a_bit_of_what_was_not_read_yet(self, where: float, bit: int) -> None:
        size = self.log.path.stat().st_size
        at = self.n_acknowledged + int(where * (size - self.n_acknowledged))
        with open(self.log.path, "r+b") as file:
            file.seek(at)
            (byte,) = file.read(1)
            file.seek(at)
            file.write(bytes([byte ^ 1 << bit]))
        self.is_damaged = True

    # ---- what has to be true

    @property
    def n_acknowledged(self) -> int:
        """Bytes of the log that are known to be on the server; at least those that say whose run it is."""
        shared = sidecars(Log(self.log.path, "")).checkpoint
        entries = checkpoints_of(shared).values()
        return max([200, *(entry["identity"]["offset"] for entry in entries)])

    def sync(self, **options: Any) -> Report:
        return wandb_sync.sync(
            self.log.directory,
            base_url=self.proxy.base_url,
            api_key=self.server.api_key,
            entity=self.entity,
            retry_for=0.0,
            parallel=1,
            **options,
        )

    def start(self, **options: Any) -> "subprocess.Popen[bytes]":
        environ = {
            **os.environ,
            "WANDB_API_KEY": self.server.api_key,
            "WANDB_SYNC_BASE_URL": self.proxy.base_url,
            "WANDB_SYNC_ENTITY": self.entity,
            "WANDB_SYNC_RETRY_FOR": "0",
        }
        command = [sys.executable, "-c", SYNC, str(self.log.directory)]
        return subprocess.Popen(
            command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **options
        )

    def check(self, report: Report) -> None:
        (outcome,) = report.outcomes
        assert "internal error" not in outcome.reason, outcome
        receipt = self.log.path.with_name(self.log.path.name + ".receipt")
        if outcome.status is Status.SYNCED:
            assert receipt.exists() and not self.is_written
        if receipt.exists():
            self.check_the_receipt(receipt)
        assert receipt.exists() or not receipt.with_suffix(".synced").exists()

    def check_the_receipt(self, path: Path) -> None:
        """What a receipt says is true of the log and of the server."""
        (receipt,) = receipts.read_receipts(path).values()
        held = self.held(self.entity)
        data = self.log.path.read_bytes()
        assert (receipt["log"]["file_n_bytes"], receipt["log"]["crc32"]) == (len(data), zlib.crc32(data))
        streams = {"wandb-history.jsonl": "history", "wandb-events.jsonl": "events", "output.log": "console"}
        assert {streams[n]: count for n, count in receipt["n_lines"].items()} == held["counts"]
        assert set(receipt["files"]) == set(held["files"])
        assert {path: stamp[0] for path, stamp in receipt["files"].items()} == {
            path: file["size"] for path, file in held["files"].items()
        }
        assert held["state"] in ("finished", "failed") and receipt["exit_code"] == held["exitcode"]

    def held(self, entity: str) -> Dict[str, Any]:
        return self.server.run(entity, "p", RUN_ID)

    def check_the_end(self) -> None:
        for _ in range(60):  # a lease of a process that was just killed may take a moment
            report = self.sync(finish=True)
            if report.outcomes[0].status in (*ended, Status.EMPTY):
                break
            time.sleep(0.05)
        self.check(report)
        assert report.outcomes[0].status in (*ended, Status.EMPTY), report
        clean = self.place / "clean" / self.log.directory.name
        shutil.copytree(self.log.directory, clean, ignore=shutil.ignore_patterns("*.wandb.*"))
        before, batching.BATCH_BYTES = batching.BATCH_BYTES, 10 << 20
        try:
            once = wandb_sync.sync(
                clean,
                base_url=self.server.base_url,
                api_key=self.server.api_key,
                entity=self.entity + "-clean",
                finish=True,
            )
        finally:
            batching.BATCH_BYTES = before
        if once.outcomes[0].status is Status.EMPTY:
            return
        found, wanted = self.held(self.entity), self.held(self.entity + "-clean")
        for run in (found, wanted):
            for name in PER_SERVER:
                run.pop(name)
            run["console"] = [plain(line) for line in run["console"]]
            if run["displayName"]:  # the server makes names up
                run.pop("displayName")
        for name in {**found, **wanted}:
            assert json.dumps(found.get(name)) == json.dumps(wanted.get(name)), name
        is_proven = self.log.path.with_name(self.log.path.name + ".receipt").exists()
        assert is_proven == (once.outcomes[0].status is Status.SYNCED)


def plain(line: str) -> str:
    """Return a console line in the old form.

    A server whose answer to the question for its features was lost for good is one that has none: its lines
    are the same, in the form that every server takes.
    """
    if not line.startswith("{"):
        return line
    structured = json.loads(line)
    level = "ERROR " if structured.get("level") == "error" else ""
    return f"{level}{structured['ts']} {structured['content']}"


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "BATCH_BYTES", 1500)
    monkeypatch.setattr(run_sync, "SAVE_FILES_EVERY_S", 0.0)


def play_by_dice(seed: int, n_moves: int) -> None:
    """Play one game with moves that are worth their time: hypothesis begins with the simplest ones."""
    dice = random.Random(seed)
    game = SyncerMachine()
    game.begin(seed)

    def some_faults() -> List[Optional[str]]:
        return [dice.choice([*FAULTS, *AFTER, None, None]) for _ in range(dice.randrange(2, 9))]

    always, may_end = (lambda: True), (lambda: game.is_written and game.n_records > 120)
    may_flip = (
        lambda: not game.is_damaged and game.log.path.stat().st_size > game.n_acknowledged + 8
    )  # noqa: E731
    moves: List[Tuple[int, Callable[[], bool], Callable[[], None]]] = [
        (5, lambda: game.is_written, lambda: game.append(dice.randrange(20, 60))),
        (5, always, lambda: game.sync_through_a_bad_network(some_faults())),
        (4, always, lambda: game.kill_the_syncer(dice.randrange(10), dice.choice(AFTER))),
        (1, always, game.run_two_syncers),
        (1, always, lambda: game.kill_the_server_under_the_syncer(dice.randrange(1, 6))),
        (1, always, lambda: game.fill_the_disk(dice.randrange(3000))),
        (1, may_end, lambda: game.finish_the_run(dice.randrange(2))),
        (1, may_end, lambda: game.kill_the_writer(dice.randrange(200))),
        (1, may_flip, lambda: game.flip_a_bit_of_what_was_not_read_yet(dice.random(), dice.randrange(8))),
    ]
    try:
        for _ in range(n_moves):
            possible = [(weight, do) for weight, may_be, do in moves if may_be()]
            dice.choices([do for _, do in possible], [weight for weight, _ in possible])[0]()
    finally:
        game.teardown()


@pytest.mark.long
@pytest.mark.parametrize("seed", range(4))
def test_whatever_happens_the_server_ends_as_after_one_clean_upload(
    live_mock_server: ServerProcess, small_batches: None, seed: int
) -> None:
    SyncerMachine.server = live_mock_server
    play_by_dice(seed, 9)


@pytest.mark.soak
def test_in_many_games_by_dice_the_server_ends_as_after_one_clean_upload(
    live_mock_server: ServerProcess, small_batches: None
) -> None:
    SyncerMachine.server = live_mock_server
    for seed in range(100, 400):
        play_by_dice(seed, 30)


@pytest.mark.soak
def test_hypothesis_finds_no_game_that_ends_otherwise(
    live_mock_server: ServerProcess, small_batches: None
) -> None:
    SyncerMachine.server = live_mock_server
    run_state_machine_as_test(
        SyncerMachine,
        settings=settings(
            max_examples=200,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
