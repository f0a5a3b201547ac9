"""Promise 4, the disk: whatever it does, training goes on, what can be kept is kept, what is lost is told.

Real faults: a small tmpfs, a limit on file sizes, a file system that turns read-only, a directory that is
removed, errors put into system calls by strace.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, List

import pytest
from conftest import run_python
from disks import FreezingDisk, SmallDisk, strace
from log_view import LogView

import wandb
from wandb.errors import LogWriteError, UsageError, ValidationError
from wandb.sdk import wandb_history

QUIET = {"console": "off", "silent": True, "x_disable_stats": True, "x_disable_meta": True}
PROGRAM = """
import os, signal, sys
import wandb

run = wandb.init(mode="offline", id="x", settings={"console": "off", "x_start_time": 1700000000.0,
    "x_disable_stats": True, "x_disable_meta": True, "x_log_retry_interval": 0.05})
"""


def start(where: Path, **settings: Any) -> Any:
    return wandb.init(mode="offline", dir=where, settings={**QUIET, "x_log_retry_interval": 0.05, **settings})


def numbers(view: LogView) -> List[int]:
    return [row["n"] for row in view.rows()]


def losses(view: LogView) -> List[Any]:
    return [footer.lost for footer in view.of("footer") if footer.HasField("lost")]


def check_order(view: LogView) -> None:
    found = [record.num for record in view.records]
    assert found == sorted(set(found)) and not view.lost


# ---- a full disk


@pytest.mark.swallows
@pytest.mark.parametrize("thread", [False, True])
@pytest.mark.parametrize("durability", ["process", "interval", "record"])
def test_rows_of_the_time_when_the_disk_was_full_are_in_the_log_when_it_is_not(
    small_disk: SmallDisk, capfd, swallowed_errors, durability: str, thread: bool
) -> None:
    run = start(small_disk.path, silent=False, durability=durability, x_log_writer_thread=thread)
    for number in range(10):
        run.log({"n": number})
    small_disk.fill()
    for number in range(10, 1000):
        run.log({"n": number})
    small_disk.empty()
    time.sleep(0.06)
    for number in range(1000, 1010):
        run.log({"n": number})
    run.finish()
    view = LogView(run.sync_dir)
    assert numbers(view) == list(range(1010)) and [r["_step"] for r in view.rows()] == numbers(view)
    assert view.kinds()[-1] == "exit" and not losses(view)
    check_order(view)
    assert capfd.readouterr().err.count("ERROR") == 1 and len(swallowed_errors) == 1


@pytest.mark.swallows
@pytest.mark.parametrize("thread", [False, True])
def test_what_does_not_fit_into_memory_is_given_up_by_kind_and_told_in_the_log(
    small_disk: SmallDisk, capfd, thread: bool
) -> None:
    run = start(small_disk.path, silent=False, x_log_backlog_bytes=60_000, x_log_writer_thread=thread)
    run.log({"n": 0})
    small_disk.fill()
    for number in range(1, 500):
        run.log({"n": number})
        run.write_logs(f"line {number}")
    run.config["late"] = True
    small_disk.empty()
    time.sleep(0.06)
    run.finish()
    view = LogView(run.sync_dir)
    (lost,) = losses(view)
    assert lost.reason == "No space left on device" and lost.history and lost.console
    assert (
        lost.console == 499 - len(view.of("output_logger"))
        and lost.until.seconds >= lost.since.seconds > 1_700_000_000
    )
    # The tail is there and the beginning; the oldest that waited are gone, and these are the steps it says.
    assert sorted({*range(500)} - {*numbers(view)}) == list(range(lost.first_step, lost.last_step + 1))
    assert lost.history == 500 - len(numbers(view)) and view.config()["late"] is True
    check_order(view)
    printed = capfd.readouterr().err
    assert printed.count("ERROR") == 2 and "given up first" in printed


@pytest.mark.swallows
@pytest.mark.parametrize("thread", [False, True])
def test_a_loss_that_the_log_cannot_hold_is_told_at_the_end(
    small_disk: SmallDisk, capfd, thread: bool
) -> None:
    run = start(small_disk.path, silent=False, x_log_writer_thread=thread)
    small_disk.fill()
    for number in range(100):
        run.log({"n": number})
    before = time.monotonic()
    run.finish()
    assert time.monotonic() - before < 20
    view = LogView(run.sync_dir)
    missing = 100 - len(numbers(view))
    assert missing and not view.lost
    assert f"rows: {missing} (steps {100 - missing} to 99)" in capfd.readouterr().err


def test_bridged_trouble_counts_as_swallowed(small_disk: SmallDisk, request, swallowed_errors) -> None:
    run = start(small_disk.path)
    small_disk.fill()
    for number in range(100):
        run.log({"n": number})
    small_disk.empty()
    run.finish()
    assert [type(error) for error in swallowed_errors] == [LogWriteError]
    swallowed_errors.clear()  # which would have failed this test


def test_logging_on_a_full_disk_stays_cheap(tmp_path: Path, small_disk: SmallDisk) -> None:
    """Counted, not timed: system calls that write, over a thousand calls of `log`."""
    script = PROGRAM + (
        "for n in range(2000): run.log({'n': n, 'text': 'x' * 300})\nos.write(2, b'end\\n'); os._exit(0)"
    )
    traced = tmp_path / "trace"
    command = [strace(), "-f", "-qq", "-o", str(traced), "-e", "trace=pwrite64,write,pread64,ftruncate"]
    subprocess.run([*command, sys.executable, "-c", script], cwd=small_disk.path, check=True, timeout=120)
    refused = [line for line in traced.read_text().splitlines() if "ENOSPC" in line]
    assert 1 <= len(refused) < 200


# ---- raise, for those who want it


@pytest.mark.parametrize("thread", [False, True])
def test_on_error_raise_passes_on_what_the_disk_refuses(small_disk: SmallDisk, thread: bool) -> None:
    run = start(small_disk.path, on_error="raise", x_log_writer_thread=thread)
    run.log({"n": 0})
    small_disk.fill()
    with pytest.raises(LogWriteError, match="No space left"):
        for _ in range(500):
            run.log({"n": 1})
    step = run.step
    with pytest.raises(LogWriteError):
        run.config["late"] = "x" * 5000
    small_disk.empty()
    run.log({"n": 2})
    assert run.step == step + 1
    run.finish()
    view = LogView(run.sync_dir)
    assert numbers(view)[-1] == 2 and len(numbers(view)) == step + 1 and not losses(view)


def test_on_error_raise_lets_finish_do_what_it_can_and_then_raise(small_disk: SmallDisk) -> None:
    run = start(small_disk.path, on_error="raise")
    small_disk.fill()
    with pytest.raises(LogWriteError):
        for _ in range(500):
            run.log({"n": 1})
    with pytest.raises(LogWriteError):
        run.finish()
    assert wandb.run is None
    run.finish()


def test_on_error_raise_is_told_where_there_is_nobody_to_raise_to(small_disk: SmallDisk) -> None:
    script = PROGRAM.replace('"console"', '"on_error": "raise", "console"') + (
        "try:\n    for n in range(3000): run.log({'n': n, 'text': 'x' * 100})\n"
        "except wandb.sdk.wandb_run.LogWriteError: print('raised')\n"
        "open('more', 'wb').close(); os.system('cat /dev/zero > more 2>/dev/null')\n"
    )
    done = run_python(script, cwd=small_disk.path)
    assert (done.returncode, done.stdout) == (0, "raised\n") and "finish: " in done.stderr, done.stderr


@pytest.mark.swallows
def test_what_the_user_did_wrong_raises_also_while_the_disk_is_full(small_disk: SmallDisk) -> None:
    run = start(small_disk.path)
    small_disk.fill()
    for _ in range(300):
        run.log({"n": 1})
    with pytest.raises(ValidationError):
        run.log({"n": object()})
    with pytest.raises(UsageError):
        run.log("no dict")  # type: ignore[arg-type]
    run.finish()


# ---- other refusals


@pytest.mark.swallows
def test_a_file_size_limit_that_is_lifted_again(tmp_path: Path) -> None:
    run = start(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, hard))
        for number in range(200):
            run.log({"n": number})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    run.finish()
    view = LogView(run.sync_dir)
    assert numbers(view) == list(range(200)) and view.kinds()[-1] == "exit"
    check_order(view)


@pytest.mark.swallows
@pytest.mark.parametrize("thread", [False, True])
def test_a_file_system_that_turns_read_only(freezing_disk: FreezingDisk, capfd, thread: bool) -> None:
    run = start(freezing_disk.path, silent=False, x_log_writer_thread=thread)
    run.log({"n": 0})
    freezing_disk.break_()
    for number in range(1, 50):
        run.log({"n": number})
    run.finish()
    assert numbers(LogView(run.sync_dir)) == [0]
    printed = capfd.readouterr().err
    assert "rows: 49 (steps 1 to 49)" in printed and "Traceback" not in printed


@pytest.mark.swallows
@pytest.mark.parametrize("error", ["EIO", "EDQUOT", "ESTALE", "EROFS", "ENOSPC"])
@pytest.mark.parametrize("thread", [False, True])
def test_an_error_that_passes_costs_nothing(tmp_path: Path, error: str, thread: bool) -> None:
    """The 10th to 14th write to the log fail."""
    script = PROGRAM.replace('"console"', f'"x_log_writer_thread": {thread}, "console"') + (
        "import time\n"
        "for n in range(60):\n    run.log({'n': n})\n    time.sleep(0.01 if n % 5 else 0.06)\nrun.finish()\n"
    )
    log = tmp_path / "wandb" / "offline-run-20231114_221320-x" / "run-x.wandb"
    environ = {**os.environ, "TZ": "UTC"}
    command = [strace(), "-f", "-qq", "-o", os.devnull, "-P", str(log)]
    command += ["-e", "trace=write", "-e", f"inject=write:error={error}:when=10..14"]
    done = subprocess.run(
        [*command, sys.executable, "-c", script],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0 and done.stderr.count("ERROR") == 1, done.stderr
    view = LogView(log)
    assert numbers(view) == list(range(60)) and view.kinds()[-1] == "exit"
    check_order(view)


# ---- a directory that is gone


@pytest.mark.swallows
@pytest.mark.parametrize("thread", [False, True])
def test_a_directory_that_was_removed_is_told_and_not_made_anew(tmp_path: Path, capfd, thread: bool) -> None:
    run = start(tmp_path, silent=False, x_log_writer_thread=thread)
    run.log({"n": 0})
    shutil.rmtree(tmp_path / "wandb")
    for number in range(1, 400):
        run.log({"n": number, "text": "x" * 200})
    run.finish()
    assert not (tmp_path / "wandb").exists()
    printed = capfd.readouterr().err
    assert "removed" in printed and "rows: " in printed and "Traceback" not in printed


@pytest.mark.swallows
def test_a_run_that_logs_too_little_to_notice_is_told_at_the_end_that_its_log_is_gone(
    tmp_path: Path, capfd
) -> None:
    run = start(tmp_path, silent=False)
    shutil.rmtree(tmp_path / "wandb")
    run.log({"n": 0})
    run.finish()
    assert "removed" in capfd.readouterr().err


def test_a_directory_that_is_moved_takes_the_log_with_it(tmp_path: Path) -> None:
    run = start(tmp_path)
    run.log({"n": 0})
    os.rename(tmp_path / "wandb", tmp_path / "elsewhere")
    for number in range(1, 400):
        run.log({"n": number, "text": "x" * 200})
    run.finish()
    (log,) = (tmp_path / "elsewhere").glob("offline-run-*/*.wandb")
    assert numbers(LogView(log)) == list(range(400))


@pytest.mark.swallows
def test_a_log_that_is_put_back_is_continued(tmp_path: Path) -> None:
    run = start(tmp_path, durability="process")
    run.log({"n": 0})
    shutil.copytree(tmp_path / "wandb", tmp_path / "copy", symlinks=True)
    shutil.rmtree(tmp_path / "wandb")
    run._backend._writer._room = 0  # the end of the block has come: nothing went into the removed file
    run.log({"n": 1})
    os.rename(tmp_path / "copy", tmp_path / "wandb")
    time.sleep(0.06)
    for number in range(2, 10):
        run.log({"n": number})
    run.finish()
    view = LogView(run.sync_dir)
    assert numbers(view) == list(range(10))
    check_order(view)


# ---- the process around it


def test_a_closed_stderr_never_raises(small_disk: SmallDisk) -> None:
    script = PROGRAM + (
        "os.close(2)\n"
        "for n in range(3000): run.log({'n': n})\n"  # the disk is full by then
        "sys.stderr.close()\n"
        "for n in range(100): run.log({'n': n})\n"
        "sys.stderr = None\n"
        "for n in range(100): run.log({'n': n})\n"
        "run.finish()\nprint('trained')\n"
    )
    done = run_python(script, cwd=small_disk.path)
    assert done.stdout == "trained\n" and done.returncode == 0


def test_a_broken_pipe_on_stderr_never_raises_nor_kills(small_disk: SmallDisk) -> None:
    script = PROGRAM + "for n in range(3000): run.log({'n': n})\nrun.finish()\nprint('trained')\n"
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=small_disk.path,
        stdout=subprocess.PIPE,
        stderr=write_end,
        timeout=60,
    )
    os.close(write_end)
    assert done.stdout == b"trained\n" and done.returncode in (0, 120)  # 120: Python could not flush stderr


@pytest.mark.parametrize("ending", ["sigterm", "atexit", "exception"])
def test_a_process_that_ends_in_the_midst_of_trouble_ends_as_it_would(
    small_disk: SmallDisk, ending: str
) -> None:
    code, status = {
        "sigterm": ("os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM),
        "atexit": ("", 0),
        "exception": ("1 / 0", 1),
    }[ending]
    script = PROGRAM + f"for n in range(3000): run.log({{'n': n}})\n{code}\n"
    done = run_python(script, cwd=small_disk.path)
    assert done.returncode == status and "lacks what could not be written" in done.stderr


def test_a_fork_in_the_midst_of_trouble(small_disk: SmallDisk) -> None:
    script = PROGRAM + (
        "for n in range(3000): run.log({'n': n})\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    run.log({'n': -1})\n"
        "    sys.exit(7)\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7\n"
        "os.system('mount -o remount,size=4m .')\n"
        "run.finish()\n"
    )
    done = run_python(script, cwd=small_disk.path)
    assert done.returncode == 0, done.stderr
    view = LogView(next(small_disk.path.glob("wandb/offline-run-*")))
    assert numbers(view) == list(range(3000))
    check_order(view)


def test_the_exit_record_of_a_killed_job_is_in_the_log_once_there_is_room(small_disk: SmallDisk) -> None:
    script = PROGRAM + (
        "for n in range(3000): run.log({'n': n})\n"
        "os.system('mount -o remount,size=4m .')\n"
        "os.kill(os.getpid(), signal.SIGTERM)\n"
    )
    done = run_python(script, cwd=small_disk.path)
    view = LogView(next(small_disk.path.glob("wandb/offline-run-*")))
    assert done.returncode == -signal.SIGTERM and numbers(view) == list(range(3000))
    assert view.of("exit")[0].exit_code == 143


@pytest.mark.swallows
@pytest.mark.parametrize("thread", [False, True])
def test_rows_given_up_leave_no_hole_before_what_goes_on_with_the_run(
    small_disk: SmallDisk, monkeypatch: pytest.MonkeyPatch, thread: bool
) -> None:
    """Lines are counted when they are logged; notes of what the run has come to lack what was given up."""
    monkeypatch.setattr(wandb_history, "SUMMARY_EVERY_S", 0.0)  # a note with each row
    settings = {"x_log_backlog_bytes": 60_000, "x_log_writer_thread": thread, "run_id": "x"}
    run = start(small_disk.path, **settings)
    run.log({"n": 0})
    small_disk.fill()
    for number in range(1, 600):
        run.log({"n": number})
        if number % 50 == 1:
            run.log({"n": -number}, step=0)
    small_disk.empty()
    time.sleep(0.06)
    for number in range(600, 610):
        run.log({"n": number})
    run.finish()
    view = LogView(run.sync_dir)
    assert 10 < len(view.rows()) < 610 and losses(view)
    late = sum(footer.HasField("late") for footer in view.of("footer"))
    # Each note, wherever it stands, counts the rows that stand before it.
    n_rows = n_late = n_notes = 0
    for record in view.records:
        n_rows += record.HasField("history")
        n_late += record.footer.HasField("late")
        if record.footer.HasField("state"):
            lines = record.footer.state.lines
            assert (lines.history, lines.late_history) == (n_rows, n_late)
            n_notes += 1
    assert n_notes > 10
    later = start(small_disk.path, run_id="x", resume="must")
    assert later.step == 610
    later.finish()
    begin = LogView(later.sync_dir).of("run")[0].segment.begin
    assert (begin.history, begin.late_history) == (len(view.rows()), late)
