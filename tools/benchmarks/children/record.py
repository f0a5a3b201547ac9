"""Logs rows with one recorder, a block at a time, and times each call.

    record.py RECORDER N_SCALARS          RECORDER: a key of RECORDERS

Reads lines: a number is a block of so many calls, answered by the nanoseconds of each call as JSON; "size" is
answered by the bytes on disk; the end of the input ends the run.  "wandb" is whichever wandb the interpreter
has: ours or the real one.  The first line printed says that the recorder is open.
"""

from __future__ import annotations

import json
import os
import random
import struct
import sys
import time
import zlib
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, List

Row = Dict[str, Any]
GLOB = "m/*"  # a definition that every key of the rows falls under
STEP_METRIC = "epoch"


def rows(n_rows: int, n_scalars: int) -> List[Row]:
    """Return rows of other numbers in each: floats, and of ten and more one whole number, the step metric."""
    numbers = random.random
    made = []
    for index in range(n_rows):
        row: Row = {STEP_METRIC: index // 100} if n_scalars > 1 else {}
        for key in range(n_scalars - len(row)):
            row[f"m/{key}"] = numbers() * 10
        made.append(row)
    return made


class Framed:
    """A file of framed records, each with one write; blocks and their trailers are left out."""

    def __init__(self) -> None:
        self.number = 0
        self.step = 0
        self.started_s = time.time()
        self._fd = os.open("floor.wandb", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._pack = struct.Struct("<IHB").pack
        self._seed = zlib.crc32(b"\x01")

    def write(self, payload: bytes) -> None:
        os.write(self._fd, self._pack(zlib.crc32(payload, self._seed), len(payload) & 0xFFFF, 1) + payload)


def floor() -> Callable[[Row], None]:
    """The yardstick: the row as protobuf objects, serialised, one checksum, one write."""
    from wandb.proto import record_pb2

    file = Framed()

    def log(row: Row) -> None:
        now_s = time.time()
        whole = dict(row)
        whole["_step"] = file.step
        whole["_runtime"] = now_s - file.started_s
        whole["_timestamp"] = now_s
        file.number += 1
        record = record_pb2.Record(num=file.number)
        history = record.history
        for key, value in whole.items():
            item = history.item.add()
            item.key = key
            item.value_json = json.dumps(value)
        history.step.num = file.step
        file.write(record.SerializeToString())
        file.step += 1

    return log


def hand() -> Callable[[Row], None]:
    """The same bytes, encoded by hand, each key once."""
    file = Framed()
    keys: Dict[str, bytes] = {}

    def varint(number: int) -> bytes:
        out = bytearray()
        while number > 127:
            out.append(number & 127 | 128)
            number >>= 7
        out.append(number)
        return bytes(out)

    def log(row: Row) -> None:
        now_s = time.time()
        whole = dict(row)
        whole["_step"] = file.step
        whole["_runtime"] = now_s - file.started_s
        whole["_timestamp"] = now_s
        parts = []
        for key, value in whole.items():
            head = keys.get(key)
            if head is None:
                name = key.encode()
                head = keys[key] = b"\x0a" + varint(len(name)) + name + b"\x82\x01"
            text = repr(value).encode()
            item = head + bytes((len(text),)) + text
            parts.append(b"\x0a" + bytes((len(item),)) + item)  # both lengths are below 128
        step = b"\x08" + varint(file.step)
        history = b"".join(parts) + b"\x12" + varint(len(step)) + step
        file.number += 1
        file.write(b"\x08" + varint(file.number) + b"\x12" + varint(len(history)) + history)
        file.step += 1

    return log


def wandb_offline(**settings: Any) -> Callable[[Row], None]:
    """`run.log` with a summary and a metric definition, of whichever wandb this interpreter has."""
    import wandb

    run = wandb.init(
        project="bench",
        mode="offline",
        settings=wandb.Settings(
            console="off", x_disable_stats=True, x_disable_meta=True, silent=True, **settings
        ),
    )
    run.define_metric(GLOB, step_metric=STEP_METRIC, summary="min")
    log: Callable[[Row], None] = run.log
    return log


def tensorboardx() -> Callable[[Row], None]:
    """`add_scalar` of each, into an event file."""
    from tensorboardX import SummaryWriter  # type: ignore[import-not-found,import-untyped,unused-ignore]

    writer = SummaryWriter("events")
    steps = iter(range(1 << 60))

    def log(row: Row) -> None:
        step = next(steps)
        for key, value in row.items():
            writer.add_scalar(key, value, step)

    return log


RECORDERS: Dict[str, Callable[[], Callable[[Row], None]]] = {
    "floor": floor,
    "hand": hand,
    "wandb": wandb_offline,
    "wandb-process": partial(wandb_offline, durability="process"),
    "wandb-record": partial(wandb_offline, durability="record"),
    "wandb-thread": partial(wandb_offline, durability="process", x_log_writer_thread=True),
    "tensorboardX": tensorboardx,
}


def main() -> None:
    """Command line; see the top of the file."""
    recorder, n_scalars = sys.argv[1], int(sys.argv[2])
    log = RECORDERS[recorder]()
    print("open", flush=True)
    clock = time.perf_counter_ns
    for line in sys.stdin:
        if line == "size\n":
            files = (path for path in Path(".").rglob("*") if path.is_file() and not path.is_symlink())
            answer: Any = sum(path.stat().st_size for path in files)
        else:
            answer = []
            for row in rows(int(line), n_scalars):
                began = clock()
                log(row)
                answer.append(clock() - began)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
