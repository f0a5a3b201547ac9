"""Work that nobody waits for longer than stated."""

from __future__ import annotations

import threading
import time
from typing import List

import pytest

from wandb.internal import bounded_work
from wandb.internal.bounded_work import BoundedWork


def unexpected(error: Exception) -> None:
    raise AssertionError(error)


def fail() -> None:
    raise OSError("as it failed")


@pytest.mark.parametrize("timeout_s", [None, 30.0])
def test_the_caller_waits_and_hears_what_went_wrong(timeout_s: float) -> None:
    work = BoundedWork(timeout_s)
    done: List[int] = []
    for number in range(100):
        work.do(lambda: done.append(number), unexpected)
        assert done[-1] == number
    with pytest.raises(OSError, match="as it failed"):
        work.do(fail, unexpected)
    with pytest.raises(OSError, match="as it failed"):
        work.do_in_time(fail, 0)
    work.do(lambda: done.append(-1), unexpected)
    assert done[-1] == -1 and work.n_waiting == 0
    assert work.do_in_time(lambda: "result", 0) == "result"


def test_what_is_of_no_use_later_does_not_wait_at_all_once_it_was_too_long() -> None:
    work = BoundedWork(0.05)
    answers = threading.Event()
    done: List[str] = []
    with pytest.raises(TimeoutError, match="does not answer"):
        work.do_in_time(lambda: done.append(str(answers.wait(60))), 1000)
    for _ in range(3):
        with pytest.raises(TimeoutError, match="does not answer"):
            work.do_in_time(lambda: done.append("too late"), 10**12)
    assert work.n_waiting == 1
    work.do(lambda: done.append("kept"), unexpected)
    answers.set()
    until = time.monotonic() + 30
    while work.n_waiting and time.monotonic() < until:
        time.sleep(0.005)
    assert work.do_in_time(lambda: "all is well", 0) == "all is well"
    assert done == ["True", "kept"]


def test_once_it_was_too_long_nobody_waits_until_all_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_work, "MAX_WAITING", 5)
    work = BoundedWork(0.05)
    answers = threading.Event()
    done: List[str] = []
    failed: List[Exception] = []
    with pytest.raises(TimeoutError, match="no answer"):
        work.do(lambda: done.append(str(answers.wait(60))), failed.append)
    work.do(lambda: done.append("second"), failed.append)
    work.do(fail, failed.append)
    work.do(lambda: done.append("third"), failed.append)
    work.do(lambda: done.append("fourth"), failed.append)
    with pytest.raises(OSError, match="too much waits"):
        work.do(lambda: done.append("too much"), failed.append)
    assert done == []
    answers.set()
    until = time.monotonic() + 30
    while work.n_waiting and time.monotonic() < until:
        time.sleep(0.005)
    assert done == ["True", "second", "third", "fourth"] and [str(e) for e in failed] == ["as it failed"]
    work.do(lambda: done.append("all is well"), unexpected)
    assert done[-1] == "all is well"


def test_much_is_given_the_time_that_a_slow_file_system_takes() -> None:
    work = BoundedWork(0.05)
    assert (
        work.do_in_time(lambda: time.sleep(0.3) or "written", 60 * bounded_work.SLOW_BYTES_PER_S) == "written"
    )


def test_threads_that_come_at_once_each_get_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    work = BoundedWork(30.0)
    done: List[int] = []

    def call(number: int) -> None:
        for n in range(50):
            work.do(lambda: done.append(number * 50 + n), unexpected)

    callers = [threading.Thread(target=call, args=(number,)) for number in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert sorted(done) == list(range(400))
