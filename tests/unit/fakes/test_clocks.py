"""The clock of the tests jumps, and only that."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from clocks import Clock

PROGRAM = """
import sys, time, datetime
while sys.stdin.readline():
    print(time.time(), datetime.datetime.now().timestamp(), time.monotonic(), flush=True)
"""


def test_the_time_of_day_jumps_and_the_monotonic_clock_does_not(tmp_path: Path) -> None:
    clock = Clock(tmp_path)
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, **clock.environ},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None and process.stdout is not None
    offset_s = 0.0
    for jump_s in (0.0, 86_400.0, -10 * 86_400.0):
        clock.jump(jump_s)
        offset_s += jump_s
        before_s, monotonic_s = time.time(), time.monotonic()
        print("what time is it?", file=process.stdin, flush=True)
        answers = list(map(float, process.stdout.readline().split()))
        after_s = time.time()
        for answer in answers[:2]:
            assert before_s - 1e-3 <= answer - offset_s <= after_s + 1e-3
        assert monotonic_s <= answers[2] <= time.monotonic()
    process.communicate(timeout=30)
