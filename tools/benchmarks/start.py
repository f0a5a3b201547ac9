"""A run beside its rows: import, init, finish, processes, threads, sockets; and what a kill loses."""

from __future__ import annotations

import json
import random
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any, Dict, List, Optional, Tuple

from benchmarks.bench_place import BenchPlace
from benchmarks.process_tree import Usage, usage
from benchmarks.tables import Table, Target

OURS, REAL, PROTOBUF = "wandb-ng", "wandb 0.31", "protobuf"
MAX_IMPORT_RATIO = 1.5
MAX_INIT_MS = 10.0
MAX_FINISH_MS = 5.0
RUN_OPEN_S = 0.5  # from the first row to the look at what runs beside, and to finish()
START_KILL_TIMEOUT_S = 60.0

IMPORTS = {
    OURS: "import wandb",
    REAL: "import wandb",
    PROTOBUF: "import google.protobuf.message, google.protobuf.descriptor, google.protobuf.timestamp_pb2",
}
LOADED_BEFORE = ("", "numpy")  # in a script that does nothing else, and in one that computes


def tables(place: BenchPlace, quick: bool) -> List[Table]:
    """Measure, and return the tables."""
    return [
        _imports(place, 3 if quick else 12),
        _runs(place, 3 if quick else 10),
        _kills(place, 1 if quick else 5),
    ]


def _interpreters(place: BenchPlace) -> Dict[str, str]:
    found = {OURS: sys.executable}
    if place.real_python is not None:
        found[REAL] = place.real_python
    return found


# ---- import


def _imports(place: BenchPlace, n_rounds: int) -> Table:
    interpreters = {**_interpreters(place), PROTOBUF: sys.executable}
    rows: List[List[Any]] = []
    for before in LOADED_BEFORE:
        times: Dict[str, List[float]] = {name: [] for name in interpreters}
        for number in range(n_rounds + 1):  # the first round fills the caches
            for name, python in interpreters.items():
                if name == REAL and number > n_rounds // 3:
                    continue  # it takes a second each
                took_ms = _import_ms(place, python, before, IMPORTS[name])
                if number and took_ms is not None:
                    times[name].append(took_ms)
        for name, taken in times.items():
            if not taken:
                continue
            ratio = median(taken) / median(times[PROTOBUF])
            target = Target.below(MAX_IMPORT_RATIO, ratio) if name == OURS else None
            rows.append([before or "nothing", name, median(taken), min(taken), ratio, target])
    columns = ["loaded before", "import", "median ms", "least ms", "protobufs", "target"]
    notes = ["protobuf: message, descriptor and one generated module.  Fresh interpreters, in turn."]
    return Table("import", columns, rows, {"median ms": 1, "least ms": 1}, notes)


def _import_ms(place: BenchPlace, python: str, before: str, statement: str) -> Optional[float]:
    code = f"import time; b = time.perf_counter(); {statement}; print((time.perf_counter() - b) * 1000)"
    if before:
        code = f"import {before}; {code}"
    try:
        return float(place.run([python, "-c", code]))
    except subprocess.CalledProcessError:  # this environment does not have `before`
        return None


# ---- init and finish


def _runs(place: BenchPlace, n_rounds: int) -> Table:
    rows: List[List[Any]] = []
    for before in LOADED_BEFORE:
        seen: Dict[str, List[Tuple[Dict[str, float], Usage]]] = {}
        for number in range(n_rounds + 1):  # the first round fills the caches
            for name, python in _interpreters(place).items():
                if name == REAL and number > n_rounds // 3:
                    continue
                one = _one_run(place, python, before)
                if number and one is not None:
                    seen.setdefault(name, []).append(one)
        for name, runs in seen.items():
            init_ms = median(times["init"] for times, _ in runs)
            finish_ms = median(times["finish"] for times, _ in runs)
            total_ms = median(times["import"] + times["init"] for times, _ in runs)
            beside = [max(values) for values in zip(*(look for _, look in runs))]
            targets: List[Any] = [None] * 3
            if name == OURS:
                targets = [
                    Target.below(MAX_INIT_MS, init_ms, " ms"),
                    Target.below(MAX_FINISH_MS, finish_ms, " ms"),
                    Target.at_most(0, beside[0]),
                ]
            rows.append([before or "nothing", name, init_ms, total_ms, finish_ms, *beside, *targets])
    columns = ["loaded before", "recorder", "init ms", "import+init ms", "finish ms", "children", "threads"]
    columns += ["sockets", "peak MB", "init", "finish", "no child"]
    notes = [
        "init: the first of a fresh process that has imported wandb, mode offline, all else at its default.",
        f"finish, and what runs beside: {RUN_OPEN_S} s later; of the process tree, the most of all rounds.",
    ]
    digits = {"init ms": 1, "import+init ms": 1, "finish ms": 1, "peak MB": 0}
    return Table("a run with one row", columns, rows, digits, notes)


def _one_run(place: BenchPlace, python: str, before: str) -> Optional[Tuple[Dict[str, float], Usage]]:
    process = place.start("open_and_finish.py", *([before] if before else []), python=python)
    assert process.stdin is not None and process.stdout is not None
    opened = process.stdout.readline()
    if not opened:  # this environment does not have `before`
        process.communicate()
        return None
    time.sleep(RUN_OPEN_S)
    beside = usage(process.pid)
    finished, _ = process.communicate("finish\n", timeout=60)
    return {**json.loads(opened), **json.loads(finished)}, beside


# ---- kill


def _kills(place: BenchPlace, n_kills: int) -> Table:
    rows: List[List[Any]] = []
    for rows_per_s in (100, 0):
        for name, python in _interpreters(place).items():
            logged = lost = 0
            for _ in range(n_kills):
                calls, readable = _rows_after_kill(place, python, rows_per_s)
                logged += calls
                lost += max(0, calls - readable)
            target = Target.at_most(0, lost) if name == OURS else None
            rows.append([rows_per_s or "all it can", name, n_kills, logged, lost, target])
    columns = ["rows/s", "recorder", "kills", "rows logged", "rows lost", "target"]
    notes = ["SIGKILL of the process at a random moment of its second second; lost: log() had returned."]
    return Table("rows in the log after a SIGKILL", columns, rows, {}, notes)


def _rows_after_kill(place: BenchPlace, python: str, rows_per_s: int) -> Tuple[int, int]:
    """Return how many calls of `log()` had returned, and how many rows can be read."""
    counter = place.directory() / "counter"
    counter.write_bytes(bytes(8))
    process = place.start("until_killed.py", counter, rows_per_s, python=python)
    deadline = time.monotonic() + START_KILL_TIMEOUT_S
    while not _count(counter) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.3 + 0.7 * random.random())
    process.send_signal(signal.SIGKILL)
    process.communicate()
    time.sleep(0.5)  # whoever is left behind may still write
    log = next(place.latest.glob("wandb/*run-*/*.wandb"))
    return _count(counter), _n_rows(log)


def _count(counter: Path) -> int:
    count: int = struct.unpack("<Q", counter.read_bytes())[0]
    return count


def _n_rows(log: Path) -> int:
    from wandb.proto.record_pb2 import Record
    from wandb.transaction_log.reader import read_records

    return sum(Record.FromString(found.payload).HasField("history") for found in read_records(log))
