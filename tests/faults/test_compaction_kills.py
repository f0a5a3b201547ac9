"""`wandb compact`, killed: the log is there, whole, in one form or both; the next call finishes the work."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any, Callable, Dict

import pytest
from disks import SmallDisk
from log_builder import LogBuilder

from wandb.errors import LogWriteError
from wandb.transaction_log import compaction
from wandb.transaction_log.log_file import open_log


def a_log(place: Path, n_rows: int = 500) -> LogBuilder:
    return LogBuilder(place, "x").rows(n_rows).exit(0)


def content(log: Path) -> bytes:
    with open_log(log) as file:
        return file.read_at(0, 1 << 30)


def killed_at_line(number: int, act: Callable[[str], object], log: str) -> bool:
    """Do something in a child that is killed before the n-th line of compaction.py that it runs.

    Returns False if the child came to its end.
    """
    pid = os.fork()
    if pid == 0:
        left = number

        def trace(frame: FrameType, event: str, _: Any) -> Any:
            nonlocal left
            if frame.f_code.co_filename != compaction.__file__:
                return None
            if event == "line":
                left -= 1
                if left <= 0:
                    os.kill(os.getpid(), signal.SIGKILL)
            return trace

        sys.settrace(trace)
        try:
            act(log)
        finally:
            os._exit(0)
    _, status = os.waitpid(pid, 0)
    return os.WIFSIGNALED(status)


@pytest.mark.parametrize("is_back", [False, True])
def test_killed_before_any_line_the_log_is_whole_and_the_next_call_finishes(
    tmp_path: Path, is_back: bool
) -> None:
    log = a_log(tmp_path).path
    data = log.read_bytes()
    name, act = str(log), compaction.compress
    if is_back:
        compaction.compress(log)
        name, act = f"{log}.zst", compaction.decompress  # type: ignore[assignment]
    before = Path(name).read_bytes()
    done = log if is_back else Path(f"{log}.zst")
    seen: Dict[str, int] = {}
    number = 1
    while killed_at_line(number, act, name):
        there = [entry for entry in sorted(os.listdir(log.parent)) if ".wandb" in entry]
        seen[" ".join("unfinished" if "unfinished" in entry else entry for entry in there)] = number
        assert content(log) == data
        if Path(name).exists():  # else it was killed behind the last step
            compaction.remove_unfinished(log)
            act(name)
        compaction.remove_unfinished(log)
        assert [entry for entry in os.listdir(log.parent) if ".wandb" in entry] == [done.name]
        assert content(log) == data
        done.unlink()
        Path(name).write_bytes(before)
        number += 1
    assert number > 20
    both = " ".join(sorted((log.name, f"{log.name}.zst")))
    assert both in seen and any("unfinished" in state for state in seen) and done.name in seen


@pytest.mark.long
def test_the_command_killed_at_any_time_is_finished_by_the_next_one(tmp_path: Path) -> None:
    logs = [LogBuilder(tmp_path, f"x{n}").rows(8000).exit(0).path for n in range(4)]
    data = {log: log.read_bytes() for log in logs}
    chance = random.Random(4)
    command = [sys.executable, "-m", "wandb", "compact", str(tmp_path)]
    n_killed = 0
    for attempt in range(20):
        way = ["--decompress"] if attempt % 2 else []
        child = subprocess.Popen([*command, *way], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(chance.uniform(0.1, 0.6))
        child.kill()
        n_killed += child.wait() == -signal.SIGKILL
        for log in logs:
            assert content(log) == data[log]
    assert n_killed
    # The lease of who was killed is stale at once, for its process is known to be dead.
    assert subprocess.run([*command, "--decompress"], stdout=subprocess.DEVNULL).returncode == 0
    assert subprocess.run(command, stdout=subprocess.DEVNULL).returncode == 0
    for log in logs:
        left = [path.name for path in log.parent.glob("*.wandb*") if ".lease." not in path.name]
        assert left == [f"{log.name}.zst"] and content(log) == data[log]


def test_a_full_disk_leaves_the_log_as_it_was(small_disk: SmallDisk) -> None:
    log = a_log(small_disk.path).path
    data = log.read_bytes()
    small_disk.fill()
    with pytest.raises(LogWriteError, match="No space left"):
        compaction.compress(log)
    assert log.read_bytes() == data and [p.name for p in log.parent.glob("*.wandb*")] == [log.name]
    small_disk.empty()
    assert compaction.compress(log).is_done and content(log) == data


def test_a_log_that_is_written_to_meanwhile_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = a_log(tmp_path).path
    compare = compaction._compare

    def and_append(*arguments: Any) -> None:
        compare(*arguments)
        with open(log, "ab") as file:
            file.write(b"more")

    monkeypatch.setattr(compaction, "_compare", and_append)
    with pytest.raises(Exception, match="somebody writes to it"):
        compaction.compress(log)
    assert [p.name for p in log.parent.glob("*.wandb*")] == [log.name] and log.read_bytes().endswith(b"more")
