"""`wandb sync`: rows per CPU second, requests and memory, beside the real one on the same logs.

Against three servers: the local one, as a person would use it, one that answers at once, so that nothing but
the syncer is measured, and one that is far away.  The server's own CPU is not counted.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from statistics import median
from typing import Any, Dict, List, NamedTuple, Optional

from benchmarks.bench_place import CHILDREN, BenchPlace
from benchmarks.process_tree import CpuMeter, PeakMemory
from benchmarks.tables import Table, Target

OURS, REAL = "wandb-ng", "wandb 0.31"
INSTANT, FAR, LOCAL = "instant", "100 ms away", "local"
FAR_MS = 100
MAX_CPU_RATIO = 2.0
MAX_WALL_RATIO = 1 / 3  # of many small runs on a far server
POLL_S = 0.02
TIMEOUT_S = 300.0


class Logs(NamedTuple):
    """What is synced."""

    name: str
    n_runs: int
    n_rows: int  # of each run


LONG = Logs("a million rows", 1, 1_000_000)


def tables(place: BenchPlace, quick: bool, long: bool) -> List[Table]:
    """Measure, and return the table."""
    many = [Logs("100,000 rows", 1, 100_000), Logs("200 runs of 100 rows", 200, 100)]
    if quick:
        many = [Logs("20,000 rows", 1, 20_000), Logs("40 runs of 100 rows", 40, 100)]
    if long:
        many.append(LONG)
    for command in _syncers(place).values():
        place.run([*command, "--help"])  # so that no measured one has to compile its modules
    rows: List[List[Any]] = []
    for logs in many:
        written = place.directory()
        place.run([sys.executable, CHILDREN / "write_runs.py", logs.n_runs, logs.n_rows], cwd=written)
        for server in (INSTANT, LOCAL, FAR) if logs.n_runs > 1 else (INSTANT, LOCAL):
            figures = _measure(place, logs, written, server, 1 if quick or logs is LONG else 2)
            real = figures.get(REAL)
            for name, its in figures.items():
                ratio = its.cpu_s / real.cpu_s if real else None
                targets: List[Any] = [None] * 3
                if name == OURS and real and ratio is not None:
                    targets = [
                        Target.at_most(MAX_CPU_RATIO, ratio),
                        Target.below(real.n_requests, its.n_requests),
                        Target.at_most(MAX_WALL_RATIO, its.wall_s / real.wall_s) if server == FAR else None,
                    ]
                n_rows = logs.n_runs * logs.n_rows
                rows.append(
                    [
                        logs.name,
                        server,
                        name,
                        round(n_rows / its.cpu_s),
                        its.cpu_s,
                        ratio,
                        its.wall_s,
                        its.n_requests,
                        its.peak_mb,
                        its.n_rows_there,
                        *targets,
                    ]
                )
    columns = ["log", "server", "syncer", "rows/CPU s", "CPU s", "wandb's CPU", "wall s", "requests"]
    columns += ["peak MB", "rows there", "CPU", "requests fewer", "wall"]
    notes = [
        "CPU and memory of the syncer's process tree; medians.  Rows of 10 scalars, written by wandb-ng.",
        "rows there: what the local server has afterwards; the others keep nothing.",
    ]
    digits = {"CPU s": 2, "wall s": 1, "peak MB": 0}
    return [Table("wandb sync", columns, rows, digits, notes)]


def _syncers(place: BenchPlace) -> Dict[str, List[str]]:
    commands = {OURS: [sys.executable, "-m", "wandb_sync"]}
    if place.real_python is not None:
        commands[REAL] = [place.real_python, "-m", "wandb", "sync"]
    return commands


class _Figures(NamedTuple):
    cpu_s: float
    wall_s: float
    n_requests: int
    peak_mb: float
    n_rows_there: Optional[int]


def _measure(
    place: BenchPlace, logs: Logs, written: Path, server_kind: str, n_rounds: int
) -> Dict[str, _Figures]:
    seen: Dict[str, List[_Figures]] = {}
    for _ in range(n_rounds):
        for name, command in _syncers(place).items():
            if logs is LONG and name == REAL:
                continue  # it takes minutes
            seen.setdefault(name, []).append(_sync(place, written, server_kind, command))
    return {name: _medians(figures) for name, figures in seen.items()}


def _medians(figures: List[_Figures]) -> _Figures:
    return _Figures(
        median(its.cpu_s for its in figures),
        median(its.wall_s for its in figures),
        figures[0].n_requests,
        median(its.peak_mb for its in figures),
        figures[0].n_rows_there,
    )


def _sync(place: BenchPlace, written: Path, server_kind: str, command: List[str]) -> _Figures:
    """Sync a fresh copy of the logs to a fresh server."""
    work = place.directory()
    shutil.copytree(written / "wandb", work / "wandb", symlinks=True)
    paths = sorted(str(path) for path in (work / "wandb").glob("offline-run-*"))
    server = Server(place, server_kind)
    try:
        began = time.monotonic()
        process = subprocess.Popen(
            [*command, *paths],
            cwd=work,
            env=place.environ(
                WANDB_BASE_URL=server.base_url, WANDB_API_KEY=server.api_key, WANDB_MODE="online"
            ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        cpu, memory = CpuMeter(process.pid), PeakMemory(process.pid)
        used_s = 0.0
        while True:
            used_s = max(used_s, cpu.read())
            memory.look()
            pid, _, rusage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() - began > TIMEOUT_S:
                process.kill()
            time.sleep(POLL_S)
        process.returncode = 0  # it is gone; nobody else is to wait for it
        wall_s = time.monotonic() - began
        # What a child of it used is in its usage if it waited for it, and else was seen while it lived.
        used_s = max(used_s, rusage.ru_utime + rusage.ru_stime)
        return _Figures(used_s, wall_s, server.n_requests(), memory.peak_mb(), server.n_rows())
    finally:
        server.stop()
        shutil.rmtree(work)


class Server:
    """One of the two servers, as a child process."""

    def __init__(self, place: BenchPlace, kind: str) -> None:
        self._requests = place.directory() / "requests"
        command = [sys.executable, str(CHILDREN / "instant_server.py"), str(FAR_MS if kind == FAR else 0)]
        if kind == LOCAL:
            command = [sys.executable, "-m", "wandb.server", "--dir", str(place.directory()), "--port", "0"]
            command += ["--json", "--request-log", str(self._requests)]
        self._kind = kind
        self._process = subprocess.Popen(
            command,
            env=place.environ(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        ready = json.loads(self._process.stdout.readline())
        self.base_url: str = ready["base_url"]
        self.api_key: str = ready["api_key"]

    def n_requests(self) -> int:
        """Return how many requests came."""
        if self._kind == LOCAL:
            with self._requests.open() as file:
                return sum(1 for _ in file)
        count: int = self._get("/counts")["requests"]
        return count

    def n_rows(self) -> Optional[int]:
        """Return how many rows are there."""
        if self._kind != LOCAL:
            return None
        count: int = sum(run["counts"]["history"] for run in self._get("/api/runs"))
        return count

    def stop(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.communicate(timeout=30)

    def _get(self, path: str) -> Any:
        token = base64.b64encode(f"api:{self.api_key}".encode()).decode()
        request = urllib.request.Request(self.base_url + path, headers={"Authorization": f"Basic {token}"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)
