"""System metrics of this very machine, and how the sampling thread starts and ends."""

from __future__ import annotations

import os
import queue
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Dict, List, Tuple

import pytest

from wandb.internal.system_metrics import SystemMetrics
from wandb.internal.system_probes import Probes

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc")

BASE_KEYS = {
    "memory_percent",
    "proc.memory.availableMB",
    "proc.memory.rssMB",
    "proc.memory.percent",
    "proc.cpu.threads",
    "disk./.usageGB",
    "disk./.usagePercent",
    "network.sent",
    "network.recv",
    "network.tcpRetransmits",
}


def no_problem(text: str) -> None:
    pytest.fail(text)


def test_the_keys_are_those_of_the_real_client() -> None:
    probes = Probes(os.getpid(), ("/",), no_problem)
    first, second = probes.sample(), probes.sample()
    assert BASE_KEYS <= set(first) and "cpu" not in first
    assert BASE_KEYS | {"cpu"} <= set(second)
    assert all(isinstance(value, float) for value in second.values())


def test_the_values_are_those_that_psutil_finds() -> None:
    psutil = pytest.importorskip("psutil")
    values = Probes(os.getpid(), ("/",), no_problem).sample()
    process = psutil.Process()
    assert values["proc.memory.rssMB"] == pytest.approx(process.memory_info().rss / 2**20, rel=0.2)
    assert values["proc.cpu.threads"] == process.num_threads()
    assert values["disk./.usageGB"] == pytest.approx(shutil.disk_usage("/").used / 2**30, rel=0.1)
    assert values["disk./.usagePercent"] == pytest.approx(psutil.disk_usage("/").percent, abs=1)
    assert 0 < values["memory_percent"] <= 100 and 0 < values["proc.memory.percent"] <= 100


def test_counters_begin_at_zero() -> None:
    values = Probes(os.getpid(), ("/",), no_problem).sample()
    counters = [key for key in values if key.startswith("network.") or key.endswith((".in", ".out"))]
    assert counters and all(values[key] == 0 for key in counters)


def test_another_process_can_be_watched() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        probes = Probes(child.pid, ("/",), no_problem)
        assert probes.sample()["proc.cpu.threads"] == 1
    finally:
        child.communicate(b"\n")


def test_a_probe_that_fails_is_told_once_and_the_others_go_on() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    problems: List[str] = []
    probes = Probes(child.pid, ("/",), problems.append)
    assert "disk./.usageGB" in probes.sample() and "disk./.usageGB" in probes.sample()
    assert sorted(text.split(":")[0] for text in problems) == [
        "system metrics without Cpu",
        "system metrics without Memory",
    ]


def test_the_first_sample_comes_at_once_and_the_next_after_the_interval() -> None:
    samples: queue.Queue[Tuple[float, Dict[str, float]]] = queue.Queue()
    metrics = SystemMetrics(lambda *sample: samples.put(sample), interval_s=0.05)
    metrics.start()
    metrics.start()
    first, second = samples.get(timeout=30), samples.get(timeout=30)
    metrics.stop()
    metrics.stop()
    assert second[0] - first[0] > 0.02
    assert "cpu" not in first[1] and "cpu" in second[1]


def test_stop_ends_the_thread_in_the_midst_of_a_long_interval() -> None:
    idents: queue.Queue[int] = queue.Queue()
    metrics = SystemMetrics(lambda *sample: idents.put(threading.get_native_id()), interval_s=3600)
    metrics.start()
    thread = f"/proc/self/task/{idents.get(timeout=30)}"
    assert os.path.exists(thread)
    metrics.stop()
    wait_for_end(thread)


def test_a_stopped_sampler_may_start_again() -> None:
    samples: queue.Queue[float] = queue.Queue()
    metrics = SystemMetrics(lambda at_s, values: samples.put(at_s), interval_s=3600)
    for _ in range(3):
        metrics.start()
        samples.get(timeout=30)
        metrics.stop()


def test_a_callback_that_raises_ends_the_sampling_and_nothing_else() -> None:
    problems: queue.Queue[str] = queue.Queue()
    metrics = SystemMetrics(lambda *sample: 1 / 0, interval_s=0.01, on_problem=problems.put)  # type: ignore
    metrics.start()
    assert "ZeroDivisionError" in problems.get(timeout=30)
    metrics.stop()


def test_a_process_ends_although_it_is_sampled_and_threading_knows_its_main_thread() -> None:
    code = (
        "import time\nfrom wandb.internal.system_metrics import SystemMetrics\n"
        "seen = []\nSystemMetrics(lambda *s: seen.append(s), 0.001).start()\n"
        "while len(seen) < 5: time.sleep(0.01)\n"
        "import threading\nprint(threading.current_thread() is threading.main_thread())\n"
    )
    root = Path(__file__).parents[4]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, stdout=subprocess.PIPE, text=True, check=True
    )
    assert done.stdout == "True\n"


def test_a_forked_child_is_not_sampled_and_may_stop_what_it_inherited() -> None:
    sampled = threading.Event()
    metrics = SystemMetrics(lambda *sample: sampled.set(), interval_s=3600)
    metrics.start()
    assert sampled.wait(30)
    child = os.fork()
    if not child:
        code = 0 if len(os.listdir("/proc/self/task")) == 1 else 1
        metrics.stop()
        os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    metrics.stop()


def wait_for_end(thread: str) -> None:
    pause = threading.Event()
    for _ in range(3000):
        if not os.path.exists(thread):
            return
        pause.wait(0.01)
    pytest.fail(f"{thread} still runs")
