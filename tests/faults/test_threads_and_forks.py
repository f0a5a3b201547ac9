"""Several threads of one process, and children of it: nothing interleaves, nothing is lost, nobody waits for
ever."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import List

import pytest
from log_view import LogView

import wandb
from wandb.errors import RunFinishedError


def test_rows_of_many_threads_are_whole_and_each_has_a_step_of_its_own(wandb_init_run) -> None:
    def work(name: int) -> None:
        for number in range(200):
            wandb_init_run.log({f"t{name}": number, "nested": {"x": number}})

    threads = [threading.Thread(target=work, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wandb_init_run.finish()
    view = LogView(wandb_init_run.sync_dir)
    rows = view.rows()
    assert [row["_step"] for row in rows] == list(range(1600)) and not view.lost
    for name in range(8):
        assert [row[f"t{name}"] for row in rows if f"t{name}" in row] == list(range(200))


@pytest.mark.wandb_args(
    init={"settings": {"console": "off", "silent": True, "x_disable_stats": True, "x_disable_meta": True}}
)
def test_no_row_of_a_thread_comes_behind_the_end_of_the_run(tmp_path: Path) -> None:
    settings = {"silent": True, "console": "off", "x_disable_stats": True, "x_disable_meta": True}

    def log_on(run: wandb.Run, begun: threading.Event) -> None:
        with pytest.raises(RunFinishedError):
            while True:
                run.log({"n": 0})
                begun.set()

    for number in range(10):  # before, one in four or so ended with a row
        run = wandb.init(mode="offline", dir=tmp_path, id=f"r{number}", settings=settings)
        begun = threading.Event()
        threads = [threading.Thread(target=log_on, args=(run, begun)) for _ in range(4)]
        for thread in threads:
            thread.start()
        assert begun.wait(30)
        run.finish()
        for thread in threads:
            thread.join()
        kinds = LogView(next(tmp_path.glob(f"wandb/offline-run-*-r{number}"))).kinds()
        assert kinds[-1] == "exit" and kinds.count("exit") == 1


def test_a_forked_child_does_not_write_into_the_parent_s_log_and_may_have_a_run_of_its_own(
    wandb_init_run,
) -> None:
    wandb_init_run.log({"a": 1})
    size = os.path.getsize(wandb_init_run._directory.log)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            wandb_init_run.log({"a": 2})
            own = wandb.init(mode="offline", settings={"console": "off", "silent": True})
            assert own is not wandb_init_run and own.id != wandb_init_run.id
            own.log({"child": 1})
            own.finish()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert os.path.getsize(wandb_init_run._directory.log) == size
    wandb_init_run.log({"a": 3})
    wandb_init_run.finish()
    assert [row["a"] for row in LogView(wandb_init_run.sync_dir).rows()] == [1, 3]
    (side,) = Path(wandb_init_run.sync_dir).glob("*.side-*")
    assert LogView(side).rows() == [{"a": 2, "_step": 1}]
    logs = [LogView(path) for path in Path("wandb").glob("offline-run-*/*.wandb")]
    assert len(logs) == 2 and any(view.rows() == [{"child": 1, "_step": 0}] for view in logs)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_of_a_busy_parent_end(method: str, tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(f"""
import multiprocessing, threading
import wandb

def work(number):
    return number * 2

if __name__ == "__main__":
    run = wandb.init(mode="offline", settings={{"silent": True, "x_stats_sampling_interval": 0.1}})
    stop = threading.Event()
    def spam():
        while not stop.is_set():
            run.log({{"x": 1}})
            print("noise")
    threads = [threading.Thread(target=spam) for _ in range(3)]
    for t in threads: t.start()
    context = multiprocessing.get_context("{method}")
    for _ in range(3):
        with context.Pool(3) as pool:
            assert pool.map(work, range(20)) == [n * 2 for n in range(20)]
    stop.set()
    for t in threads: t.join()
    run.finish()
""")
    # Bytes: where several threads print, CPython before 3.12.4 may write out memory that it has not filled
    # (python/cpython#119506), which is no text.
    done = subprocess.run([sys.executable, str(script)], cwd=tmp_path, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    logs = list(tmp_path.glob("wandb/offline-run-*/*.wandb"))
    assert len(logs) == 1
    view = LogView(logs[0])
    assert (
        view.kinds()[-1] == "exit"
        and not view.lost
        and [r["_step"] for r in view.rows()] == list(range(len(view.rows())))
    )


def _run_script(tmp_path: Path, code: str, timeout: float = 120) -> LogView:
    """Run a program that forks, and return what its log says."""
    # From 3.12 on Python warns, on stderr, of forks beside threads.
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=timeout)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    (log,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    return LogView(log)


def test_children_that_are_forked_beneath_a_progress_bar_write_nothing_into_the_log(tmp_path: Path) -> None:
    view = _run_script(
        tmp_path,
        """
import os, wandb
run = wandb.init(mode="offline", settings={"silent": True})
for epoch in range(30):
    print("\\repoch", epoch, end="")
    print("\\repoch", epoch, "again", end="", flush=True)
    for i in range(40):
        run.log({"n": epoch * 40 + i, "loss": 0.5})
    for worker in range(3):
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
run.finish()
""",
    )
    assert [row["n"] for row in view.rows()] == list(range(1200)) and not view.lost
    numbers = [record.num for record in view.records]
    assert numbers == list(range(1, len(numbers) + 1))


def test_children_of_a_threaded_parent_with_a_progress_bar_end(tmp_path: Path) -> None:
    view = _run_script(
        tmp_path,
        """
import os, threading, wandb
run = wandb.init(mode="offline", settings={"silent": True})
stop = threading.Event()
def spam():
    while not stop.is_set():
        run.log({"x": 1})
threads = [threading.Thread(target=spam) for _ in range(2)]
for t in threads: t.start()
for _ in range(20):
    print("\\r1%", end="")
    print("\\r1% ", end="")
    child = os.fork()
    if child == 0:
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
stop.set()
for t in threads: t.join()
run.finish()
""",
    )
    assert not view.lost and view.kinds()[-1] == "exit"


def test_a_fork_under_redirect_ends_at_once_and_the_parent_is_heard_on(tmp_path: Path) -> None:
    view = _run_script(
        tmp_path,
        """
import os, wandb
run = wandb.init(mode="offline", settings={"silent": True, "console": "redirect"})
print("one", flush=True)
for _ in range(15):
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
for i in range(3):
    print("line", i, flush=True)
run.finish()
""",
        timeout=60,  # each fork once took ten seconds
    )
    assert view.console() == "one\nline 0\nline 1\nline 2\n"


def _sides(tmp_path: Path) -> List[LogView]:
    return [LogView(path) for path in sorted(tmp_path.glob("wandb/offline-run-*/*.side-*"))]


def test_a_child_whose_log_cannot_begin_at_first_loses_no_row(tmp_path: Path) -> None:
    _run_script(
        tmp_path,
        """
import os, resource, wandb
run = wandb.init(mode="offline", settings={"silent": True, "console": "off"})
child = os.fork()
if child == 0:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    for n in range(3):
        run.log({"n": n})
    assert not [name for name in os.listdir(run.sync_dir) if "side" in name]
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    run.log({"n": 3})
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
run.finish()
""",
    )
    (side,) = _sides(tmp_path)
    assert side.rows() == [{"n": n, "_step": n} for n in range(4)]


def test_a_child_ends_its_part_only(tmp_path: Path) -> None:
    view = _run_script(
        tmp_path,
        """
import os, sys, wandb
run = wandb.init(mode="offline", settings={"silent": True, "console": "off"})
run.log({"a": 1})
child = os.fork()
if child == 0:
    wandb.log({"child": 1})
    wandb.finish()
    assert wandb.run is None
    sys.exit(0)  # through atexit, where there is nothing left to end
assert os.waitpid(child, 0)[1] == 0
child = os.fork()
if child == 0:
    run.log({"child": 2}, commit=False)
    sys.exit(3)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
child = os.fork()
if child == 0:
    run.finish()  # of what it never recorded
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
run.log({"a": 2})
run.finish()
""",
    )
    assert [row["a"] for row in view.rows()] == [1, 2] and view.of("exit")[0].exit_code == 0
    sides = _sides(tmp_path)
    assert sorted(side.of("exit")[0].exit_code for side in sides) == [0, 3]
    assert sorted(side.rows()[0]["child"] for side in sides) == [1, 2]
    assert not any(side.of("summary") for side in sides)


def test_children_of_a_run_that_records_nothing_record_nothing(tmp_path: Path) -> None:
    code = """
import os, threading, wandb
run = wandb.init(mode="disabled")
stop = threading.Event()
def spam():
    while not stop.is_set():
        run.log({"x": 1})
thread = threading.Thread(target=spam)
thread.start()
for _ in range(20):
    child = os.fork()
    if child == 0:
        run.log({"x": 2})
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
stop.set()
thread.join()
"""
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=60)
    assert not (tmp_path / "wandb").exists()
