"""The syncer's process is killed, the network cut, the disk full: the server ends as after one clean upload.

Real processes, real files, real HTTP.  `tox -e soak` does a thousand kills.
"""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional

import pytest
from log_builder import LogBuilder, everything
from simulated_server import API_KEY, Cut, SimulatedServer

from wandb_sync.batching import HISTORY
from wandb_sync.files import PARALLEL_UPLOADS

SYNC = """
import sys
from wandb_sync import batching, run_sync
batching.BATCH_BYTES = 4000  # so that a small log is many posts
run_sync.SAVE_FILES_EVERY_S = 0.0
from wandb_sync.cli import main
sys.argv[0] = "wandb-sync"
main()
"""


@pytest.fixture
def server() -> Iterator[SimulatedServer]:
    simulated = SimulatedServer()
    with simulated.listen():
        yield simulated


def start(base_url: str, *arguments: object, api_key: str = API_KEY) -> "subprocess.Popen[bytes]":
    environ = {**os.environ, "WANDB_BASE_URL": base_url, "WANDB_API_KEY": api_key}
    command = [sys.executable, "-c", SYNC, *map(str, arguments)]
    return subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def finish(process: "subprocess.Popen[bytes]") -> int:
    _, errors = process.communicate(timeout=120)
    assert b"Traceback" not in errors, errors.decode()
    return process.returncode


def forget(log: LogBuilder) -> None:
    for path in log.directory.glob("*.wandb.*"):
        path.unlink()


def clean_state(log: LogBuilder) -> Dict[str, Any]:
    clean = SimulatedServer()
    with clean.listen() as base_url:
        assert finish(start(base_url, log.directory)) == 0
    forget(log)
    return clean.run(log.run_id).state()


def kill_at_random_points(server: SimulatedServer, log: LogBuilder, n_kills: int, rng: random.Random) -> None:
    """Sync again and again, each process killed at a random request, until enough have died; then finish."""
    victim: List[int] = []
    countdown = [0]

    def fail(operation: str, n: int) -> Any:
        countdown[0] -= 1
        if countdown[0] == 0 and victim:
            acts = rng.random() < 0.5
            os.kill(victim[0], signal.SIGKILL)
            return None if acts else Cut.BEFORE
        return None

    server.fail = fail
    n_dead = 0
    while n_dead < n_kills:
        countdown[0] = rng.randrange(1, 12)
        process = start(server.base_url, log.directory)
        victim[:] = [process.pid]
        code = finish(process)
        if code == -signal.SIGKILL:
            n_dead += 1
        else:
            assert code == 0
            forget(log)  # it is all there; from the begin again
    server.fail = lambda operation, n: None
    assert finish(start(server.base_url, log.directory)) == 0


@pytest.mark.long
@pytest.mark.parametrize("seed", range(10))
def test_killed_at_random_points_the_server_ends_as_after_one_clean_upload(
    server: SimulatedServer, tmp_path: Path, seed: int
) -> None:
    log = everything(tmp_path)
    wanted = clean_state(log)
    kill_at_random_points(server, log, 10, random.Random(seed))
    assert server.run("all").state() == wanted
    assert not list(log.directory.glob("*.lease*"))


@pytest.mark.soak
def test_killed_a_thousand_times_the_server_ends_as_after_one_clean_upload(
    server: SimulatedServer, tmp_path: Path
) -> None:
    log = everything(tmp_path)
    wanted = clean_state(log)
    for seed in range(50):
        kill_at_random_points(server, log, 20, random.Random(seed))
        assert server.run("all").state() == wanted, seed
        server.runs.clear()
        forget(log)


def test_killed_at_random_moments_nothing_is_missing_or_double(
    server: SimulatedServer, tmp_path: Path
) -> None:
    log = everything(tmp_path, n_rows=400)
    wanted = clean_state(log)
    rng = random.Random(3)
    for _ in range(5):
        process = start(server.base_url, log.directory)
        time.sleep(rng.uniform(0.2, 0.9))
        process.kill()
        process.communicate()
    assert finish(start(server.base_url, log.directory)) == 0
    assert server.run("all").state() == wanted


@pytest.mark.parametrize("seed", range(9))
def test_the_connection_is_cut_again_and_again_and_the_sync_goes_on(
    server: SimulatedServer, tmp_path: Path, seed: int
) -> None:
    log = everything(tmp_path)
    wanted = clean_state(log)
    rng = random.Random(seed)
    n_cuts = [12]

    def fail(operation: str, n: int) -> Optional[Cut]:
        if n_cuts[0] and rng.random() < 0.75:
            n_cuts[0] -= 1
            return rng.choice(list(Cut))
        return None

    server.fail = fail
    environ_wait = "import wandb_sync.transport.retry as r; r.FIRST_WAIT_S = 0.01\n"
    process = subprocess.Popen(
        [sys.executable, "-c", environ_wait + SYNC, str(log.directory)],
        env={**os.environ, "WANDB_BASE_URL": server.base_url, "WANDB_API_KEY": API_KEY},
        stderr=subprocess.PIPE,
    )
    assert finish(process) == 0 and n_cuts[0] == 0
    assert server.run("all").state() == wanted


def test_while_the_run_is_recorded_and_the_syncer_is_killed_nothing_is_lost(
    server: SimulatedServer, tmp_path: Path
) -> None:
    log = LogBuilder(tmp_path)
    done = threading.Event()

    def record() -> None:
        for _ in range(150):
            log.row(x=log.step).output(f"step {log.step}\n")
            time.sleep(0.01)
        log.exit(0)
        done.set()

    thread = threading.Thread(target=record)
    thread.start()
    rng = random.Random(5)
    while not done.is_set():
        process = start(server.base_url, log.directory)
        try:
            process.wait(rng.uniform(0.1, 1.0))
        except subprocess.TimeoutExpired:
            process.kill()
        process.communicate()
    thread.join()
    assert finish(start(server.base_url, log.directory)) == 0
    run = server.run("abc")
    assert [row["x"] for row in run.history] == list(range(150))
    assert len(run.console) == 150 and run.complete


@pytest.mark.parametrize("number, code", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("during, n_under_way", [("file_stream", 1), ("upload", PARALLEL_UPLOADS)])
def test_a_signal_ends_it_after_the_requests_under_way_and_the_next_sync_goes_on(
    server: SimulatedServer, tmp_path: Path, during: str, n_under_way: int, number: int, code: int
) -> None:
    log = LogBuilder(tmp_path)
    for i in range(40):
        log.file(f"f{i}", b"x")
    log.rows(400).exit(0)
    clean = SimulatedServer()
    with clean.listen() as base_url:
        assert finish(start(base_url, log.directory)) == 0
    forget(log)
    wanted = clean.run("abc").state()
    process = start(server.base_url, "--json", log.directory)
    n_before: List[int] = []

    def fail(operation: str, n: int) -> None:
        if operation == during and not n_before:
            n_before.append(n)
            process.send_signal(number)
            time.sleep(2)  # the answer waits until the process has seen the signal

    server.fail = fail
    output, errors = process.communicate(timeout=120)
    assert process.returncode == code and b"Traceback" not in errors, errors.decode()
    assert len(server.requests) - n_before[0] <= n_under_way < len(wanted["files"])
    summary = json.loads(output.splitlines()[-1])
    assert (summary["exit_code"], summary["runs"]) == (code, {"interrupted": 1}) and summary["interrupted"]
    server.fail = lambda operation, n: None
    assert finish(start(server.base_url, log.directory)) == 0
    assert server.run("abc").state() == wanted and not list(log.directory.glob("*.lease*"))
    if during == "file_stream":  # what was under way was acknowledged and kept: it is not sent again
        assert server.requests.count("file_stream") == clean.requests.count("file_stream") > 3


def test_two_syncers_at_once_upload_each_row_once(server: SimulatedServer, tmp_path: Path) -> None:
    log = everything(tmp_path, n_rows=300)
    processes = [start(server.base_url, log.directory) for _ in range(3)]
    codes = [finish(process) for process in processes]
    assert set(codes) <= {0, 9} and 0 in codes
    n_rows = sum(
        len(((body or {}).get("files") or {}).get(HISTORY, {}).get("content", ())) for body in server.bodies
    )
    assert n_rows == 300


def test_a_full_disk_is_told_and_costs_no_data(server: SimulatedServer, tmp_path: Path) -> None:
    log = everything(tmp_path)
    wanted = clean_state(log)

    def no_file_may_grow() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600))

    process = subprocess.Popen(
        [sys.executable, "-c", SYNC, str(log.directory)],
        env={**os.environ, "WANDB_BASE_URL": server.base_url, "WANDB_API_KEY": API_KEY},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=no_file_may_grow,
    )
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1 and b"cannot be written" in errors, errors
    assert not list(log.directory.glob("*.tmp"))
    assert finish(start(server.base_url, log.directory)) == 0
    assert server.run("all").state() == wanted


def test_killed_against_the_local_server_nothing_is_missing_or_double(
    live_mock_server: Any, tmp_path: Path
) -> None:
    log = everything(tmp_path, n_rows=200)
    server = live_mock_server
    rng = random.Random(6)
    for kind in ("drop_after", "drop_before", "hang", "hang"):
        server.fault(kind, path="file_stream", skip=rng.randrange(4), times=1)
        process = start(server.base_url, log.directory, "--retry-for", "0", api_key=server.api_key)
        try:
            process.wait(3)
        except subprocess.TimeoutExpired:
            process.kill()
        process.communicate()
        server.clear_faults()
    assert finish(start(server.base_url, log.directory, api_key=server.api_key)) == 0
    (run,) = server.runs()
    end = server.run(run["entity"], run["project"], run["name"])
    assert [json.loads(line)["acc"] for line in end["history"]] == list(range(200))
    assert end["state"] == "finished" and len(end["files"]) == 6
