"""What a run meets in a cluster: 64 writers on one disk, a reader that tails the log, and a run that goes on
from a long log."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from statistics import median
from typing import Any, Dict, List

from benchmarks.bench_place import CHILDREN, BenchPlace
from benchmarks.log_calls import FLOOR, REAL, Recorder
from benchmarks.tables import Table, Target, percentile

CLASSES = {  # the table's name -> the name in children/record.py
    FLOOR: "floor",
    "process": "wandb-process",
    "interval (default)": "wandb",
    "record": "wandb-record",
    REAL: "wandb",
}
N_SCALARS = 10
N_CALLS = {1: 100, 8: 40, 64: 20}  # writers -> calls of each in a block
MAX_RESUME_MS = 100.0


def tables(place: BenchPlace, quick: bool, long: bool) -> List[Table]:
    """Measure, and return the tables."""
    return [
        _writers(place, (1, 8) if quick else (1, 64), 3 if quick else 10),
        _tailing(place, 6 if quick else 24),
        _resume(place, 20_000 if quick else 1_000_000 if long else 100_000, 3 if quick else 7),
    ]


# ---- many writers


def _writers(place: BenchPlace, crowds: Any, n_rounds: int) -> Table:
    rows: List[List[Any]] = []
    for n_writers in crowds:
        floor_us = 0.0
        for name, kind in CLASSES.items():
            if name == REAL and (place.real_python is None or n_writers > 8):
                continue  # 64 of it want more memory than most machines have
            recorders = [Recorder(place, name, kind, N_SCALARS) for _ in range(n_writers)]
            if not all([recorder.is_open() for recorder in recorders]):
                raise RuntimeError(f"{name} did not start")
            _all_at_once(recorders, N_CALLS[n_writers])
            for recorder in recorders:
                recorder.blocks.clear()
            began = time.perf_counter()
            for _ in range(n_rounds):
                _all_at_once(recorders, N_CALLS[n_writers])
            took_s = time.perf_counter() - began
            calls = [ns / 1000 for recorder in recorders for block in recorder.blocks for ns in block]
            for recorder in recorders:
                recorder.close()
            p50_us = median(calls)
            floor_us = p50_us if name == FLOOR else floor_us
            figures = [p50_us, percentile(calls, 99), p50_us / floor_us, len(calls) / took_s]
            rows.append([n_writers, name, *figures])
    columns = ["writers", "durability", "p50 us", "p99 us", "p50 floors", "rows/s, all"]
    notes = [
        "Each writer is a process with a run of its own, on one disk; all log at once, as fast as they can."
    ]
    digits = {"p50 us": 1, "p99 us": 1, "rows/s, all": 0}
    return Table("log(): a row of 10 scalars, by number of writers", columns, rows, digits, notes)


def _all_at_once(recorders: List[Recorder], n_calls: int) -> None:
    for recorder in recorders:
        recorder.begin_block(n_calls)
    for recorder in recorders:
        recorder.end_block(n_calls)


# ---- a reader


def _tailing(place: BenchPlace, n_rounds: int) -> Table:
    recorders: Dict[str, Recorder] = {}
    readers: List[subprocess.Popen[str]] = []
    for name, kind in (("floor", "floor"), ("nobody reads", "wandb"), ("a reader tails", "wandb")):
        recorders[name] = recorder = Recorder(place, name, kind, N_SCALARS)
        directory = place.latest
        recorder.is_open()
        if name == "a reader tails":
            reader = place.start("tail.py", directory)
            assert reader.stdout is not None
            reader.stdout.readline()
            readers.append(reader)
    for number in range(n_rounds + 1):
        for recorder in recorders.values():
            recorder.block(N_CALLS[1])
            if not number:
                recorder.blocks.clear()
    rows: List[List[Any]] = []
    for name, recorder in recorders.items():
        calls = [ns / 1000 for block in recorder.blocks for ns in block]
        pairs = zip(recorder.blocks, recorders["floor"].blocks)
        floors = median(median(ours) / median(its) for ours, its in pairs)
        rows.append([name, median(calls), percentile(calls, 99), floors])
    for reader in readers:
        reader.kill()
        reader.communicate()
    for recorder in recorders.values():
        recorder.close()
    columns = ["log", "p50 us", "p99 us", "p50 floors"]
    notes = ["The reader looks a hundred times a second."]
    return Table("log(): with a reader", columns, rows, {"p50 us": 1, "p99 us": 1}, notes)


# ---- going on


def _resume(place: BenchPlace, n_rows: int, n_rounds: int) -> Table:
    where = place.directory()
    place.run([sys.executable, CHILDREN / "write_runs.py", 1, n_rows, "cut"], cwd=where)
    (recorded,) = (where / "wandb").glob("offline-run-*")
    seen: Dict[str, List[List[float]]] = {}
    for number in range(n_rounds + 1):
        for kind in ("new", "resume", "scan"):
            took = place.run([sys.executable, CHILDREN / "begin.py", kind], cwd=where)
            if number:
                seen.setdefault(kind, []).append([float(part) for part in took.split()])
            for other in (where / "wandb").glob("offline-run-*"):
                if other != recorded:
                    shutil.rmtree(other)  # each goes on from the long one
    texts = {
        "new": "init() of a new run",
        "resume": "init() that goes on from a killed one",
        "scan": "floor of a scan: its log is read once",
    }
    rows: List[List[Any]] = []
    for kind, text in texts.items():
        took_ms, cpu_ms = (median(figures) for figures in zip(*seen[kind]))
        target = Target.below(MAX_RESUME_MS, took_ms, " ms") if kind == "resume" else None
        rows.append([n_rows, text, took_ms, cpu_ms, target])
    columns = ["rows", "what", "ms", "CPU ms", "target"]
    notes = ["The first run of a fresh process; medians.  wandb itself goes on from a server only."]
    return Table("a run that goes on", columns, rows, {"ms": 1, "CPU ms": 1}, notes)
