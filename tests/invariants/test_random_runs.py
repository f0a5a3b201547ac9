"""Whatever a program does with its runs, and whatever is done to it, the server ends as a naive model says.

Hypothesis makes up programs: rows with and without steps, rows that wait, rows whose step goes back, config,
summary, definitions; the process is killed, resumed, forked from, rewound; its disk is full for a while; what
is there is synced in between, and the syncer killed.  A real process records, the server is the real one.
"""

from __future__ import annotations

import copy
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

import pytest
from fixtures_server import ServerThread
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from log_view import LogView

from wandb_sync.run_sync import RunOptions, Status
from wandb_sync.service import Report, Service
from wandb_sync.transport.base import Request, Response
from wandb_sync.transport.http import HttpTransport

RECORDER = r"""
import json, os, sys
import wandb

run = None
for line in sys.stdin:
    name, arguments = json.loads(line)
    if name == "init":
        run = wandb.init(mode="offline", settings={"console": "off", "silent": True, "x_disable_stats": True,
            "x_disable_meta": True, "disable_git": True, "x_log_retry_interval": 0.001}, **arguments)
    elif name == "log":
        run.log(**arguments)
    elif name == "config":
        run.config.update(arguments, allow_val_change=True)
    elif name == "summary":
        run.summary.update(arguments)
    elif name == "define":
        run.define_metric(**arguments)
    else:
        run.finish(**arguments)
    print(json.dumps([run.id, run.step, run.sync_dir]), flush=True)
"""


class Model:
    """What a run has come to, said as simply as possible."""

    def __init__(self) -> None:
        self.rows: List[Dict[str, Any]] = []
        self.step = 0
        self.pending: Optional[Dict[str, Any]] = None
        self.config: Dict[str, Any] = {}
        self.summary: Dict[str, Any] = {}
        self.maxima: Dict[str, List[int]] = {}  # of what is defined: the values since
        self.exit_code: Optional[int] = None
        self.was_rewound = False
        self.before: List[Tuple[int, Any]] = []  # what it had come to before the row of each step

    def log(self, data: Dict[str, Any], step: Optional[int], commit: Optional[bool]) -> None:
        if step is not None and step < self.step:
            return  # the row stays in the log only
        if step is not None and step > self.step:
            self.end_row()
            self.step = step
        self.pending = {**(self.pending or {}), **data}
        if commit or (commit is None and step is None):
            self.end_row()

    def end_row(self) -> None:
        if self.pending is None:
            return
        self.before.append((self.step, copy.deepcopy((self.config, self.summary, self.maxima))))
        row, self.pending = self.pending, None
        self.rows.append({**row, "_step": self.step})
        self.step += 1
        for key, value in row.items():
            if key in self.maxima:
                self.maxima[key].append(value)
                self.summary[key] = {"max": max(self.maxima[key])}
            else:
                self.summary[key] = value

    def end(self, exit_code: int) -> None:
        self.end_row()
        self.exit_code = exit_code

    def rewind(self, step: int) -> None:
        """Go back to behind a step."""
        self.rows = [row for row in self.rows if row["_step"] <= step]
        later = [state for number, state in self.before if number > step]
        if later:
            self.config, self.summary, self.maxima = later[0]
        self.before = [(number, state) for number, state in self.before if number <= step]
        self.step = step + 1
        self.was_rewound = True


class Killed(BaseException):
    """Ends a sync as SIGKILL would."""


class DeadlyTransport(HttpTransport):
    """Kills the syncer at a request, before or after the server has seen it."""

    kill_at = -1
    acts = False

    def send(self, request: Request) -> Response:
        self.kill_at -= 1
        if self.kill_at == 0 and not self.acts:
            raise Killed
        response = super().send(request)
        if self.kill_at == 0:
            raise Killed
        return response


class Runs(RuleBasedStateMachine):
    """One directory of runs, at most one process that records."""

    server: ServerThread
    n_examples = 0

    def __init__(self) -> None:
        super().__init__()
        Runs.n_examples += 1
        self.project = f"p{os.getpid()}-{Runs.n_examples}"
        self.scratch = tempfile.TemporaryDirectory(prefix="runs-")
        self.place = Path(self.scratch.name)
        self.models: Dict[str, Model] = {}
        self.process: Optional["subprocess.Popen[str]"] = None
        self.id = ""
        self.log_path = Path()
        self.is_full = False
        self.rows_of_full_disk = 0
        self.first_step = 0  # of the segment that is recorded
        self.n_runs = 0
        self.has_failed = False

    # ---- the process that records

    def tell(self, call: str, arguments: Dict[str, Any]) -> None:
        """Have the process make a call, and compare where it is then."""
        assert self.process is not None and self.process.stdin is not None and self.process.stdout is not None
        self.has_failed = True
        print(json.dumps([call, arguments]), file=self.process.stdin, flush=True)
        run_id, step, directory = json.loads(self.process.stdout.readline())
        assert run_id == self.id
        assert step == self.model.step
        self.log_path = Path(directory) / f"run-{run_id}.wandb"
        self.has_failed = False

    @property
    def model(self) -> Model:
        return self.models[self.id]

    def is_recording(self) -> bool:
        return self.process is not None

    def may_write(self) -> bool:
        return self.process is not None and not self.is_full

    def start(self, **arguments: Any) -> None:
        command = [sys.executable, *(["-O"] if sys.flags.optimize else []), "-c", RECORDER]
        self.process = subprocess.Popen(
            command, cwd=self.place, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.first_step = self.model.step
        self.tell("init", {"project": self.project, **arguments})

    def stop(self) -> None:
        assert self.process is not None
        self.process.communicate(timeout=60)
        self.process = None
        self.is_full = False

    @precondition(lambda self: not self.is_recording())
    @rule(lr=st.integers(0, 3))
    def begin(self, lr: int) -> None:
        self.n_runs += 1
        self.id = f"r{self.n_runs}"
        self.models[self.id] = Model()
        self.model.config["lr"] = lr
        self.start(id=self.id, config={"lr": lr})

    @precondition(lambda self: not self.is_recording() and self.models)
    @rule(lr=st.integers(0, 3))
    def resume(self, lr: int) -> None:
        self.model.config["lr"] = lr
        self.model.exit_code = None
        self.start(id=self.id, resume="allow", config={"lr": lr})

    @precondition(lambda self: not self.is_recording() and self.models and self.model.rows)
    @rule(at=st.integers(0, 99))
    def fork(self, at: int) -> None:
        step = self.model.rows[at % len(self.model.rows)]["_step"]
        origin = self.id
        self.n_runs += 1
        self.id = f"r{self.n_runs}"
        self.models[self.id] = Model()
        self.model.step = step + 1
        self.start(id=self.id, fork_from=f"{origin}?_step={step}")

    @precondition(lambda self: not self.is_recording() and self.models and self.model.rows)
    @rule(at=st.integers(0, 99))
    def rewind(self, at: int) -> None:
        step = self.model.rows[at % len(self.model.rows)]["_step"]
        self.model.rewind(step)
        self.model.exit_code = None
        self.start(resume_from=f"{self.id}?_step={step}")

    @precondition(is_recording)
    @rule(key=st.sampled_from("abc"), value=st.integers(-9, 9), times=st.integers(1, 30))
    def log(self, key: str, value: int, times: int) -> None:
        for _ in range(times):
            self.model.log({key: value}, None, None)
            self.rows_of_full_disk += self.is_full
            self.tell("log", {"data": {key: value}})

    @precondition(may_write)
    @rule(
        key=st.sampled_from("abc"),
        value=st.integers(-9, 9),
        by=st.integers(-2, 3),
        commit=st.sampled_from([None, True, False]),
    )
    def log_at_a_step(self, key: str, value: int, by: int, commit: Optional[bool]) -> None:
        step = self.model.step + by
        self.model.log({key: value}, step, commit)
        self.tell("log", {"data": {key: value}, "step": step, "commit": commit})

    @precondition(may_write)
    @rule(key=st.sampled_from("abc"), value=st.integers(-9, 9))
    def log_a_part(self, key: str, value: int) -> None:
        self.model.log({key: value}, None, False)
        self.tell("log", {"data": {key: value}, "commit": False})

    @precondition(may_write)
    @rule(key=st.sampled_from(["x", "y"]), value=st.integers(0, 9))
    def change_config(self, key: str, value: int) -> None:
        self.model.config[key] = value
        self.tell("config", {key: value})

    @precondition(may_write)
    @rule(key=st.sampled_from(["s", "t"]), value=st.integers(0, 9))
    def change_summary(self, key: str, value: int) -> None:
        self.model.summary[key] = value
        self.tell("summary", {key: value})

    @precondition(may_write)
    @rule(key=st.sampled_from("ab"))
    def define(self, key: str) -> None:
        if key not in self.model.maxima:
            self.model.maxima[key] = []
            self.tell("define", {"name": key, "summary": "max"})

    @precondition(may_write)
    @rule(room=st.integers(0, 200))
    def fill_the_disk(self, room: int) -> None:
        """From here on the log may grow by `room` bytes."""
        assert self.process is not None
        if self.model.pending is not None:
            self.log(key="c", value=0, times=1)
        limit = os.path.getsize(self.log_path) + room
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        self.is_full, self.rows_of_full_disk = True, 0

    @precondition(lambda self: self.is_full)
    @rule()
    def empty_the_disk(self) -> None:
        assert self.process is not None
        unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, unlimited)
        self.is_full = False
        while self.last_step_in_log() < self.model.step - 1:  # whoever logs next writes what has waited
            time.sleep(0.002)
            self.log(key="c", value=0, times=1)

    @precondition(may_write)
    @rule(exit_code=st.integers(0, 2))
    def finish(self, exit_code: int) -> None:
        self.model.end(exit_code)
        self.tell("finish", {"exit_code": exit_code})
        self.stop()

    @precondition(is_recording)
    @rule()
    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        if self.is_full:
            self.forget_what_waited_in_memory()
        self.model.end(1)
        self.stop()

    def last_step_in_log(self) -> int:
        return max((row["_step"] for row in LogView(self.log_path).rows()), default=self.first_step - 1)

    def forget_what_waited_in_memory(self) -> None:
        """Nobody has promised the rows of a full disk; those of them that are there are the first."""
        assert self.process is not None
        self.process.wait(60)
        last = self.last_step_in_log()
        n_kept = len([row for row in self.model.rows if row["_step"] <= last])
        n_lost = len(self.model.rows) - n_kept
        if n_lost <= 0:
            return
        self.has_failed = n_lost > self.rows_of_full_disk
        assert not self.has_failed
        was_rewound = self.model.was_rewound
        before = self.model.before[-n_lost:]
        self.model.rewind(before[0][0] - 1)
        self.model.step = before[0][0]
        self.model.was_rewound = was_rewound

    # ---- the syncer

    def synced(self, transport: HttpTransport, **options: Any) -> Report:
        service = Service(transport, self.server.base_url, RunOptions(**options), parallel=1)
        return service.run([str(self.place / "wandb")])

    def transport(self) -> DeadlyTransport:
        return DeadlyTransport(self.server.base_url, self.server.api_key)

    @precondition(lambda self: self.models)
    @rule()
    def sync(self) -> None:
        report = self.synced(self.transport())
        wanted = {Status.SYNCED, Status.UPLOADED, Status.UNCHANGED, Status.RUNNING}
        assert {outcome.status for outcome in report.outcomes} <= wanted, report

    @precondition(lambda self: self.models)
    @rule(at=st.integers(1, 12), acts=st.booleans())
    def kill_the_syncer(self, at: int, acts: bool) -> None:
        transport = self.transport()
        transport.kill_at, transport.acts = at, acts
        try:
            self.synced(transport)
        except Killed:
            # Its process is dead, which this one is not.
            for lease in self.place.glob("wandb/*/*.lease*"):
                lease.unlink()

    # ---- the end

    def teardown(self) -> None:
        try:
            if self.process is not None and not self.has_failed:
                if self.is_full:
                    self.empty_the_disk()
                self.finish(exit_code=0)
            if self.models and not self.has_failed:
                self.check()
        finally:
            if self.process is not None:
                self.process.kill()
                self.process.communicate()
            self.scratch.cleanup()

    def check(self) -> None:
        report = self.synced(self.transport())
        ended = {Status.SYNCED, Status.UPLOADED, Status.UNCHANGED}
        assert {outcome.status for outcome in report.outcomes} <= ended, report
        for run_id, model in self.models.items():
            (listed,) = [run for run in self.server.runs(project=self.project) if run["name"] == run_id]
            there = self.server.run(listed["entity"], self.project, run_id)
            rows = [json.loads(line) for line in there["history"]]
            for row in rows:
                del row["_runtime"], row["_timestamp"]
            assert rows == model.rows, run_id
            config = {key: value["value"] for key, value in there["config"].items()}
            summary = {key: value for key, value in there["summary"].items() if not key.startswith("_")}
            if model.was_rewound:  # what the server knew beside is its own affair
                config = {key: config.get(key) for key in model.config}
                summary = {key: summary.get(key) for key in model.summary}
            config.pop("_wandb", None)
            assert config == model.config, run_id
            assert summary == model.summary, run_id
            assert there["exitcode"] == model.exit_code, run_id


@pytest.fixture(scope="module")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    Runs.server = ServerThread(tmp_path_factory.mktemp("server"))
    yield
    Runs.server.close()


def random_programs(n_programs: int, n_steps: int) -> settings:
    return settings(
        max_examples=n_programs,
        stateful_step_count=n_steps,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )


def test_one_program_with_everything_in_it(_server: None) -> None:
    runs = Runs()
    runs.begin(lr=1)
    runs.log(key="a", value=3, times=5)
    runs.log_at_a_step(key="a", value=9, by=2, commit=None)
    runs.log_at_a_step(key="b", value=1, by=0, commit=True)
    runs.log_at_a_step(key="c", value=1, by=-2, commit=None)
    runs.define(key="a")
    runs.sync()
    runs.change_config(key="x", value=4)
    runs.change_summary(key="s", value=7)
    runs.log(key="a", value=5, times=2)
    runs.log_a_part(key="b", value=8)
    runs.kill()
    runs.kill_the_syncer(at=3, acts=True)
    runs.resume(lr=2)
    runs.log(key="a", value=-1, times=2)
    runs.fill_the_disk(room=50)
    runs.log(key="c", value=2, times=20)
    runs.empty_the_disk()
    runs.log(key="c", value=3, times=2)
    runs.sync()
    runs.fill_the_disk(room=700)
    runs.log(key="b", value=4, times=9)
    runs.kill()
    runs.fork(at=2)
    runs.log(key="a", value=1, times=4)
    runs.finish(exit_code=0)
    runs.rewind(at=1)
    runs.log(key="b", value=-3, times=2)
    runs.kill_the_syncer(at=5, acts=False)
    runs.finish(exit_code=2)
    runs.teardown()


def test_a_row_that_waited_when_its_process_was_killed_counts_where_the_run_is_rewound(_server: None) -> None:
    runs = Runs()
    runs.begin(lr=0)
    runs.define(key="a")
    runs.log_at_a_step(by=0, commit=None, key="a", value=9)
    runs.kill()
    runs.sync()
    runs.rewind(at=0)
    runs.kill()
    runs.teardown()


def test_what_was_said_while_a_row_waited_is_known_where_the_run_is_rewound_to_before_it(
    _server: None,
) -> None:
    runs = Runs()
    runs.begin(lr=0)
    runs.log(key="a", value=1, times=1)
    runs.log_a_part(key="c", value=1)
    runs.change_summary(key="t", value=9)
    runs.kill()
    runs.rewind(at=0)
    runs.teardown()


@pytest.mark.long
def test_the_server_ends_as_the_model_says(_server: None) -> None:
    run_state_machine_as_test(Runs, settings=random_programs(10, 20))


@pytest.mark.soak
def test_after_very_many_programs_the_server_ends_as_the_model_says(_server: None) -> None:
    run_state_machine_as_test(Runs, settings=random_programs(300, 40))
