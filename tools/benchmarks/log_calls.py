"""`log()`: time and CPU of a call, against the floor and the peers.

All recorders of one size are open at once and take turns, a short block of calls each, so that whatever else
the machine does meets all of them alike.  Ratios are of figures from the same run; the absolute times beside
them are for information.
"""

from __future__ import annotations

import json
from statistics import fmean, median
from typing import Any, Dict, List, NamedTuple, Optional

from benchmarks.bench_place import BenchPlace
from benchmarks.process_tree import CpuMeter
from benchmarks.tables import Table, Target, percentile

FLOOR, OURS, REAL = "floor", "wandb-ng", "wandb 0.31"
RECORDERS = {  # the table's name -> the name in children/record.py
    FLOOR: "floor",
    "by hand": "hand",
    OURS: "wandb",
    REAL: "wandb",
    "tensorboardX": "tensorboardX",
}
DURABILITY = {  # decisions 0006 and 0007; in a table of its own, because a sync holds up whoever else writes
    FLOOR: "floor",
    "interval (default)": "wandb",
    "process": "wandb-process",
    "record": "wandb-record",
    "process, by a thread": "wandb-thread",
}
BLOCKS = {1: 200, 10: 100, 200: 30}  # scalars -> calls in a block: some milliseconds each
N_ROUNDS = 24
N_ROUNDS_QUICK = 6
MAX_RATIO = 1.0
MAX_ROW_BYTES = 500  # of 10 scalars


class Recorder:
    """One child process that records."""

    def __init__(self, place: BenchPlace, name: str, kind: str, n_scalars: int) -> None:
        self.name = name
        self.blocks: List[List[int]] = []  # nanoseconds per call
        self._n_calls = 0
        python = place.real_python if name == REAL else None
        self._process = place.start("record.py", kind, n_scalars, python=python)
        self._cpu = CpuMeter(self._process.pid)

    def is_open(self) -> bool:
        """Wait for the recorder to be ready; False if its library is not installed."""
        assert self._process.stdout is not None
        return self._process.stdout.readline() == "open\n"

    def warm_up(self, n_calls: int) -> None:
        """Make the first calls, which are not counted, and note where the count begins."""
        self._ask(n_calls)
        self._cpu_before_s = self._cpu.settle()
        self._bytes_before: int = self._ask("size")

    def block(self, n_calls: int) -> None:
        """Take a turn."""
        self.begin_block(n_calls)
        self.end_block(n_calls)

    def begin_block(self, n_calls: int) -> None:
        """Begin a turn, beside others."""
        self._say(n_calls)

    def end_block(self, n_calls: int) -> None:
        """Wait for the end of the turn."""
        self.blocks.append(self._answer())
        self._n_calls += n_calls

    def cpu_us_per_call(self) -> float:
        """Return the CPU time of the process tree per counted call, once it has come to rest."""
        return (self._cpu.settle() - self._cpu_before_s) / self._n_calls * 1e6

    def close(self) -> None:
        """End the process; its run is finished."""
        self._process.communicate(timeout=60)

    def bytes_per_row(self) -> float:
        """Return what the counted rows take on disk."""
        n_bytes: int = self._ask("size") - self._bytes_before
        return n_bytes / self._n_calls

    def _ask(self, what: object) -> Any:
        self._say(what)
        return self._answer()

    def _say(self, what: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{what}\n")
        self._process.stdin.flush()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())


class _Figures(NamedTuple):
    p50_us: float
    p99_us: float
    mean_us: float
    cpu_us: float
    p50_ratio: float  # the median over the rounds of: this recorder's median / the floor's
    row_bytes: float


def tables(place: BenchPlace, quick: bool) -> List[Table]:
    """Measure, and return the table."""
    rows: List[List[Any]] = []
    for n_scalars, n_calls in BLOCKS.items():
        figures = _measure(place, RECORDERS, n_scalars, n_calls, N_ROUNDS_QUICK if quick else N_ROUNDS)
        for name, its in figures.items():
            ratios = its.p50_ratio, its.cpu_us / figures[FLOOR].cpu_us
            rows.append(
                [
                    n_scalars,
                    name,
                    its.p50_us,
                    its.p99_us,
                    its.mean_us,
                    its.cpu_us,
                    *ratios,
                    its.row_bytes,
                    *(_targets(its, ratios, figures.get(REAL), n_scalars) if name == OURS else [None] * 4),
                ]
            )
    columns = ["scalars", "recorder", "p50 us", "p99 us", "mean us", "CPU us", "p50 floors", "CPU floors"]
    columns += ["bytes/row", "p50", "CPU", "p99 < wandb's", "bytes"]
    notes = [
        "floor: the row as protobuf objects, serialised, one checksum, one write.",
        "by hand: the same bytes, without protobuf.",
        "CPU: user and system time of the whole process tree, until it is idle again, per call.",
        "wandb-ng and wandb: validation, summary, and a metric definition that holds for every key.",
    ]
    if place.real_python is None:
        notes.append("WANDB_NG_REAL_PYTHON is not set: wandb itself was not measured.")
    digits = {"p50 us": 1, "p99 us": 1, "mean us": 1, "CPU us": 1, "bytes/row": 0}
    return [Table("log(): one row, per call", columns, rows, digits, notes), _durability(place, quick)]


def _durability(place: BenchPlace, quick: bool) -> Table:
    figures = _measure(place, DURABILITY, 10, BLOCKS[10], N_ROUNDS_QUICK if quick else N_ROUNDS)
    rows = [
        [name, its.p50_us, its.p99_us, its.mean_us, its.p50_ratio, its.cpu_us / figures[FLOOR].cpu_us]
        for name, its in figures.items()
    ]
    columns = ["durability", "p50 us", "p99 us", "mean us", "p50 floors", "CPU floors"]
    digits = {"p50 us": 1, "p99 us": 1, "mean us": 1}
    notes = ["by a thread: as on file systems that may hang."]
    return Table("log(): a row of 10 scalars, by class of durability", columns, rows, digits, notes)


def _measure(
    place: BenchPlace, kinds: Dict[str, str], n_scalars: int, n_calls: int, n_rounds: int
) -> Dict[str, _Figures]:
    recorders: List[Recorder] = []
    for name, kind in kinds.items():
        if name == REAL and place.real_python is None:
            continue
        recorder = Recorder(place, name, kind, n_scalars)
        if recorder.is_open():
            recorders.append(recorder)
        else:
            recorder.close()
    for recorder in recorders:
        recorder.warm_up(n_calls)
    for _ in range(n_rounds):
        for recorder in recorders:
            recorder.block(n_calls)
    figures: Dict[str, _Figures] = {}
    floor = recorders[0]
    for recorder in recorders:
        calls = [ns / 1000 for block in recorder.blocks for ns in block]
        ratios = [median(ours) / median(its) for ours, its in zip(recorder.blocks, floor.blocks)]
        figures[recorder.name] = _Figures(
            median(calls),
            percentile(calls, 99),
            fmean(calls),
            recorder.cpu_us_per_call(),
            median(ratios),
            recorder.bytes_per_row(),
        )
    for recorder in recorders:
        recorder.close()
    return figures


def _targets(ours: _Figures, ratios: Any, real: Optional[_Figures], n_scalars: int) -> List[Optional[Target]]:
    return [
        Target.at_most(MAX_RATIO, ratios[0]),
        Target.at_most(MAX_RATIO, ratios[1]),
        Target.below(round(real.p99_us, 1), ours.p99_us) if real else None,
        Target.at_most(MAX_ROW_BYTES, ours.row_bytes) if n_scalars == 10 else None,
    ]
