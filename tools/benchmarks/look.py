"""Looking at a long log: what the last rows, some in the middle, and the facts cost, beside reading all."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any, List

from benchmarks.bench_place import BenchPlace
from benchmarks.tables import Table, Target

MAX_RATIO = 2.0  # of the time that the command takes for a log of ten rows
N_ROUNDS = 5


def tables(place: BenchPlace, quick: bool, long: bool) -> List[Table]:
    """Measure, and return the table."""
    n_mb = 5000 if long else 50 if quick else 2000
    small, large = place.directory(), place.directory()
    n_rows = _write(large, n_mb)
    _write(small, 0)
    size_mb = os.path.getsize(large / "run-big.wandb") / 1e6
    middle = str(n_rows // 2)
    looks = {
        "history --last 10": ["history", "run-big.wandb", "--last", "10", "--json"],
        "history of ten steps in the middle": ["history", "run-big.wandb", "--step-from", middle, "--json"],
        "tail": ["tail", "run-big.wandb"],
        "show --no-curves": ["show", "run-big.wandb", "--no-curves"],
        "ls": ["ls", "."],
    }
    looks["history of ten steps in the middle"] += ["--step-to", str(n_rows // 2 + 9)]
    rows: List[List[Any]] = []
    for name, arguments in looks.items():
        taken = {
            directory: median(_time(place, directory, arguments) for _ in range(N_ROUNDS))
            for directory in (small, large)
        }
        ratio = taken[large] / taken[small]
        rows.append([name, taken[small] * 1000, taken[large] * 1000, ratio, Target.at_most(MAX_RATIO, ratio)])
    whole_s = (
        _time(place, large, ["export", "run-big.wandb", "--to", "jsonl", "-o", os.devnull]) if quick else None
    )
    notes = [f"{size_mb:.0f} MB, {n_rows} rows of 10 scalars; medians of {N_ROUNDS} whole commands"]
    if whole_s is not None:
        notes.append(f"reading all rows, as JSON lines: {whole_s:.1f} s")
    os.unlink(large / "run-big.wandb")
    return [
        Table(
            "looking at a long log",
            ["command", "10 rows: ms", "long log: ms", "ratio", "held to"],
            rows,
            {"10 rows: ms": 0, "long log: ms": 0},
            notes,
        )
    ]


def _time(place: BenchPlace, directory: Path, arguments: List[str]) -> float:
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "wandb", *arguments],
        cwd=directory,
        env=place.environ(),
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return time.perf_counter() - began


def _write(directory: Path, n_mb: int) -> int:
    """Write a log as the recorder would, with its notes, but many rows at a time; returns how many rows."""
    from wandb.proto import record_pb2 as pb
    from wandb.transaction_log.writer import Writer

    writer = Writer.create(directory / "run-big.wandb")
    record = pb.Record()
    record.header.version_info.producer = "wandb-ng/0"
    writer.write(record.SerializeToString())
    record = pb.Record()
    record.run.run_id, record.run.project = "big", "p"
    record.run.start_time.seconds = 1_700_000_000
    writer.write(record.SerializeToString())
    row = pb.Record()
    for number in range(10):
        row.history.item.add(key=f"metric_{number}", value_json=repr(1 / (number + 3)))
    step_item = row.history.item.add(key="_step")
    n_bytes = n_rows = noted = 0
    while n_bytes < n_mb * 1_000_000 or n_rows < 10:
        row.history.step.num = n_rows
        step_item.value_json = str(n_rows)
        payload = row.SerializeToString()
        writer.write(payload)
        n_bytes += len(payload) + 7
        n_rows += 1
        if n_bytes - noted > 250_000:
            noted = n_bytes
            note = pb.Record()
            note.footer.state.next_step = note.footer.state.lines.history = n_rows
            writer.write(note.SerializeToString())
    end = pb.Record()
    end.exit.exit_code = 0
    writer.write(end.SerializeToString())
    writer.close()
    return n_rows
