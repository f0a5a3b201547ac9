"""A run in online mode: real programs, their real syncers, the real server; any of them killed."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional

import pytest
from fixtures_server import ServerProcess
from log_builder import LogBuilder

from wandb import live_file
from wandb.internal.environment import writer_identity
from wandb.processes import Life, ProcessId, life_of
from wandb_sync.live_sync import LiveSync

TIMEOUT_S = 60.0
# Rows until somebody makes the file "stop"; the program says where it is.
LOOP = """
import os, sys, time, wandb
run = wandb.init(project=sys.argv[1], id="r", settings={"x_disable_stats": True})
print(run.name, run.url, run.entity, run.project_url, run.path, flush=True)
n = 0
while not os.path.exists("stop"):
    run.log({"n": n})
    n += 1
    time.sleep(0.02)
run.finish()
print("rows", n, flush=True)
"""


def until(condition: Callable[[], Any], what: str) -> Any:
    """Wait until a condition holds, and return its value."""
    end_s = time.monotonic() + TIMEOUT_S
    while time.monotonic() < end_s:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"not within {TIMEOUT_S:g} s: {what}")


class Program:
    """A script that runs beside the test, and what can be seen of it from outside."""

    def __init__(self, script: str, project: str, environ: Dict[str, str]) -> None:
        self.project = project
        self.output = Path("output.txt")
        with open(self.output, "ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-c", script, project],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environ},
            )

    @property
    def said(self) -> str:
        return self.output.read_text()

    @property
    def directory(self) -> Path:
        return Path(os.path.realpath("wandb/latest-run"))

    @property
    def news(self) -> Optional[live_file.News]:
        for path in self.directory.glob("*" + live_file.SUFFIX):
            return live_file.read(str(path))
        return None

    def syncer(self) -> int:
        """Return the number of the syncer's process, once there is one."""

        def pid() -> int:
            news = self.news
            return news.process["pid"] if news is not None and not news.is_from_the_dead else 0

        return int(until(pid, "a syncer"))

    def has_url(self) -> bool:
        return self.news is not None and bool(self.news.url)

    def stop(self) -> None:
        Path("stop").touch()

    def end(self, exit_code: int = 0) -> str:
        """Wait until it has ended; return what it said."""
        code = self.process.wait(TIMEOUT_S)
        assert code == exit_code, self.said
        return self.said

    def is_syncer_gone(self) -> bool:
        news = self.news
        return news is not None and life_of(ProcessId(**news.process)) is Life.DEAD


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One for all tests that do it no harm; each has a project of its own."""
    server = ServerProcess(tmp_path_factory.mktemp("server"))
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture
def programs() -> Iterator[List[Program]]:
    """Programs that are ended with the test, and their syncers."""
    started: List[Program] = []
    yield started
    for program in started:
        if program.process.poll() is None:
            program.process.kill()
            program.process.wait()
        for path in Path().glob("wandb/*run-*/*" + live_file.SUFFIX):
            news = live_file.read(str(path))
            if news is not None and life_of(ProcessId(**news.process)) is Life.ALIVE:
                os.kill(news.process["pid"], signal.SIGKILL)


def start(programs: List[Program], server: Any, project: str, script: str = LOOP, **environ: str) -> Program:
    program = Program(script, project, {**server.environ, **environ})
    programs.append(program)
    return program


def rows(server: Any, project: str, run_id: str = "r") -> List[Any]:
    """Return what the server has of a run's rows; empty if it does not know it."""
    if not any(run["name"] == run_id for run in server.runs(project=project)):
        return []
    return [json.loads(line)["n"] for line in server.run("local", project, run_id)["history"]]


def sync(server: Any, directory: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "wandb_sync", str(directory)],
        env={**os.environ, **server.environ},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )


def command_line_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def test_rows_are_there_while_the_program_still_runs(programs: List[Program], shared_server: Any) -> None:
    program = start(programs, shared_server, "live")
    until(lambda: len(rows(shared_server, "live")) > 20, "rows at the server")
    assert program.process.poll() is None

    syncer = program.syncer()
    assert str(program.directory).encode() in command_line_of(syncer)
    for pid in (syncer, program.process.pid):
        assert shared_server.api_key.encode() not in command_line_of(pid)
    children = Path(f"/proc/{program.process.pid}/task/{program.process.pid}/children").read_text()
    assert children == "" and os.getsid(syncer) != os.getsid(program.process.pid)
    held = {os.path.realpath(f"/proc/{syncer}/fd/{fd}") for fd in (0, 1, 2)}
    assert held == {"/dev/null", str(program.directory / "logs" / "debug-internal.log")}

    program.stop()
    said = program.end()
    state = shared_server.run("local", "live", "r")
    n_rows = int(said.rpartition("rows ")[2])
    assert rows(shared_server, "live") == list(range(n_rows))
    assert (state["state"], state["exitcode"]) == ("finished", 0)
    url = f"{shared_server.base_url}/local/live/runs/r"
    project_url = f"{shared_server.base_url}/local/live"
    assert f"{state['displayName']} {url} local {project_url} local/live/r\n" in said
    assert f"View run at {url}\n" in said and f"View run {state['displayName']} at: {url}\n" in said
    assert "\r" not in said and "uploading" not in said
    until(program.is_syncer_gone, "the end of the syncer")
    for path in program.directory.rglob("*"):
        assert not path.is_file() or shared_server.api_key.encode() not in path.read_bytes()


def test_a_killed_program_is_finished_as_killed(programs: List[Program], shared_server: Any) -> None:
    program = start(programs, shared_server, "killed")
    until(program.has_url, "an address")
    time.sleep(0.5)
    program.process.kill()
    program.process.wait()
    until(program.is_syncer_gone, "the end of the syncer")
    state = shared_server.run("local", "killed", "r")
    assert (state["state"], state["exitcode"]) == ("failed", 1)
    there = rows(shared_server, "killed")
    assert there == list(range(len(there))) and len(there) > 10
    news = program.news
    assert news is not None and news.status == "uploaded" and news.offset == news.n_bytes


def test_a_killed_syncer_is_not_noticed_and_sync_goes_on_behind_it(
    programs: List[Program], shared_server: Any
) -> None:
    program = start(programs, shared_server, "syncer-killed")
    until(lambda: len(rows(shared_server, "syncer-killed")) > 20, "rows at the server")
    os.kill(program.syncer(), signal.SIGKILL)
    n_there = len(rows(shared_server, "syncer-killed"))
    time.sleep(0.5)
    assert program.process.poll() is None
    program.process.kill()
    program.process.wait()
    shared_server.clear_requests()
    done = sync(shared_server, program.directory)
    assert done.returncode == 0, done.stdout + done.stderr
    there = rows(shared_server, "syncer-killed")
    assert there == list(range(len(there))) and len(there) > n_there
    sent = sum(one["n_bytes"] for one in shared_server.requests() if one["path"].endswith("file_stream"))
    log = next(program.directory.glob("*.wandb"))
    assert sent < log.stat().st_size


def test_a_syncer_that_dies_gets_a_successor_while_the_run_goes_on(
    programs: List[Program], shared_server: Any
) -> None:
    program = start(programs, shared_server, "successor")
    first = program.syncer()
    os.kill(first, signal.SIGKILL)
    until(lambda: program.syncer() != first, "another syncer")
    n_there = len(rows(shared_server, "successor"))
    until(lambda: len(rows(shared_server, "successor")) > n_there + 50, "rows behind it")
    assert program.process.poll() is None
    program.stop()
    said = program.end()
    assert said.count("another one goes on") == 1 and "wandb sync" not in said
    assert rows(shared_server, "successor") == list(range(int(said.rpartition("rows ")[2])))


def test_a_syncer_does_not_give_up_while_its_program_lives(tmp_path: Path) -> None:
    log = LogBuilder(tmp_path, writer=writer_identity()).rows(1)
    os.utime(log.path, (1, 1))  # as after a night in which the machine slept
    syncer = LiveSync(str(log.directory), str(log.path), live_file.News())
    assert not syncer._is_over()
    log.exit(0)  # the program goes on, with other runs
    assert not syncer._is_over()
    os.utime(log.path, (1, 1))
    assert syncer._is_over()
    ended = LogBuilder(tmp_path, "b").rows(1)
    assert not LiveSync(str(ended.directory), str(ended.path), live_file.News())._is_over()
    os.utime(ended.path, (1, 1))
    assert LiveSync(str(ended.directory), str(ended.path), live_file.News())._is_over()


@pytest.mark.long
def test_finish_lets_another_syncer_go_on_for_one_that_died(
    programs: List[Program], shared_server: Any
) -> None:
    program = start(programs, shared_server, "two-syncers")
    until(program.has_url, "an address")
    os.kill(program.syncer(), signal.SIGKILL)
    program.stop()
    said = program.end()
    assert "another one goes on" in said
    assert rows(shared_server, "two-syncers") == list(range(int(said.rpartition("rows ")[2])))
    assert shared_server.run("local", "two-syncers", "r")["state"] == "finished"


def test_a_run_that_is_asked_to_stop_is_interrupted(programs: List[Program], shared_server: Any) -> None:
    script = """
import sys, time, wandb
run = wandb.init(project=sys.argv[1], id="r")
run.log({"n": 0})
began = time.monotonic()
try:
    for n in range(1, 1000):
        run.log({"n": n})
        time.sleep(0.5 if n < 5 else 50)  # which ends at once
except KeyboardInterrupt:
    print("interrupted")
    raise
"""
    program = start(programs, shared_server, "asked", script)
    until(lambda: rows(shared_server, "asked"), "rows at the server")
    shared_server.stop_run("local", "asked", "r")
    assert "interrupted" in program.end(-signal.SIGINT)
    state = shared_server.run("local", "asked", "r")
    assert (state["state"], state["exitcode"]) == ("failed", 255)


def test_a_key_given_in_code_reaches_the_syncer_and_no_file(
    programs: List[Program], shared_server: Any
) -> None:
    script = """
import os, sys, wandb
key = os.environ.pop("GIVEN_KEY")
with wandb.init(project=sys.argv[1], id="r", settings={"api_key": key}) as run:
    run.log({"n": 0})
"""
    given = {"WANDB_BASE_URL": shared_server.base_url, "GIVEN_KEY": shared_server.api_key}
    program = Program(script, "given", given)
    programs.append(program)
    program.end()
    assert rows(shared_server, "given") == [0]
    for path in Path().rglob("*"):
        assert not path.is_file() or shared_server.api_key.encode() not in path.read_bytes()


@pytest.mark.long
def test_without_a_key_a_run_waits_for_one(programs: List[Program], shared_server: Any) -> None:
    program = Program(LOOP, "keyless", {"WANDB_BASE_URL": shared_server.base_url, "WANDB_MODE": "online"})
    programs.append(program)
    until(lambda: program.news is not None and program.news.lacks_key, "the want of a key")
    host = shared_server.base_url.partition("://")[2]
    netrc = Path(os.environ["NETRC"])
    netrc.touch(0o600)
    netrc.write_text(f"machine {host}\n  login user\n  password {shared_server.api_key}\n")
    until(lambda: rows(shared_server, "keyless"), "rows at the server")
    program.stop()
    assert "there is no API key" in program.end()
    assert shared_server.run("local", "keyless", "r")["state"] == "finished"


@pytest.mark.long
def test_each_of_several_runs_of_a_program_arrives(programs: List[Program], shared_server: Any) -> None:
    script = """
import sys, wandb
runs = [wandb.init(project=sys.argv[1], id=name, reinit="create_new") for name in "ab"]
for n in range(10):
    for run in runs:
        run.log({"n": n})
for run in runs:
    run.finish()
with wandb.init(project=sys.argv[1], id="c") as run:
    run.log({"n": 0})
"""
    start(programs, shared_server, "several", script).end()
    assert [len(rows(shared_server, "several", name)) for name in "abc"] == [10, 10, 1]
    assert {run["state"] for run in shared_server.runs(project="several")} == {"finished"}


def test_the_wait_at_the_end_is_shown_on_a_terminal(shared_server: Any) -> None:
    script = """
import os, wandb
with wandb.init(project="terminal", id="r") as run:
    for n in range(3000):
        run.log({"n": n, "text": os.urandom(500).hex()})
"""
    child, terminal = pty.fork()
    if child == 0:
        environ = {**os.environ, **shared_server.environ}
        os.execve(sys.executable, [sys.executable, "-c", script], environ)
    shown = b""
    while True:
        try:
            piece = os.read(terminal, 4096)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        shown += piece
    os.close(terminal)
    assert os.waitpid(child, 0)[1] == 0
    assert b"uploading [" in shown and b"View run" in shown.rpartition(b"\r\033[K")[2], shown


# ---- a server that does not answer


@pytest.mark.long
def test_a_server_that_goes_away_delays_the_upload(programs: List[Program], live_mock_server: Any) -> None:
    program = start(programs, live_mock_server, "gone")
    until(lambda: len(rows(live_mock_server, "gone")) > 5, "rows at the server")
    live_mock_server.kill()
    until(lambda: program.news is not None and program.news.trouble, "trouble")
    assert program.process.poll() is None
    live_mock_server.restart()
    n_there = len(rows(live_mock_server, "gone"))
    until(lambda: len(rows(live_mock_server, "gone")) > n_there, "more rows")
    program.stop()
    said = program.end()
    assert rows(live_mock_server, "gone") == list(range(int(said.rpartition("rows ")[2])))
    assert live_mock_server.run("local", "gone", "r")["state"] == "finished"


@pytest.mark.long
def test_a_run_goes_on_without_a_server_and_says_how_to_upload_it(
    programs: List[Program], live_mock_server: Any
) -> None:
    live_mock_server.kill()
    program = start(programs, live_mock_server, "never", WANDB_FINISH_TIMEOUT="1")
    time.sleep(1)
    program.stop()
    said = program.end()
    assert "Nothing can be uploaded now" in said
    assert f"wandb sync {program.directory}" in said
    n_rows = int(said.rpartition("rows ")[2])
    os.kill(program.syncer(), signal.SIGKILL)
    live_mock_server.restart()
    assert sync(live_mock_server, program.directory).returncode == 0
    assert rows(live_mock_server, "never") == list(range(n_rows))
    assert live_mock_server.run("local", "never", "r")["state"] == "finished"


@pytest.mark.long
def test_the_wait_at_the_end_can_be_interrupted_and_the_upload_goes_on(
    programs: List[Program], live_mock_server: Any
) -> None:
    program = start(programs, live_mock_server, "impatient")
    until(lambda: rows(live_mock_server, "impatient"), "rows at the server")
    live_mock_server.fault("status", path="file_stream", status=503, times=1000)
    program.stop()
    until(lambda: program.news is not None and program.news.trouble, "trouble")
    time.sleep(0.5)  # it is in finish() by now
    program.process.send_signal(signal.SIGINT)
    said = program.end(-signal.SIGINT)
    assert "goes on in the background" in said and f"wandb sync {program.directory}" in said
    live_mock_server.clear_faults()
    until(program.is_syncer_gone, "the end of the syncer")
    assert live_mock_server.run("local", "impatient", "r")["state"] == "finished"


SHARED = """
import os, sys, time, wandb
rank = int(sys.argv[1])
run = wandb.init(project="ranks", id="together", mode="shared", settings={
    "x_primary": rank == 0, "x_update_finish_state": rank == 0, "x_disable_stats": True, "console": "off"})
for n in range(20):
    run.log({"rank": rank, "n": n})
while rank and not os.path.exists("stop"):
    time.sleep(0.05)
run.log({"last": rank})
run.finish()
"""


@pytest.mark.parametrize("mode", ["", "offline"])
def test_a_shared_run_is_uploaded_while_it_is_recorded(live_mock_server: ServerProcess, mode: str) -> None:
    environ = {**os.environ, **live_mock_server.environ, "WANDB_MODE": mode}
    ranks = [
        subprocess.Popen([sys.executable, "-c", SHARED, str(rank)], env=environ, stderr=subprocess.PIPE)
        for rank in range(3)
    ]
    _, told = ranks[0].communicate(timeout=TIMEOUT_S)  # which does not wait for the others
    assert ranks[0].returncode == 0 and all(rank.poll() is None for rank in ranks[1:])

    def rows() -> List[Dict[str, Any]]:
        if not live_mock_server.runs():
            return []
        return [json.loads(line) for line in live_mock_server.run("local", "ranks", "together")["history"]]

    if mode:
        assert not rows() and b"wandb sync" in told
    else:
        assert b"Other processes go on" in told and [row for row in rows() if row.get("last") == 0]
        until(lambda: len(rows()) == 61, "what the others have logged by now")
    Path("stop").touch()
    assert [rank.wait(TIMEOUT_S) for rank in ranks] == [0, 0, 0]
    for rank in ranks[1:]:
        rank.communicate()
    if not mode:
        state = until(lambda: len(rows()) == 63 and live_mock_server.run("local", "ranks", "together"), "all")
        until(lambda: live_mock_server.run("local", "ranks", "together")["state"] == "finished", "the end")
        assert state["id"]
