"""What each class of durability promises, read off the system calls of a run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import List

import pytest
from disks import strace

PROGRAM = """
import sys, time
import wandb

run = wandb.init(mode="offline", settings={"console": "off", "x_disable_stats": True, "x_disable_meta": True,
    "durability": sys.argv[1], "x_log_writer_thread": sys.argv[2] == "True", "x_log_sync_interval": 0.2})
for number in range(5):
    run.log({"n": number})
    sys.stdout.write("returned\\n")
    sys.stdout.flush()
time.sleep(float(sys.argv[3]))
run.finish()
"""


def calls(where: Path, durability: str, thread: bool, pause_s: float = 0.0) -> List[str]:
    """Run the program; return what it did: write, sync (of the log), sync DIRECTORY, returned, said TEXT."""
    trace = where / "trace"
    command = [strace(), "-f", "-y", "-qq", "-s", "200", "-o", str(trace)]
    command += ["-e", "trace=write,fsync,fdatasync", sys.executable, "-c", PROGRAM]
    (where / "new").mkdir()
    subprocess.run(
        [*command, durability, str(thread), str(pause_s)],
        cwd=where / "new",
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        timeout=120,
    )
    done = []
    for line in trace.read_text().splitlines():
        found = re.match(r"\d+ +(\w+)\((\d+)<([^>]*)>(.*)", line)
        if found is None:
            continue
        call, fd, path, rest = found.groups()
        if path.endswith(".wandb"):
            done.append("write" if call == "write" else "sync")
        elif call == "fsync":
            done.append("sync " + os.path.basename(path).partition("-")[0])
        elif fd == "1":
            done.append("returned")
        elif fd == "2" and call == "write":
            done.append("said " + rest)
    return done


@pytest.mark.parametrize("thread", [False, True])
def test_process_never_waits_for_the_disk(tmp_path: Path, thread: bool) -> None:
    done = calls(tmp_path, "process", thread)
    assert "write" in done and not [call for call in done if call.startswith("sync")]


@pytest.mark.parametrize("thread", [False, True])
def test_record_has_each_row_on_the_disk_when_log_returns(tmp_path: Path, thread: bool) -> None:
    done = calls(tmp_path, "record", thread)
    said = next(index for index, call in enumerate(done) if "saved locally" in call)
    for entry in ("sync", "sync offline", "sync wandb", "sync new"):
        assert entry in done[:said]  # init says nothing that is not durable
    rows = done[said + 1 : len(done) - done[::-1].index("returned")]
    assert rows == ["write", "sync", "returned"] * 5
    assert_nothing_was_unsynced_when_finish_spoke(done)


@pytest.mark.parametrize("thread", [False, True])
def test_interval_syncs_beside_the_loop_and_at_the_end(tmp_path: Path, thread: bool) -> None:
    done = calls(tmp_path, "interval", thread, pause_s=1.0)
    last_row = len(done) - done[::-1].index("returned")
    rest = done[last_row:]
    assert "sync" in rest[: rest.index("write")]  # before finish() writes anything
    for directory in ("sync offline", "sync wandb", "sync new"):
        assert done.count(directory) == 1
    assert_nothing_was_unsynced_when_finish_spoke(done)


def assert_nothing_was_unsynced_when_finish_spoke(done: List[str]) -> None:
    spoke = next(index for index, call in enumerate(done) if "wandb sync" in call)
    before = [call for call in done[:spoke] if call in ("write", "sync")]
    assert before[-1] == "sync"
