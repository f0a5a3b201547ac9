"""Promise 1 and a resume, wherever in `init`, `log` or `finish` the process is killed: at any instruction of
its Python code, and at any of its system calls.

A process that has wandb loaded forks a child for each kill.  The child counts the instructions that it runs
and kills itself at the n-th; after each call that returned it writes so into a file.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple

import pytest
from disks import strace
from log_view import LogView
from simulated_server import SimulatedServer

import wandb
from wandb_sync.batching import HISTORY
from wandb_sync.run_sync import RunOptions, Status
from wandb_sync.service import Service

PHASES = ["init", "row 0", "row 3", "part", "config", "finish"]  # each ends when the program tells so
PROGRAM = r"""
import json, os, signal, sys
import wandb

DEFAULT = {"silent": True, "x_start_time": 1700000000.0, "disable_git": True}
ALONE = {**DEFAULT, "console": "off", "x_disable_stats": True, "x_disable_meta": True}
SETTINGS = {
    "process": {**ALONE, "durability": "process"},
    "record": {**ALONE, "durability": "record"},
    "default": DEFAULT,
}

def train(settings, tell):
    run = wandb.init(mode="offline", id="x", project="p", resume="allow", settings=SETTINGS[settings])
    tell("init")
    for number in range(4):
        run.log({"n": number, "loss": 0.5})
        tell(f"row {number}")
    run.log({"n": 4}, step=4)
    tell("part")
    run.config["c"] = 1
    tell("config")
    run.finish()
    tell("finish")

class Counter:
    # Counts instructions; kills the process at one of them.
    def __init__(self, victim):
        self.n, self.victim = 0, victim
    def enter(self, frame, event, argument):
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self.count
    def count(self, frame, event, argument):
        if event == "opcode":
            self.n += 1
            if self.n == self.victim:
                os.kill(os.getpid(), signal.SIGKILL)
        return self.count

def in_child(place, settings, victim):
    os.chdir(place)
    told = os.open("told", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    counter = Counter(victim)
    def tell(what):
        os.write(told, json.dumps([what, counter.n]).encode() + b"\n")
    sys.settrace(counter.enter)
    train(settings, tell)
    sys.settrace(None)

def serve():
    os.makedirs("warm")
    os.chdir("warm")
    for settings in SETTINGS:  # so that all that is loaded once is loaded
        train(settings, lambda what: None)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                in_child(*json.loads(line))
            finally:
                os._exit(0)
        print(os.waitpid(child, 0)[1], flush=True)

if sys.argv[1:]:
    train(sys.argv[1], lambda what: os.write(1, json.dumps([what, 0]).encode() + b"\n"))
else:
    serve()
"""


class Killer:
    """A process that has wandb loaded, and lets a child of it die."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._process = subprocess.Popen(
            [sys.executable, *(["-O"] if sys.flags.optimize else []), "-c", PROGRAM],
            cwd=place,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def kill(self, place: Path, settings: str, victim: int) -> int:
        """Run the program in a directory and kill it at an instruction; returns the end, as `os.wait`."""
        place.mkdir()
        assert self._process.stdin is not None and self._process.stdout is not None
        print(json.dumps([str(place), settings, victim]), file=self._process.stdin, flush=True)
        return int(self._process.stdout.readline())

    def close(self) -> None:
        self._process.communicate(timeout=30)


@pytest.fixture(scope="module")
def killer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Killer]:
    found = Killer(tmp_path_factory.mktemp("killer"))
    yield found
    found.close()


class Told(NamedTuple):
    """What a process said, and at which of its instructions."""

    what: str
    n: int


def told(text: str) -> List[Told]:
    return [Told(*json.loads(line)) for line in text.splitlines()]


def check_what_is_left(place: Path, said: List[str], *, upload: bool) -> None:
    """What was said holds; the run goes on from there, and arrives with every row once."""
    logs = list(place.glob("wandb/offline-run-*/*.wandb"))
    view = LogView(logs[0] if logs else [])
    rows = [row["n"] for row in view.rows()]
    waits = [
        item.value_json for footer in view.of("footer") for item in footer.pending.item if item.key == "n"
    ]
    assert rows == list(range(len(rows))) and not view.lost
    there = [f"row {number}" for number in rows]
    there += ["part"] * bool(waits) + ["init"] * bool(view.of("run")) + ["config"] * ("c" in view.config())
    there += ["finish"] * bool(view.of("exit"))
    assert set(said) <= set(there), (said, there)

    for directory in place.glob("wandb/offline-run-*"):  # it was killed a while ago
        os.utime(directory, (time.time() - 60, time.time() - 60))
    settings = {"console": "off", "silent": True, "x_disable_stats": True, "x_disable_meta": True}
    run = wandb.init(mode="offline", dir=place, id="x", project="p", resume="allow", settings=settings)
    n_rows = max(len(rows), 5 if waits else 0)
    assert (run.id, run.step) == ("x", n_rows) and run.config.get("c") == view.config().get("c")
    run.log({"n": run.step})
    run.finish()
    if upload:
        server = SimulatedServer()
        report = Service(server, server.base_url, RunOptions(), parallel=1).run([str(place / "wandb")])
        assert [row["n"] for row in server.run("x").history] == list(range(n_rows + 1))
        assert server.run("x").lines[HISTORY] and report.outcomes[-1].status is Status.SYNCED


def check_kills(killer: Killer, place: Path, settings: str, n_kills: int, seed: int) -> None:
    rng = random.Random(seed)
    assert killer.kill(place / "whole", settings, 0) == 0
    ends: Dict[str, int] = {said.what: said.n for said in told((place / "whole" / "told").read_text())}
    n_before = n_killed = 0
    for number in range(n_kills):
        phase = PHASES[number % len(PHASES)]
        begin = max([n for n in ends.values() if n < ends[phase]], default=0)
        victim = rng.randint(begin + 1, ends[phase])
        status = killer.kill(place / str(number), settings, victim)
        path = place / str(number) / "told"
        said = [one.what for one in told(path.read_text())] if path.exists() else []
        n_killed += status == 9
        n_before += phase not in said
        check_what_is_left(place / str(number), said, upload=number % 10 == 0)
    # What else the machine does may make it a few instructions more or less.
    assert n_killed > n_kills * 0.9 and n_before > n_kills * 0.7


@pytest.mark.long
@pytest.mark.parametrize("settings", ["process", "record", "default"])
def test_killed_at_any_instruction_what_was_said_holds_and_the_run_goes_on(
    killer: Killer, tmp_path: Path, settings: str
) -> None:
    check_kills(killer, tmp_path, settings, 36, seed=1)


@pytest.mark.soak
@pytest.mark.parametrize("settings", ["process", "record", "default"])
def test_killed_at_a_thousand_instructions_what_was_said_holds_and_the_run_goes_on(
    killer: Killer, tmp_path: Path, settings: str
) -> None:
    for seed in range(2, 13):
        (tmp_path / str(seed)).mkdir()
        check_kills(killer, tmp_path / str(seed), settings, 36, seed)


@pytest.mark.long
def test_killed_at_any_system_call_what_was_said_holds_and_the_run_goes_on(tmp_path: Path) -> None:
    """Every call that concerns the directory of runs, or what is in it."""
    number = 0
    while True:
        number += 1
        place = tmp_path / str(number)
        place.mkdir()
        paths = ["", "/latest-run", "/offline-run-20231114_221320-x"]
        paths += [f"{paths[-1]}{name}" for name in ("", "/files", "/run-x.wandb")]
        command = [strace(), "-f", "-qq", "-o", os.devnull]
        for path in paths:
            command += ["-P", f"{place}/wandb{path}"]
        command += ["-e", f"inject=%file,%desc:signal=KILL:when={number}", sys.executable, "-c", PROGRAM]
        done = subprocess.run(
            [*command, "record"],
            cwd=place,
            env={**os.environ, "TZ": "UTC"},
            stdout=subprocess.PIPE,
            text=True,
            timeout=60,
        )
        check_what_is_left(place, [one.what for one in told(done.stdout)], upload=number % 10 == 0)
        if done.returncode == 0:
            break
    assert number > 20
