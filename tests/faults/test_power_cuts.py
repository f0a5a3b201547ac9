"""What a power cut leaves: each class of durability keeps its word (decision 0006), whatever the disk had not
yet, and what is there is continued and uploaded without a false row.

The system calls of a real run are recorded; after each of them the power is cut, many times in different ways
(fakes/power_cut.py).  "Told" is what the program wrote to its standard output after a call had returned.
"""

from __future__ import annotations

import copy
import json
import os
import random
import sys
import time
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Set

import pytest
from log_builder import LogBuilder, everything
from power_cut import Disk, Files, put_down, taken_up
from simulated_server import API_KEY, SimulatedServer
from system_calls import Call, Descriptor, record

import wandb
from wandb.errors import BadFileHeader
from wandb.interface.wire import decode
from wandb.transaction_log.parser import Parser, Record
from wandb_sync.batching import HISTORY
from wandb_sync.checkpoint import unsealed
from wandb_sync.run_sync import RunOptions, Status
from wandb_sync.service import Service

PROGRAM = """
import os, sys, time
import wandb

def tell(text):
    os.write(1, text.encode() + b"\\n")

durability, thread = sys.argv[1:]
run = wandb.init(mode="offline", id="x", project="p", settings={"console": "off", "silent": True,
    "x_disable_stats": True, "x_disable_meta": True, "disable_git": True, "durability": durability,
    "x_log_writer_thread": thread == "True", "x_log_sync_interval": 0.02, "x_start_time": 1700000000.0})
tell("init")
for number in range(40):
    run.log({"n": number, "text": "x" * (number * 797 % 3000)})  # the log crosses borders of pages and blocks
    tell(f"row {number}")
    if number % 9 == 0:
        run.config[f"c{number}"] = number
        tell(f"config c{number}")
        run.log({"late": number}, step=0)
    if number % 13 == 0:
        time.sleep(0.03)
backend = run._backend
while durability == "interval" and backend._interval_sync._synced < backend._writer.end:
    time.sleep(0.01)  # it comes by itself, how soon depends on the disk
tell("pause")
for number in range(40, 45):
    run.log({"part": 1}, commit=False)
    run.log({"n": number})
    tell(f"row {number}")
run.finish()
tell("finish")
"""
QUIET = {"console": "off", "silent": True, "x_disable_stats": True, "x_disable_meta": True}


class Recorded(NamedTuple):
    """A run, as its system calls tell of it."""

    place: Path
    durability: str
    calls: List[Call]
    log: str  # its path
    records: Dict[int, bytes]  # of the whole log, by offset


@pytest.fixture(scope="module", params=["process", "interval", "record", "interval, by a thread"])
def recorded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    durability, _, thread = request.param.partition(", ")
    place = tmp_path_factory.mktemp("recorded") / "root"
    place.mkdir()
    calls = record([sys.executable, "-c", PROGRAM, durability, bool(thread)], cwd=place)
    files = taken_up(place)
    (log,) = [path for path in files if path.endswith(".wandb")]
    disk = Disk(place)
    for call in calls:
        disk.take(call)
    assert disk.now() == files
    return Recorded(place, durability, calls, log, records_of(files[log]))


def records_of(data: bytes) -> Dict[int, bytes]:
    """Return the whole records of a log, by their offsets."""
    parser = Parser()
    parser.feed(data)
    try:
        return {event.offset: event.payload for event in parser.events() if isinstance(event, Record)}
    except BadFileHeader:
        return {}


def said_by(records: Dict[int, bytes]) -> Set[str]:
    """Return what records say, in the words in which the program tells of them."""
    said = set()
    for payload in records.values():
        for kind, fields in decode("Record", payload).items():
            if kind == "history":
                items = {item.get("key"): item["value_json"] for item in fields["item"]}
                said.add(f"row {items['n']}")
            elif kind == "config":
                said |= {f"config {item['key']}" for item in fields["update"]}
            elif kind == "run":
                said.add("init")
            elif kind == "exit":
                said.add("finish")
    return said


def told_by(call: Call) -> str:
    """Return what the program tells with a call, or ""."""
    target = call.arguments[0] if call.arguments else None
    if call.name == "write" and isinstance(target, Descriptor) and target.number == 1:
        return bytes(call.arguments[1]).decode().strip()  # type: ignore[arg-type]
    return ""


def after_each_call(recorded: Recorded, n_states: int, seed: int) -> Any:
    """Yield (what was told, the disk, a state after a power cut) for power cuts after each of the calls."""
    rng = random.Random(seed)
    disk = Disk(recorded.place)
    told: List[str] = []
    for call in recorded.calls:
        before = disk.now().get(recorded.log)
        disk.take(call)
        if told_by(call):
            told.append(told_by(call))
        elif call.name not in ("fsync", "fdatasync") and disk.now().get(recorded.log) == before:
            continue  # of no matter here
        for files in disk.after_power_cut(rng, n_states):
            yield told, disk, files


def promised(durability: str, told: List[str]) -> Set[str]:
    """Return what a class of durability promises to be there."""
    if durability == "record" or (durability == "interval" and "finish" in told):
        return set(told) - {"pause"}
    if durability == "interval" and "pause" in told:
        return set(told[: told.index("pause")])
    return set()


def check_power_cuts(recorded: Recorded, n_states: int, seed: int) -> None:
    n_found = set()
    for told, disk, files in after_each_call(recorded, n_states, seed):
        found = records_of(files.get(recorded.log, b""))
        assert found.items() <= recorded.records.items()  # never a false record
        assert records_of(disk.surely().get(recorded.log, b"")).items() <= found.items()
        missing = promised(recorded.durability, told) - said_by(found)
        assert not missing, (told[-1], missing)
        n_found.add(len(found))
    assert len(n_found) > 20  # it was not always the same disk


def test_each_class_of_durability_keeps_its_word(recorded: Recorded) -> None:
    check_power_cuts(recorded, 4, seed=1)


@pytest.mark.soak
def test_each_class_of_durability_keeps_its_word_on_very_many_disks(recorded: Recorded) -> None:
    check_power_cuts(recorded, 400, seed=2)


def goes_on_and_arrives(recorded: Recorded, files: Files, place: Path) -> None:
    """Resume the run from what a power cut has left, and upload it all."""
    there = records_of(files.get(recorded.log, b""))
    before = {int(what.split()[1]) for what in said_by(there) if what.startswith("row")}
    put_down(files, place)
    run = wandb.init(mode="offline", dir=place, id="x", project="p", resume="allow", settings=QUIET)
    assert run.step > max(before, default=-1)
    assert run.id == "x"
    steps = [run.step, run.step + 1]
    for number in (100, 101):
        run.log({"n": number})
    run.finish()
    server = SimulatedServer()
    report = Service(server, server.base_url, RunOptions(), parallel=1).run([str(place / "wandb")])
    rows = [json.loads(line) for line in server.run("x").lines[HISTORY].values()]
    numbers = {row["n"]: row["_step"] for row in rows if "n" in row}
    assert numbers == {**{number: number for number in before}, **dict(zip((100, 101), steps))}
    assert len(rows) - len(numbers) <= 1  # a row of which only a part was there
    *earlier, last = report.outcomes
    assert last.status is Status.SYNCED and server.run("x").complete
    for outcome in earlier:  # what is no log at all any more is not passed over in silence
        has_no_head = files[recorded.log][:7].strip(b"\0") == b"" != files[recorded.log].strip(b"\0")
        assert (outcome.status is Status.FAILED) == has_no_head, outcome
    config = set(server.run("x").config)
    assert {what.split()[1] for what in said_by(there) if what.startswith("config")} <= config


def check_going_on(recorded: Recorded, n_disks: int, seed: int, tmp_path: Path) -> None:
    disks = [files for _, _, files in after_each_call(recorded, 2, seed)]
    for number, files in enumerate(random.Random(seed).sample(disks, n_disks)):
        goes_on_and_arrives(recorded, files, tmp_path / str(number))


@pytest.mark.long
def test_a_run_goes_on_from_what_is_there_and_arrives(recorded: Recorded, tmp_path: Path) -> None:
    check_going_on(recorded, 40, 3, tmp_path)


@pytest.mark.soak
def test_a_run_goes_on_from_very_many_disks(recorded: Recorded, tmp_path: Path) -> None:
    for seed in range(4, 24):
        check_going_on(recorded, 100, seed, tmp_path / str(seed))


def test_a_log_that_was_followed_further_than_the_disk_had_it_is_gone_on_with(tmp_path: Path) -> None:
    log = LogBuilder(tmp_path / "wandb", "x", started_s=int(time.time()) - 100).rows(6)
    there = log.writer.end
    log.rows(4)
    server = SimulatedServer()

    def sync() -> Any:
        return Service(server, server.base_url, RunOptions(), parallel=1).run([str(tmp_path / "wandb")])

    assert [outcome.status for outcome in sync().outcomes] == [Status.RUNNING]
    os.truncate(log.path, there)
    (cut,) = sync().outcomes  # nobody goes on yet: it is said, and the run stays open
    assert cut.status is Status.FAILED and "is shorter than" in cut.reason and not server.run("x").complete
    run = wandb.init(mode="offline", dir=tmp_path, id="x", project="p", resume="allow", settings=QUIET)
    for number in range(6, 12):
        run.log({"acc": 100 + number})
    run.finish()
    for _ in range(2):
        report = sync()
        assert report.exit_code == 0 and "has lost the end" in report.outcomes[0].reason
        assert [row["acc"] for row in server.run("x").history] == [0, 1, 2, 3, 4, 5, *range(106, 112)]
        assert server.run("x").complete


# ---- the syncer's own files

SYNC = """
import os, sys
from wandb_sync import batching, files, run_sync
from wandb_sync.transport.http import HttpTransport

batching.BATCH_BYTES, run_sync.SAVE_FILES_EVERY_S, files.PARALLEL_UPLOADS = 3000, 0.0, 1
send = HttpTransport.send

def answered(self, request):
    response = send(self, request)
    os.write(1, b"answered")
    return response

HttpTransport.send = answered
from wandb_sync.cli import main
sys.argv = ["wandb-sync", "--quiet", "."]
main()
"""


class RememberingServer(SimulatedServer):
    """Keeps what it held after each request."""

    def __init__(self) -> None:
        super().__init__()
        self.held: List[Any] = [({}, {})]

    def handle(self, *request: Any) -> Any:
        answer = super().handle(*request)
        self.held.append(copy.deepcopy((self.runs, self._uploads)))
        return answer


class Synced(NamedTuple):
    """A sync, as its system calls and the server tell of it."""

    place: Path
    before: Files
    calls: List[Call]
    server: RememberingServer
    base_url: str


@pytest.fixture(scope="module")
def synced(tmp_path_factory: pytest.TempPathFactory) -> Synced:
    place = tmp_path_factory.mktemp("synced") / "root"
    place.mkdir()
    everything(place, n_rows=60)
    before = taken_up(place)
    server = RememberingServer()
    with server.listen() as base_url:
        environ = {**os.environ, "WANDB_BASE_URL": base_url, "WANDB_API_KEY": API_KEY}
        calls = record([sys.executable, "-c", SYNC], cwd=place, env=environ)
    disk = Disk(place, before)
    for call in calls:
        disk.take(call)
    assert disk.now() == taken_up(place) and server.run("all").complete
    assert sum(told_by(call) == "answered" for call in calls) == len(server.held) - 1 > 10
    return Synced(place, before, calls, server, base_url)


def after_each_call_of_the_syncer(synced: Synced, n_states: int, seed: int) -> Any:
    """Yield (number of answers, the files that may be there) for power cuts after each of the calls."""
    rng = random.Random(seed)
    disk = Disk(synced.place, synced.before)
    n_answers = 0
    for call in synced.calls:
        before = disk.now()
        disk.take(call)
        n_answers += told_by(call) == "answered"
        if told_by(call) or call.name in ("fsync", "fdatasync") or disk.now() != before:
            for files in disk.after_power_cut(rng, n_states):
                yield n_answers, files


def n_rows_of(held: Any) -> int:
    return sum(len(run.lines.get(HISTORY, {})) for run in held[0].values())


def test_a_checkpoint_is_the_old_one_or_the_new_one_and_never_past_what_was_acknowledged(
    synced: Synced,
) -> None:
    seen = set()
    for n_answers, files in after_each_call_of_the_syncer(synced, 10, seed=1):
        held = synced.server.held[n_answers]
        for path, data in files.items():
            if path.endswith(".checkpoint"):
                (entry,) = unsealed(data, path)["destinations"].values()
                assert entry["session"].get("n_rows", 0) <= n_rows_of(held)
                assert not entry["is_complete"] or held[0]["someone", "p", "all"].complete
                seen.add(entry["identity"]["offset"])
            elif path.endswith((".receipt", ".synced")):
                assert held[0]["someone", "p", "all"].complete
    assert len(seen) > 3


def check_that_the_next_sync_ends_as_a_clean_one(
    synced: Synced, n_disks: int, seed: int, tmp_path: Path
) -> None:
    n_sent = set()
    found = list(after_each_call_of_the_syncer(synced, 3, seed))
    for number, (n_answers, files) in enumerate(random.Random(seed).sample(found, n_disks)):
        place = tmp_path / str(number)
        put_down(files, place)
        server = SimulatedServer()
        server.runs, server._uploads = copy.deepcopy(synced.server.held[n_answers])
        report = Service(server, synced.base_url, RunOptions(), parallel=1).run([str(place)])
        assert server.run("all").state() == synced.server.run("all").state()
        assert report.outcomes[0].status in (Status.SYNCED, Status.UNCHANGED)
        n_sent.add(len(server.requests))
    assert len(n_sent) > 3  # it went on from checkpoints and not each time from the begin


def test_after_a_power_cut_the_next_sync_ends_as_a_clean_one(synced: Synced, tmp_path: Path) -> None:
    check_that_the_next_sync_ends_as_a_clean_one(synced, 12, 2, tmp_path)


@pytest.mark.soak
def test_after_very_many_power_cuts_the_next_sync_ends_as_a_clean_one(synced: Synced, tmp_path: Path) -> None:
    for seed in range(3, 13):
        check_that_the_next_sync_ends_as_a_clean_one(synced, 200, seed, tmp_path / str(seed))
