"""Promise 1: when `log()` has returned, the row is in the log, however the process ends.

A child process logs and, after each call that returned, tells the number of the row through a pipe.  It is
killed at a random moment.  Then every number told must be in the log, and the log must read without a loss.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import List, Tuple

import pytest
from log_view import LogView

CHILD = r"""
import os, sys
import wandb
told, form = int(sys.argv[1]), sys.argv[2]
run = wandb.init(mode="offline", settings={"silent": True, "x_stats_sampling_interval": 0.1})
for number in range(100_000):
    row = {"number": number, "loss": number / 3, "text": "x" * (number % 50)}
    if form == "step":
        run.log(row, step=number)
    elif form == "parts":
        run.log({"loss": number / 3}, commit=False)
        run.log({"number": number})
    else:
        run.log(row)
    os.write(told, b"%d\n" % number)
    if number % 7 == 0:
        print("printed", number)
    if number % 100 == 99:
        run.config[f"c{number}"] = number
"""


def _kill_once(form: str, where: Path, seed: int) -> Tuple[List[int], LogView]:
    """Run the child, kill it at a random moment; return the numbers it told and what its log says."""
    delay_s = random.Random(seed).choice([0.0, 0.001, 0.01, 0.03]) * random.Random(seed + 1).random() * 2
    where.mkdir()
    read_end, write_end = os.pipe()
    command = [sys.executable, *(["-O"] if sys.flags.optimize else []), "-c", CHILD, str(write_end), form]
    child = subprocess.Popen(command, cwd=where, pass_fds=[write_end], stdout=subprocess.DEVNULL)
    os.close(write_end)
    try:
        told = os.read(read_end, 65536)  # the first rows are there
        time.sleep(delay_s)
        child.send_signal(signal.SIGKILL)
        child.wait(30)
        while piece := os.read(read_end, 65536):
            told += piece
    finally:
        child.kill()
        child.wait(30)
        os.close(read_end)
    numbers = [int(line) for line in told.split(b"\n")[:-1]]
    return numbers, LogView(next(where.glob("wandb/offline-run-*/*.wandb")))


def _numbers_in(view: LogView) -> List[int]:
    """Return the rows' numbers, with the row that still waited for its end."""
    numbers = [row["number"] for row in view.rows()]
    for footer in view.of("footer")[-2:]:
        numbers += [int(item.value_json) for item in footer.pending.item if item.key == "number"]
    return numbers


def _check(form: str, where: Path, seed: int) -> None:
    told, view = _kill_once(form, where, seed)
    found = _numbers_in(view)
    assert told and set(told) <= set(
        found
    ), f"lost {sorted(set(told) - set(found))[:5]} of {len(told)}, seed {seed}"
    rows = [row["number"] for row in view.rows()]
    assert rows == list(range(len(rows))) and not view.lost


@pytest.mark.parametrize("form", ["rows", "step", "parts"])
def test_no_row_whose_log_returned_is_lost_by_a_kill(form: str, tmp_path: Path) -> None:
    for seed in range(34):
        _check(form, tmp_path / f"{form}{seed}", seed)


@pytest.mark.soak
@pytest.mark.parametrize("form", ["rows", "step", "parts"])
def test_no_row_is_lost_by_a_thousand_kills(form: str, tmp_path: Path) -> None:
    for seed in range(1000, 1334):
        _check(form, tmp_path / f"{form}{seed}", seed)


ENDINGS = {
    "end of script": ("", 0, 0),
    "exception": ("1 / 0", 1, 1),
    "sys.exit(3)": ("import sys; sys.exit(3)", 3, 3),
    "finish(7)": ("run.finish(exit_code=7)", 0, 7),
    "interrupt": (
        # A shell starts background jobs with SIGINT ignored; then Python does not take it by itself.
        "import os, signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "os.kill(os.getpid(), signal.SIGINT)",
        -signal.SIGINT,
        255,
    ),
    "SIGTERM": (
        "import os, signal, time; os.kill(os.getpid(), signal.SIGTERM); time.sleep(9)",
        -signal.SIGTERM,
        143,
    ),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_exit_record_says_how_the_process_ended(ending: str, tmp_path: Path) -> None:
    code, status, recorded = ENDINGS[ending]
    start = 'import wandb\nrun = wandb.init(mode="offline", settings={"silent": True})\nrun.log({"a": 1})\n'
    command = [sys.executable, "-c", start + code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=60)
    view = LogView(next(tmp_path.glob("wandb/offline-run-*/*.wandb")))
    assert done.returncode == status and view.of("exit")[0].exit_code == recorded, done.stderr.decode()
    assert view.rows() == [{"a": 1, "_step": 0}]


def test_sigterm_in_the_middle_of_logging_leaves_a_complete_log(tmp_path: Path) -> None:
    for seed in range(15):
        where = tmp_path / str(seed)
        where.mkdir()
        read_end, write_end = os.pipe()
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(write_end), "rows"],
            cwd=where,
            pass_fds=[write_end],
            stdout=subprocess.DEVNULL,
        )
        os.close(write_end)
        told = os.read(read_end, 64)
        time.sleep(random.Random(seed).random() * 0.02)
        child.send_signal(signal.SIGTERM)
        assert child.wait(30) == -signal.SIGTERM
        while piece := os.read(read_end, 65536):
            told += piece
        os.close(read_end)
        view = LogView(next(where.glob("wandb/offline-run-*/*.wandb")))
        numbers = [int(line) for line in told.split(b"\n")[:-1]]
        assert view.kinds()[-1] == "exit" and view.of("exit")[0].exit_code == 143 and not view.lost
        assert set(numbers) <= {row["number"] for row in view.rows()}
