"""How soon a row is at the server while its program runs, beside the real client; what an idle watch costs.

A row holds the time at which it was logged.  The server is asked in short turns how many rows it has; a row
has arrived when the answer counts it.  So each figure is too high by up to one turn.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Dict, List, NamedTuple, Optional

from benchmarks.bench_place import CHILDREN, BenchPlace
from benchmarks.process_tree import CpuMeter
from benchmarks.sync import LOCAL, Server
from benchmarks.tables import Table, Target

from wandb.transaction_log.reader import read_records
from wandb.transaction_log.writer import Writer

OURS, WATCHED, REAL = "wandb-ng, online", "wandb-ng, offline, --watch", "wandb 0.31, online"
TURN_S = 0.02
MAX_LATENCY_S = 2.0
MAX_IDLE_PERCENT = 5.0


def tables(place: BenchPlace, quick: bool) -> List[Table]:
    """Measure, and return the tables."""
    return [
        _latency(place, 10.0 if quick else 45.0),
        _idle(place, 1000 if quick else 10_000, 20.0 if quick else 60.0),
    ]


# ---- rows on their way


class _Arrival(NamedTuple):
    """When rows were logged, and how much later they were there, in seconds."""

    first_s: float  # since the program was started
    lags_s: List[float]


def _latency(place: BenchPlace, seconds: float) -> Table:
    contenders = [OURS, WATCHED, *([REAL] if place.real_python else [])]
    rows = []
    for name in contenders:
        arrival = _arrival(place, name, seconds)
        worst_s = max(arrival.lags_s)
        target = Target.at_most(MAX_LATENCY_S, worst_s, " s") if name != REAL else None
        rows.append([name, len(arrival.lags_s), arrival.first_s, median(arrival.lags_s), worst_s, target])
    columns = ["recorded by", "rows", "first row s", "median s", "worst s", "worst"]
    notes = ["Ten rows a second.  first row: from the start of the program until it is there."]
    return Table("live: from log() until the server has the row", columns, rows, {}, notes)


def _arrival(place: BenchPlace, name: str, seconds: float) -> _Arrival:
    server = Server(place, LOCAL)
    work = place.directory()
    environ = place.environ(
        WANDB_BASE_URL=server.base_url,
        WANDB_API_KEY=server.api_key,
        WANDB_MODE="offline" if name == WATCHED else "online",
    )
    watch: Optional[subprocess.Popen[bytes]] = None
    try:
        if name == WATCHED:
            watch = _watch(work, environ, "--no-inotify")
            time.sleep(2.0)
        python = place.real_python if name == REAL else sys.executable
        began_s = time.time()
        process = subprocess.Popen(
            [str(python), str(CHILDREN / "rows_with_times.py"), str(seconds)],
            cwd=work,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        seen: Dict[int, float] = {}  # number of rows -> when there were so many at first
        while process.poll() is None:
            seen.setdefault(server.n_rows() or 0, time.time())
            time.sleep(TURN_S)
        assert process.stdout is not None
        logged_s = [float(line) for line in process.stdout]
        until_s = time.time() + 20.0
        while (server.n_rows() or 0) < len(logged_s) and time.time() < until_s:
            time.sleep(TURN_S)
        seen.setdefault(server.n_rows() or 0, time.time())
        lags_s = []
        for number, at_s in enumerate(logged_s, 1):
            there_s = min((when_s for count, when_s in seen.items() if count >= number), default=float("inf"))
            lags_s.append(there_s - at_s)
        return _Arrival(min(when_s for count, when_s in seen.items() if count) - began_s, lags_s)
    finally:
        if watch is not None:
            watch.terminate()
            watch.wait()
        server.stop()


def _watch(work: Path, environ: Dict[str, str], *options: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "wandb_sync", "--watch", "--json", *options, str(work / "wandb")],
        cwd=work,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


# ---- a tree in which nothing happens


def _idle(place: BenchPlace, n_runs: int, seconds: float) -> Table:
    work = place.directory()
    place.run([sys.executable, CHILDREN / "write_runs.py", 1, 20], cwd=work)
    (log,) = work.glob("wandb/offline-run-*/*.wandb")
    payloads = [record.payload for record in read_records(log)]
    for number in range(n_runs):
        run_id = f"b{number:05}"  # as long as the one it is a copy of
        directory = work / "wandb" / f"offline-run-20260101_000000-{run_id}"
        (directory / "files").mkdir(parents=True)
        copy = Writer.create(directory / f"run-{run_id}.wandb")
        for payload in payloads:
            copy.write(payload.replace(b"bench0", run_id.encode()))
        copy.close()
        (directory / f"run-{run_id}.wandb.synced").touch()
    shutil.rmtree(log.parent)
    server = Server(place, LOCAL)
    environ = place.environ(WANDB_BASE_URL=server.base_url, WANDB_API_KEY=server.api_key)
    rows = []
    try:
        for name, options in (("events", []), ("polling", ["--no-inotify"])):
            began_s = time.monotonic()
            watch = _watch(work, environ, *options)
            meter = CpuMeter(watch.pid)
            started_cpu_s = meter.settle(120.0)
            started_s = time.monotonic() - began_s
            time.sleep(seconds)
            percent = 100 * (meter.read() - started_cpu_s) / seconds
            os.kill(watch.pid, signal.SIGTERM)
            watch.wait()
            target = Target.at_most(MAX_IDLE_PERCENT, percent, " %")
            rows.append([name, n_runs, started_s, started_cpu_s, percent, target])
    finally:
        server.stop()
        shutil.rmtree(work)
    columns = ["watched by", "idle runs", "start s", "start CPU s", "% of a core", "idle"]
    notes = [f"Over {seconds:.0f} s, once the first look at everything was over.  Poll: 1 s."]
    return Table("live: an idle watch", columns, rows, {"start s": 1, "start CPU s": 1}, notes)
