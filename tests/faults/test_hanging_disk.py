"""Promise 4, a file system that does not answer: the loop is held once, for a stated time, and nothing is
lost that is not told.

An ext4 is frozen: what writes to it sleeps until it is thawed, and no signal wakes it.
"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
from pathlib import Path
from typing import Any, List

import pytest
from disks import FreezingDisk
from log_view import LogView

import wandb
from wandb.errors import LogWriteError

QUIET = {"console": "off", "silent": True, "x_disable_stats": True, "x_disable_meta": True}
TIMEOUT_S = 0.5  # of the setting
MUCH_S = 15.0  # what no call may take, on whatever machine


def start(where: Path, **settings: Any) -> Any:
    thread = {"x_log_writer_thread": True, "x_log_write_timeout": TIMEOUT_S, "x_log_retry_interval": 0.05}
    return wandb.init(mode="offline", dir=where, settings={**QUIET, **thread, **settings})


def numbers(view: LogView) -> List[int]:
    return [row["n"] for row in view.rows()]


def check_order(view: LogView) -> None:
    found = [record.num for record in view.records]
    assert found == sorted(set(found)) and not view.lost


def log(run: Any, rows: Any) -> List[float]:
    """Log rows; return the seconds of each call."""
    took = []
    for number in rows:
        began = time.monotonic()
        run.log({"n": number})
        took.append(time.monotonic() - began)
    return took


@pytest.mark.swallows
@pytest.mark.parametrize("durability", ["process", "interval", "record"])
def test_the_loop_is_held_once_and_all_rows_are_there_when_the_disk_answers_again(
    freezing_disk: FreezingDisk, capfd, swallowed_errors, durability: str
) -> None:
    run = start(freezing_disk.path, silent=False, durability=durability)
    log(run, range(10))
    time.sleep(0.3)  # the first sync of "interval"
    freezing_disk.freeze()
    took = log(run, range(10, 1000))
    assert TIMEOUT_S <= max(took) < MUCH_S and sum(took) - max(took) < MUCH_S
    freezing_disk.thaw()
    log(run, range(1000, 1010))
    run.finish()
    view = LogView(run.sync_dir)
    assert numbers(view) == list(range(1010)) and view.kinds()[-1] == "exit"
    check_order(view)
    assert capfd.readouterr().err.count("ERROR") == 1 and len(swallowed_errors) == 1


@pytest.mark.swallows
def test_the_thread_writes_what_waits_also_when_nobody_calls(freezing_disk: FreezingDisk) -> None:
    run = start(freezing_disk.path)
    freezing_disk.freeze()
    log(run, range(100))
    freezing_disk.thaw()
    until = time.monotonic() + MUCH_S
    while len(numbers(LogView(run.sync_dir))) < 100 and time.monotonic() < until:
        time.sleep(0.02)
    assert numbers(LogView(run.sync_dir)) == list(range(100))
    run.finish()


@pytest.mark.swallows
def test_memory_is_bounded_while_the_disk_hangs(freezing_disk: FreezingDisk) -> None:
    run = start(freezing_disk.path, x_log_backlog_bytes=20_000)
    freezing_disk.freeze()
    log(run, range(500))
    assert run._backend._backlog.n_bytes <= 20_000
    freezing_disk.thaw()
    run.finish()
    view = LogView(run.sync_dir)
    # More than one, if the thread got a record out while the others came.
    losses = [footer.lost for footer in view.of("footer") if footer.HasField("lost") and footer.lost.history]
    gone = sorted({*range(500)} - {*numbers(view)})
    assert gone == [n for lost in losses for n in range(lost.first_step, lost.last_step + 1)]
    assert len(gone) == sum(lost.history for lost in losses) > 0
    assert all("has not answered" in lost.reason for lost in losses)
    check_order(view)


@pytest.mark.swallows
def test_finish_does_not_wait_for_ever_and_what_it_left_is_written_later(
    freezing_disk: FreezingDisk, capfd
) -> None:
    run = start(freezing_disk.path, silent=False)
    freezing_disk.freeze()
    log(run, range(20))
    began = time.monotonic()
    run.finish()
    assert time.monotonic() - began < MUCH_S
    assert "rows: 20 (steps 0 to 19)" in capfd.readouterr().err
    freezing_disk.thaw()
    until = time.monotonic() + MUCH_S
    while "exit" not in LogView(run.sync_dir).kinds() and time.monotonic() < until:
        time.sleep(0.02)
    assert numbers(LogView(run.sync_dir)) == list(range(20))


@pytest.mark.swallows
def test_other_threads_are_not_held_longer_than_the_one_that_waits(freezing_disk: FreezingDisk) -> None:
    run = start(freezing_disk.path)
    freezing_disk.freeze()
    took: List[float] = []
    threads = [threading.Thread(target=lambda: took.append(max(log(run, range(20))))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(took) == 8 and max(took) < MUCH_S
    freezing_disk.thaw()
    run.finish()
    assert len(numbers(LogView(run.sync_dir))) == 160


@pytest.mark.swallows
def test_a_forked_child_is_not_caught_in_the_parent_s_trouble(
    freezing_disk: FreezingDisk, tmp_path: Path
) -> None:
    run = start(freezing_disk.path)
    freezing_disk.freeze()
    log(run, range(20))
    child = os.fork()
    if child == 0:
        status = 1
        try:
            run.finish()  # not the child's to finish; must not wait
            own = wandb.init(mode="offline", dir=tmp_path, settings=QUIET)
            own.log({"n": 1})
            own.finish()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    freezing_disk.thaw()
    run.finish()
    assert numbers(LogView(run.sync_dir)) == list(range(20))
    (log_of_child,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    assert numbers(LogView(log_of_child)) == [1]


def test_on_error_raise_raises_when_the_time_is_over(freezing_disk: FreezingDisk) -> None:
    run = start(freezing_disk.path, on_error="raise")
    log(run, range(3))
    freezing_disk.freeze()
    for _ in range(2):
        with pytest.raises(LogWriteError, match="has not answered"):
            run.log({"n": 3})
    freezing_disk.thaw()
    until = time.monotonic() + MUCH_S
    while time.monotonic() < until:
        try:
            run.log({"n": 4})
            break
        except LogWriteError:
            time.sleep(0.02)
    run.finish()
    # The row whose call raised was under way already, and nothing could call it back.
    assert numbers(LogView(run.sync_dir)) == [0, 1, 2, 3, 4]


PROGRAM = """
import os, signal, sys
import wandb

run = wandb.init(mode="offline", settings={"console": "off", "x_disable_stats": True, "x_disable_meta": True,
    "x_log_writer_thread": True, "x_log_write_timeout": 1.0})
run.log({"n": 0})
print("open", flush=True)
sys.stdin.readline()
for n in range(1, 100): run.log({"n": n})
"""
ALARM = """
signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
signal.setitimer(signal.ITIMER_REAL, 0.3)
for n in"""

ENDINGS = {
    "end of script": (PROGRAM, 0),
    "SIGTERM": (PROGRAM + "os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM),
    "SIGTERM while a call waits": (PROGRAM.replace("\nfor n in", ALARM), -signal.SIGTERM),
    "exception": (PROGRAM + "1 / 0", 1),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_process_ends_although_its_writer_is_stuck(ending: str, freezing_disk: FreezingDisk) -> None:
    """The kernel lets the process go when the disk is thawed; our part is over when its main thread is."""
    program, status = ENDINGS[ending]
    command = [sys.executable, "-c", program]
    process = subprocess.Popen(
        command,
        cwd=freezing_disk.path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None and process.stdout is not None
    assert process.stdout.readline() == "open\n"
    freezing_disk.freeze()
    process.stdin.write("go on\n")
    process.stdin.flush()
    until = time.monotonic() + 2 * MUCH_S
    while _state(process.pid) != "Z" and time.monotonic() < until:
        time.sleep(0.02)
    state = _state(process.pid)
    freezing_disk.thaw()
    _, printed = process.communicate(timeout=60)
    assert state == "Z" and process.returncode == status, printed
    assert "lacks what could not be written" in printed
    view = LogView(next(freezing_disk.path.glob("wandb/offline-run-*")))
    assert numbers(view) == list(range(len(numbers(view)))) and numbers(view) and not view.lost


def _state(pid: int) -> str:
    """Return the state of a process's main thread as in /proc: Z if it has ended."""
    return Path(f"/proc/{pid}/task/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.mark.swallows
@pytest.mark.parametrize("bundled", [False, True])
def test_saving_files_holds_the_loop_once_and_they_are_there_when_the_disk_answers_again(
    freezing_disk: FreezingDisk, tmp_path: Path, swallowed_errors: List[BaseException], bundled: bool
) -> None:
    for name in ("a", "b", "late"):
        (tmp_path / name).write_text(name)
    run = start(freezing_disk.path, bundle_files=bundled)
    run.save(str(tmp_path / "a"), base_path=tmp_path, policy="now")
    freezing_disk.freeze()
    took = []
    for name, policy in (("b", "now"), ("late", "end"), ("a", "now")):
        began = time.monotonic()
        assert run.save(str(tmp_path / name), base_path=tmp_path, policy=policy)
        took.append(time.monotonic() - began)
    assert max(took) < MUCH_S
    assert sum(isinstance(error, TimeoutError) for error in swallowed_errors) == 1
    # What the user did wrong raises at once all the same.
    with pytest.raises(ValueError, match="policies"):
        run.save("x", policy="sometimes")
    freezing_disk.thaw()
    run.finish()
    if bundled:
        with tarfile.open(next(Path(run.sync_dir).glob("*.files.tar"))) as tar:
            assert sorted(tar.getnames()) == ["a", "a", "b", "late"]
    else:
        assert {path.name: path.read_text() for path in Path(run.dir).iterdir()} == {
            name: name for name in ("a", "b", "late")
        }
    view = LogView(run.sync_dir)
    assert [file.path for files in view.of("files") for file in files.files] == ["a", "b", "late", "a"]


@pytest.mark.swallows
def test_finish_does_not_wait_for_files_for_ever(freezing_disk: FreezingDisk, tmp_path: Path) -> None:
    (tmp_path / "late").write_text("late")
    run = start(freezing_disk.path)
    run.save(str(tmp_path / "late"), base_path=tmp_path)
    freezing_disk.freeze()
    began = time.monotonic()
    run.finish()
    assert time.monotonic() - began < MUCH_S
    freezing_disk.thaw()
    until = time.monotonic() + MUCH_S
    while Path(run.dir, "late").is_symlink() and time.monotonic() < until:
        time.sleep(0.02)
    assert not Path(run.dir, "late").is_symlink() and Path(run.dir, "late").read_text() == "late"


@pytest.mark.swallows
@pytest.mark.parametrize("bundled", [False, True])
def test_media_hold_the_loop_once_and_cost_no_row(
    freezing_disk: FreezingDisk, tmp_path: Path, capfd, swallowed_errors: List[BaseException], bundled: bool
) -> None:
    (tmp_path / "a.obj").write_text("v 0 0 0\n")
    run = start(freezing_disk.path, silent=False, bundle_files=bundled)

    def log_media(number: int) -> float:
        pages = [wandb.Html(f"{number}"), wandb.Html(f"{number}!")]
        thing = wandb.Object3D(str(tmp_path / "a.obj"))
        began = time.monotonic()
        run.log({"n": number, "pages": pages, "thing": thing, "deep": {"page": pages[0]}})
        return time.monotonic() - began

    log_media(0)
    freezing_disk.freeze()
    took = [log_media(number) for number in range(1, 100)]
    # Once for the files, and once for the log.
    assert TIMEOUT_S <= max(took) < 2 * MUCH_S and sum(took) - max(took) < MUCH_S
    given_up = [error for error in swallowed_errors if "its file could not be written" in str(error)]
    assert len(given_up) == 99 * 3 and run._files._work.n_waiting == 1
    freezing_disk.thaw()
    until = time.monotonic() + MUCH_S
    while run._files._work.n_waiting and time.monotonic() < until:
        time.sleep(0.02)
    log_media(100)
    run.finish()
    assert capfd.readouterr().err.count("its file could not be written") == 1
    view = LogView(run.sync_dir)
    assert numbers(view) == list(range(101))
    check_order(view)
    whole = [row for row in view.rows() if "thing" in row]
    assert [row["n"] for row in whole] == [row["n"] for row in view.rows() if "pages" in row] == [0, 100]
    recorded = {file.path for record in view.of("files") for file in record.files}
    files = Path(run.dir)
    if bundled:
        files = tmp_path / "unpacked"
        files.mkdir()
        subprocess.run(["tar", "-xf", f"{run.sync_dir}/run-{run.id}.files.tar", "-C", str(files)], check=True)
    for row in whole:
        for one in (*row["pages"]["html"], row["thing"], row["deep"]["page"]):
            assert one["path"] in recorded
            content = (files / one["path"]).read_bytes()
            assert hashlib.sha256(content).hexdigest() == one["sha256"] and len(content) == one["size"]
    assert len(recorded) == 8


@pytest.mark.swallows
def test_finish_waits_for_no_media(freezing_disk: FreezingDisk) -> None:
    run = start(freezing_disk.path)
    freezing_disk.freeze()
    began = time.monotonic()
    run.log({"n": 0, "page": wandb.Html("x")})
    run.finish()
    assert time.monotonic() - began < MUCH_S
    freezing_disk.thaw()
    until = time.monotonic() + MUCH_S
    while "exit" not in LogView(run.sync_dir).kinds() and time.monotonic() < until:
        time.sleep(0.02)
    assert numbers(LogView(run.sync_dir)) == [0] and "page" not in LogView(run.sync_dir).rows()[0]


def test_media_raise_when_the_time_is_over_where_that_is_asked_for(freezing_disk: FreezingDisk) -> None:
    run = start(freezing_disk.path, on_error="raise")
    freezing_disk.freeze()
    for _ in range(2):
        with pytest.raises(LogWriteError, match="page.*does not answer"):
            run.log({"n": 0, "page": wandb.Html("x")})
    freezing_disk.thaw()
    run.log({"n": 1})
    run.finish()
    assert numbers(LogView(run.sync_dir)) == [1]
