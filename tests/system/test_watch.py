"""`wandb sync --watch`: a tree of real runs, the real server, and what goes on around them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

import pytest
from log_builder import LogBuilder

from wandb.transaction_log.writer import Writer

TIMEOUT_S = 60.0
TREE = Path("tree")
LATENCY_S = 2.0  # what is promised; on a machine that is shared the tests grant ten times as much


def until(condition: Callable[[], Any], what: str, within_s: float = TIMEOUT_S) -> float:
    """Wait until a condition holds; return how long that took, in seconds."""
    began_s = time.monotonic()
    while time.monotonic() < began_s + within_s:
        if condition():
            return time.monotonic() - began_s
        time.sleep(0.02)
    raise AssertionError(f"not within {within_s:g} s: {what}")


class Watch:
    """A watch of the tree in a process of its own."""

    def __init__(self, server: Any, *options: str) -> None:
        self._command = [sys.executable, "-m", "wandb_sync", "--watch", "--json", *options, str(TREE)]
        self._environ = {**os.environ, **server.environ}
        self._process: Optional[subprocess.Popen[bytes]] = None
        self.start()

    def start(self) -> None:
        with open("watch.ndjson", "ab") as output:
            self._process = subprocess.Popen(
                self._command, stdout=output, stderr=subprocess.STDOUT, env=self._environ
            )

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal; return the exit status."""
        process, self._process = self._process, None
        assert process is not None
        process.send_signal(number)
        return process.wait(TIMEOUT_S)

    def close(self) -> None:
        if self._process is not None:
            self.end(signal.SIGKILL)

    def events(self, name: str) -> List[Any]:
        lines = Path("watch.ndjson").read_text().splitlines()
        found = [json.loads(line) for line in lines if line.startswith("{")]
        return [one for one in found if one["event"] == name]


@pytest.fixture(
    params=[pytest.param((), marks=pytest.mark.long), ("--no-inotify",)], ids=["events", "polling"]
)
def watch(request: pytest.FixtureRequest, live_mock_server: Any) -> Iterator[Watch]:
    watch = Watch(live_mock_server, *request.param)
    yield watch
    watch.close()


@pytest.fixture
def polling(live_mock_server: Any) -> Iterator[Watch]:
    watch = Watch(live_mock_server, "--no-inotify")
    yield watch
    watch.close()


def alive(run_id: str) -> LogBuilder:
    """Return the log of a run whose writer is this process, and so alive."""
    from wandb.internal.environment import writer_identity

    return LogBuilder(TREE, run_id, writer=writer_identity())


def states(server: Any) -> Dict[str, Tuple[str, Optional[int]]]:
    return {run["name"]: (run["state"], run["exitcode"]) for run in server.runs()}


def n_rows(server: Any, run_id: str) -> int:
    found = [run for run in server.runs() if run["name"] == run_id]
    return found[0]["counts"]["history"] if found else 0


def is_finished(server: Any, run_id: str) -> bool:
    return states(server).get(run_id) == ("finished", 0)


def test_new_runs_are_found_and_their_rows_arrive_at_once(watch: Watch, live_mock_server: Any) -> None:
    logs = []
    for run_id in ("first", "second"):
        log = alive(run_id).rows(1)
        until(lambda: n_rows(live_mock_server, run_id) == 1, "the first row", 10 * LATENCY_S)
        logs.append(log)
    for log in logs:
        log.rows(3)
        until(lambda: n_rows(live_mock_server, log.run_id) == 4, "more rows", 10 * LATENCY_S)
    for log in logs:
        log.exit(0)
        until(lambda: is_finished(live_mock_server, log.run_id), "the end")
    assert watch.end() == 143


@pytest.mark.long
def test_runs_that_were_killed_are_finished_and_those_of_others_when_they_are_silent(
    polling: Watch, live_mock_server: Any, tmp_path: Path
) -> None:
    code = """
import os, sys, wandb
run = wandb.init(mode="offline", id="killed", dir=sys.argv[1])
run.log({"a": 1})
os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", code, str(TREE)], capture_output=True, timeout=TIMEOUT_S)
    elsewhere = LogBuilder(TREE / "wandb", "elsewhere").rows(2)
    os.utime(elsewhere.path, (0, time.time() - 301))
    until(lambda: n_rows(live_mock_server, "killed") == 1, "the row")
    for run_id in ("killed", "elsewhere"):
        until(lambda: states(live_mock_server).get(run_id) == ("failed", 1), f"the end of {run_id}")


@pytest.mark.long
def test_a_run_that_the_server_does_not_answer_holds_up_no_other(
    polling: Watch, live_mock_server: Any
) -> None:
    stuck = [alive(f"stuck{n}") for n in range(3)]
    until(lambda: len(live_mock_server.runs()) == 3, "the runs")
    live_mock_server.fault("hang", path="/stuck0/file_stream", times=1000)
    live_mock_server.fault("status", path="/stuck[12]/file_stream", status=503, times=1000)
    for log in stuck:
        log.rows(1)
    other = alive("other")
    for n in range(1, 6):
        other.rows(1)
        until(lambda: n_rows(live_mock_server, "other") == n, "a row of the other", 10 * LATENCY_S)
    live_mock_server.clear_faults()
    until(lambda: n_rows(live_mock_server, "stuck1") == 1, "the row of one that was stuck")


@pytest.mark.long
def test_a_large_run_gives_the_others_a_turn(live_mock_server: Any) -> None:
    large = LogBuilder(TREE, "large", directory="offline-run-20260101_000000-large")
    for _ in range(24):
        large.row(text="x" * 1_000_000)
    large.exit(0)
    small = LogBuilder(TREE, "small").rows(1).exit(0)
    live_mock_server.fault("delay", path="/large/file_stream", seconds=1.2, times=1000)
    watch = Watch(live_mock_server, "--parallel", "1")
    try:
        until(lambda: is_finished(live_mock_server, "small"), "the small run")
        assert not is_finished(live_mock_server, "large") and small.path.exists()
        until(lambda: is_finished(live_mock_server, "large"), "the large run")
        assert n_rows(live_mock_server, "large") == 24
    finally:
        watch.close()


@pytest.mark.long
def test_it_survives_its_own_end_and_that_of_the_server(polling: Watch, live_mock_server: Any) -> None:
    log = alive("long").rows(2)
    until(lambda: n_rows(live_mock_server, "long") == 2, "rows")
    polling.end(signal.SIGKILL)
    log.rows(2)
    polling.start()
    until(lambda: n_rows(live_mock_server, "long") == 4, "rows after its restart")
    live_mock_server.kill()
    log.rows(2)
    time.sleep(1.5)
    live_mock_server.restart()
    until(lambda: n_rows(live_mock_server, "long") == 6, "rows after the server's restart")
    log.rows(1).exit(0)
    until(lambda: is_finished(live_mock_server, "long"), "the end")


@pytest.mark.long
def test_directories_may_be_moved_removed_and_exchanged_under_it(watch: Watch, live_mock_server: Any) -> None:
    removed, moved, stays = alive("removed").rows(1), alive("moved").rows(1), alive("stays").rows(1)
    for run_id in ("removed", "moved", "stays"):
        until(lambda: n_rows(live_mock_server, run_id) == 1, "the first row")
    shutil.rmtree(removed.directory)
    archive = TREE / "archived-moved"
    moved.directory.rename(archive)
    moved.rows(1)
    stays.rows(1)
    until(lambda: n_rows(live_mock_server, "stays") == 2, "the row of the one that stays")
    until(lambda: n_rows(live_mock_server, "moved") == 2, "the row of the one that was moved")
    TREE.rename("tree.1")
    TREE.mkdir()
    fresh = alive("fresh").rows(1).exit(0)
    until(lambda: is_finished(live_mock_server, fresh.run_id), "the run in the new tree")
    (done,) = [one for one in watch.events("run_done") if "-removed/" in one["log"]]
    assert done["status"] == "skipped" and "removed" in done["reason"]
    assert states(live_mock_server)["removed"] == ("running", None)  # nobody knows how it has ended


@pytest.mark.long
def test_a_copy_that_is_replaced_by_a_newer_one_is_read_on(polling: Watch, live_mock_server: Any) -> None:
    log = alive("copied").rows(2)
    until(lambda: n_rows(live_mock_server, "copied") == 2, "rows")
    newer = Path("newer")  # as rsync does it: beside, then in its place
    shutil.copy(log.path, newer)
    log.writer.close()
    log.writer = Writer.append_to(newer)
    log.rows(3)
    os.replace(newer, log.path)
    until(lambda: n_rows(live_mock_server, "copied") == 5, "the rows of the copy")
    assert not polling.events("checkpoint_discarded")


@pytest.mark.long
def test_a_side_log_that_comes_after_the_run_was_done_is_seen(polling: Watch, live_mock_server: Any) -> None:
    code = """
import os, wandb
run = wandb.init(project="p", id="late", mode="offline", settings={"silent": True, "console": "off"})
pid = os.fork()
if not pid:
    run.log({"child": 1})
    os._exit(0)
os.waitpid(pid, 0)
run.log({"parent": 1})
run.finish()
"""
    TREE.mkdir(exist_ok=True)
    elsewhere = Path("elsewhere")
    elsewhere.mkdir()
    subprocess.run([sys.executable, "-c", code], cwd=elsewhere, check=True)
    (directory,) = elsewhere.glob("wandb/offline-run-*")
    (side,) = directory.glob("*.side-*")
    side.rename("late")
    directory.rename(TREE / directory.name)

    def n_rows() -> int:
        (run,) = live_mock_server.runs()
        return len(live_mock_server.run(run["entity"], run["project"], run["id"])["history"])

    until(lambda: polling.events("run_done"), "it is done")
    assert n_rows() == 1
    os.rename("late", TREE / directory.name / side.name)
    until(lambda: len(polling.events("run_done")) == 2, "the side log has arrived", 120)
    assert n_rows() == 2
