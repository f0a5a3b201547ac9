"""The environment record's values, compared with what the standard library and the machine say."""

from __future__ import annotations

import ast
import os
import platform
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from wandb.internal.environment import (
    hardware,
    host_name,
    os_name,
    python_name,
    slurm,
    software,
    timestamp,
    writer_identity,
)
from wandb.internal.git import GitState
from wandb.internal.program import Program


def test_names_are_those_of_the_platform_module() -> None:
    assert os_name() == platform.platform(aliased=True)
    assert python_name() == f"{platform.python_implementation()} {platform.python_version()}"
    assert host_name() == socket.gethostname()


def test_all_that_is_known_is_in_the_record_and_nothing_empty() -> None:
    record = software(
        started_at_s=1795467385.75,
        writer_id="w",
        program=Program("/x/t.py", "t.py", "/x/t.py", "t.py"),
        git=GitState("/x", "https://h/a.git", "c" * 40, "main"),
        root="/x",
        email="",
        argv=["--lr", "3", "--password", "x"],
    )
    record.pop("slurm", None)
    assert record == {
        "os": os_name(),
        "python": python_name(),
        "started_at": {"seconds": 1795467385, "nanos": 750_000_000},
        "args": ["--lr", "3", "--password", "***"],
        "program": "/x/t.py",
        "code_path": "t.py",
        "code_path_local": "t.py",
        "git": {"remote_url": "https://h/a.git", "commit": "c" * 40},
        "root": "/x",
        "host": socket.gethostname(),
        "executable": sys.executable,
        "writer_id": "w",
    }


def test_values_given_win_over_the_machines() -> None:
    record = software(
        started_at_s=0.0, writer_id="w", host="h", username="u", email="e@x", executable="/p", argv=[]
    )
    assert (record["host"], record["username"], record["email"], record["executable"]) == (
        "h",
        "u",
        "e@x",
        "/p",
    )


def test_a_slurm_job_is_recorded_without_its_token(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("SLURM_")]:
        monkeypatch.delenv(name)
    for name, value in {"SLURM_JOB_ID": "77", "SLURM_JWT": "secret", "SLURM_": "x"}.items():
        monkeypatch.setenv(name, value)
    assert slurm() == {"job_id": "77"}


def test_software_needs_no_slow_module() -> None:
    code = (
        "import sys\nfrom wandb.internal.environment import software\n"
        "software(started_at_s=0.0, writer_id='w')\n"
        "slow = {'platform', 'socket', 'subprocess', 'inspect', 'logging', 'dataclasses'}\n"
        "print(sorted(slow & set(sys.modules)))\n"
    )
    root = Path(__file__).parents[4]
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=root, stdout=subprocess.PIPE, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_hardware_is_what_the_machine_says() -> None:
    record = hardware()
    assert record["cpu_count_logical"] == os.cpu_count()
    assert 1 <= record["cpu_count"] <= record["cpu_count_logical"]
    assert record["disk"]["/"]["total"] == shutil.disk_usage("/").total
    assert 0 < record["memory"]["total"] <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def test_a_disk_that_is_not_there_is_left_out(tmp_path: Path) -> None:
    assert set(hardware([str(tmp_path), "/nowhere"])["disk"]) == {str(tmp_path)}


def test_times_are_seconds_and_nanoseconds() -> None:
    assert timestamp(1.5) == {"seconds": 1, "nanos": 500_000_000}
    assert timestamp(-0.25) == {"seconds": -1, "nanos": 750_000_000}
    now_s = time.time()
    assert abs(timestamp(now_s)["seconds"] + timestamp(now_s)["nanos"] / 1e9 - now_s) < 1e-6


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_the_writer_is_this_process_and_another_process_is_another_writer() -> None:
    mine = writer_identity()
    code = "from wandb.internal.environment import writer_identity as w; print(w())"
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
    assert mine["pid"] == os.getpid() and mine["host"] == socket.gethostname()
    assert mine["boot_id"] == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert mine["pid_start_ticks"] > 0
    other = ast.literal_eval(done.stdout)
    assert other["boot_id"] == mine["boot_id"] and other["pid"] != mine["pid"]
