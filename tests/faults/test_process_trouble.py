"""What may happen to a process: it is stopped, forked, shut down, its clock is set, its mount goes away, its
disk is slow.  Nothing is lost, nothing raises, nothing waits that need not."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, List

import pytest
from clocks import Clock
from conftest import run_python
from disks import FreezingDisk, SmallDisk
from log_view import LogView
from simulated_server import API_KEY, SimulatedServer
from system_calls import Descriptor, record

START = """
import os, sys, time
import wandb

run = wandb.init(mode="offline", id="x", project="p", settings={"console": "off", "silent": True,
    "x_disable_stats": True, "x_disable_meta": True, "disable_git": True, "x_log_sync_interval": 0.05})
"""


def log_in(place: Path) -> LogView:
    (log,) = place.glob("wandb/offline-run-*/*.wandb")
    return LogView(log)


def numbers(view: LogView) -> List[int]:
    assert not view.lost
    return [row["n"] for row in view.rows()]


# ---- stopped


def test_a_writer_that_is_stopped_has_not_ended_and_the_syncer_waits_for_it(tmp_path: Path) -> None:
    rows = "for n in range(200):\n    run.log({'n': n})\n    time.sleep(0.005)\n"
    program = START + "sys.stdin.readline()\n" + rows + "run.finish()"
    writer = subprocess.Popen([sys.executable, "-c", program], cwd=tmp_path, stdin=subprocess.PIPE)
    often = "from wandb_sync import service\nservice.VISIT_EVERY_S = 0.05\n"
    arguments = ["--live", "--assume-dead-after", "0.05", "wandb"]
    server = SimulatedServer()
    rng = random.Random(1)
    with server.listen() as base_url:
        while not list(tmp_path.glob("wandb/offline-run-*/*.wandb")):
            time.sleep(0.01)
        syncer = subprocess.Popen(
            [sys.executable, "-c", often + "from wandb_sync.cli import main\nmain()", *arguments],
            cwd=tmp_path,
            env={**os.environ, "WANDB_BASE_URL": base_url, "WANDB_API_KEY": API_KEY},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        while not server.runs:
            time.sleep(0.01)
        assert writer.stdin is not None
        writer.stdin.close()
        while writer.poll() is None:
            writer.send_signal(signal.SIGSTOP)
            time.sleep(rng.choice([0.05, 1.2]))  # longer than the syncer sleeps
            assert log_in(tmp_path).of("exit") or not server.run("x").complete
            writer.send_signal(signal.SIGCONT)
            time.sleep(rng.uniform(0.2, 0.5))
        printed, errors = syncer.communicate(timeout=60)
    assert writer.returncode == 0 and syncer.returncode == 0, (printed, errors)
    run = server.run("x")
    assert [row["n"] for row in run.history] == list(range(200)) and run.complete and run.exit_code == 0


# ---- a mount that goes away


@pytest.mark.parametrize("thread", [False, True])
def test_a_mount_that_goes_away_ends_nothing_and_what_was_written_is_there_when_it_is_back(
    freezing_disk: FreezingDisk, thread: bool
) -> None:
    program = START.replace('"silent": True', f'"x_log_writer_thread": {thread}') + (
        "run.log({'n': 0})\nprint('open', flush=True)\nsys.stdin.readline()\n"
        "for n in range(1, 500): run.log({'n': n})\nrun.finish()\nprint('trained')"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=freezing_disk.path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "open\n"
    freezing_disk.unmount()
    printed, told = process.communicate("go on\n", timeout=60)
    assert (process.returncode, printed) == (0, "trained\n"), told
    assert "is not there any more" in told and "wandb sync" not in told, told
    freezing_disk.mount()
    view = log_in(freezing_disk.path)
    assert numbers(view) == list(range(500)) and view.kinds()[-1] == "exit"


def test_a_small_disk_that_is_full_and_then_taken_away_ends_nothing(small_disk: SmallDisk) -> None:
    program = START + (
        "for n in range(3000): run.log({'n': n})\n"
        "os.system('umount --lazy .')\n"
        "for n in range(300): run.log({'n': n})\nrun.finish()\nprint('trained')"
    )
    done = run_python(program, cwd=small_disk.path)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(small_disk.path)], check=True)  # for the fixture
    assert (done.returncode, done.stdout) == (0, "trained\n"), done.stderr
    assert "Traceback" not in done.stderr


# ---- a slow disk


def test_a_slow_sync_does_not_hold_up_log(tmp_path: Path) -> None:
    """Each sync takes 0.2 s; rows are written while one is under way."""
    place = tmp_path / "root"
    place.mkdir()
    rows = "for n in range(400):\n    run.log({'n': n})\n    time.sleep(0.001)\nrun.finish()"
    calls = record([sys.executable, "-c", START + rows], cwd=place, inject=["fdatasync:delay_enter=200000"])

    def of(name: str) -> List[Any]:
        return [
            call
            for call in calls
            if call.name == name
            and isinstance(call.arguments[0], Descriptor)
            and call.arguments[0].path.endswith(".wandb")
        ]

    writes, syncs = of("write"), of("fdatasync")
    beside = [sum(sync.begun < write.begun < sync.done for write in writes) for sync in syncs]
    assert max(beside) > 20 and beside[-1] == 0  # the last one is that of finish()
    assert numbers(log_in(place)) == list(range(400))


# ---- children


def test_a_storm_of_children_that_never_log_costs_no_row_and_leaves_nothing_behind(tmp_path: Path) -> None:
    program = START + """
import threading
stop = threading.Event()

def work(name):
    number = 0
    while not stop.is_set():
        run.log({"t": name, "n": number})
        number += 1
    counts[name] = number

counts = {}
threads = [threading.Thread(target=work, args=(name,)) for name in range(3)]
for thread in threads: thread.start()
for storm in range(10):
    children = []
    for number in range(12):
        child = os.fork()
        if child == 0:
            if number % 4 == 0:
                sys.exit(0)  # with all that a Python does at its end
            if number % 4 == 1 and os.fork() == 0:
                os._exit(0)
            if number % 4 == 2:
                os.execv("/bin/true", ["true"])
            os._exit(0)
        children.append(child)
    for child in children:
        assert os.waitpid(child, 0)[1] == 0
stop.set()
for thread in threads: thread.join()
run.finish()
print(*[counts[name] for name in range(3)])
"""
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", program]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and not done.stderr, done.stderr
    view = log_in(tmp_path)  # there is one log only
    assert len(list(tmp_path.glob("wandb/*run-*/*"))) == 2 * len(list(tmp_path.glob("wandb/*run-*")))
    rows = view.rows()
    assert not view.lost and view.kinds()[-1] == "exit"
    for name, count in enumerate(map(int, done.stdout.split())):
        assert [row["n"] for row in rows if row["t"] == name] == list(range(count))


# ---- the clock


def test_when_the_clock_is_set_the_run_s_own_time_goes_on(tmp_path: Path) -> None:
    clock = Clock(tmp_path)
    program = START + (
        "for n in range(40):\n"
        "    if n % 10 == 0: print(n, flush=True); sys.stdin.readline()\n"
        "    run.log({'n': n})\n"
        "run.finish()"
    )
    began_s = time.time()
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, **clock.environ},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None and process.stdout is not None
    day_s = 86_400.0
    for jump_s in (0.0, 400 * day_s, -800 * day_s, 400 * day_s):
        process.stdout.readline()
        clock.jump(jump_s)
        print(file=process.stdin, flush=True)
    assert process.wait(60) == 0
    took_s = time.time() - began_s
    view = log_in(tmp_path)
    rows = view.rows(own=True)
    assert [row["n"] for row in rows] == list(range(40))
    runtimes = [row["_runtime"] for row in rows]
    assert runtimes == sorted(runtimes) and 0 <= runtimes[0] and runtimes[-1] <= took_s
    assert 0 <= view.of("exit")[0].runtime <= took_s
    days = [round((row["_timestamp"] - began_s) / day_s) for row in rows]
    assert days == [0] * 10 + [400] * 10 + [-400] * 10 + [0] * 10  # what the machine believed


def test_a_run_goes_on_and_arrives_though_the_clock_was_set_back_in_between(tmp_path: Path) -> None:
    clock = Clock(tmp_path)
    environ = {**os.environ, **clock.environ}
    resume = START.replace('"p",', '"p", resume="allow",')
    for jump_s in (0.0, -3 * 86_400.0, 9 * 86_400.0, -9 * 86_400.0):
        clock.jump(jump_s)
        code = "for _ in range(5): run.log({'n': run.step})\nos._exit(0)"  # without an exit record
        subprocess.run([sys.executable, "-c", resume + code], cwd=tmp_path, env=environ, check=True)
    server = SimulatedServer()
    with server.listen() as base_url:
        environ.update(WANDB_BASE_URL=base_url, WANDB_API_KEY=API_KEY)
        command = [sys.executable, "-m", "wandb_sync", "wandb"]
        done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [(row["n"], row["_step"]) for row in server.run("x").history] == [(n, n) for n in range(20)]


def test_a_start_that_was_killed_is_no_rival_though_the_clock_was_set_back_since(tmp_path: Path) -> None:
    clock = Clock(tmp_path)
    (tmp_path / "wandb" / "offline-run-20231114_221320-x").mkdir(parents=True)
    clock.jump(-86_400.0)
    program = START + "print(run.id)\nrun.finish()"
    assert run_python(program, cwd=tmp_path, env={**os.environ, **clock.environ}).stdout == "x\n"


# ---- the end of the interpreter

ENDS = {
    "a daemon thread that logs on": (
        "import threading\n"
        "def work():\n"
        "    try:\n"
        "        while True: run.log({'n': 0})\n"
        "    except wandb.UsageError: pass\n"
        "threading.Thread(target=work, daemon=True).start()\ntime.sleep(0.2)\n"
    ),
    "an object that logs when it goes": (
        "class Last:\n"
        "    def __del__(self, refused=wandb.UsageError):\n"
        "        try: run.log({'n': 0})\n"
        "        except refused: pass\n"
        "last = Last()\nlast.me = last\nrun.log({'n': 0})\n"
    ),
    "a handler of atexit that logs before the run ends": (
        "import atexit\natexit.register(lambda: run.log({'n': 0}))\n"
    ),
    "a handler of atexit that finishes": "import atexit\natexit.register(lambda: run.finish())\n",
    "a thread that is joined at the end": (
        "import threading\n"
        "def work():\n"
        "    for n in range(300): run.log({'n': 0}); time.sleep(0.001)\n"
        "threading.Thread(target=work).start()\n"
    ),
    "no modules any more": "sys.modules.clear()\n",
}


@pytest.mark.parametrize("console", ["off", "auto"])
@pytest.mark.parametrize("end", ENDS)
def test_a_run_that_is_open_when_the_interpreter_ends_is_complete_and_nothing_is_printed(
    tmp_path: Path, end: str, console: str
) -> None:
    program = START.replace('"console": "off"', f'"console": "{console}"') + "run.log({'n': 0})\n" + ENDS[end]
    done = run_python(program, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    view = log_in(tmp_path)
    assert not view.lost and view.kinds()[-1] == "exit" and view.of("exit")[0].exit_code == 0
    n_rows = len(numbers(view))
    assert n_rows == {"a handler of atexit that logs before the run ends": 2}.get(end, n_rows) >= 1
    if end == "a thread that is joined at the end":
        assert n_rows == 301
