"""Thousands of runs: which part, in what order, to where, within what limits, in how many processes."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Tuple

import pytest
from log_builder import LogBuilder, everything
from simulated_server import API_KEY, Answer, SimulatedServer

import wandb_sync
from wandb.errors import AuthenticationError, UsageError
from wandb_sync.outcomes import Report, Status
from wandb_sync.transport.stoppable import Stop

Events = List[Tuple[str, Mapping[str, Any]]]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedServer]:
    simulated = SimulatedServer()
    with simulated.listen() as base_url:
        monkeypatch.setenv("WANDB_BASE_URL", base_url)
        monkeypatch.setenv("WANDB_API_KEY", API_KEY)
        yield simulated


@pytest.fixture
def other(local_netrc: Path) -> Iterator[SimulatedServer]:
    """A second server, whose key is in the netrc file."""
    simulated = SimulatedServer()
    with simulated.listen() as base_url:
        host = base_url.split("//")[1]
        local_netrc.write_text(f"machine {host}\n  login user\n  password {API_KEY}\n")
        yield simulated


def runs(*names: str, **fields: Any) -> List[LogBuilder]:
    return [
        LogBuilder(Path("wandb"), name, directory=f"offline-run-{n}-{name}", started_s=1000 + n, **fields)
        .rows(2)
        .exit(0)
        for n, name in enumerate(names)
    ]


def names(server: SimulatedServer) -> List[str]:
    """The runs of a server, in the order in which they came."""
    return [run.name for run in server.runs.values()]


# ---- which, and in what order


@pytest.mark.parametrize(
    "order, wanted", [("oldest", "abc"), ("newest", "cba"), ("smallest", "bca"), ("largest", "acb")]
)
def test_runs_come_in_the_order_that_is_wanted(server: SimulatedServer, order: str, wanted: str) -> None:
    for n, (name, n_rows) in enumerate((("a", 90), ("b", 1), ("c", 30))):
        LogBuilder(Path("wandb"), name, directory=f"offline-run-{n}-x", started_s=n).rows(n_rows).exit(0)
    wandb_sync.sync(order=order, parallel=1)
    assert "".join(names(server)) == wanted


def test_since_and_globs_choose(server: SimulatedServer) -> None:
    old, *_ = runs("old", "new", "other")
    os.utime(old.path, (0, 0))
    assert wandb_sync.sync(since="1h", exclude=["*other"]).by_status == {"synced": 1}
    assert names(server) == ["new"]
    assert wandb_sync.sync(include=["*-old", "*-none"]).by_status == {"synced": 1}


def test_shards_are_all_runs_and_none_twice(server: SimulatedServer) -> None:
    runs(*(f"r{i}" for i in range(12)))
    counts = [wandb_sync.sync(shard=f"{i}/3").by_status.get("synced", 0) for i in range(3)]
    assert sum(counts) == 12 == len(server.runs) and max(counts) < 12


def test_segments_of_a_run_are_in_one_shard(server: SimulatedServer) -> None:
    for n in range(3):
        LogBuilder(Path("wandb"), directory=f"offline-run-{n}-abc", started_s=n, resume=n > 0).rows(1).exit(0)
    reports = [wandb_sync.sync(shard=f"{i}/5") for i in range(5)]
    assert sorted(len(report.outcomes) for report in reports) == [0, 0, 0, 0, 3]


def test_a_task_of_slurm_does_its_part_first_and_then_what_others_have_left(
    server: SimulatedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs(*(f"r{i}" for i in range(9)))
    own: List[str] = []
    for log in sorted(Path("wandb").iterdir()):
        report = wandb_sync.sync(log, shard="1/3", dry_run=True)
        own += [outcome.log.path.name for outcome in report.outcomes]
    monkeypatch.setenv("SLURM_PROCID", "1")
    monkeypatch.setenv("SLURM_NTASKS", "3")
    assert wandb_sync.sync(parallel=1).by_status == {"synced": 9}
    first = [f"run-{name}.wandb" for name in names(server)[: len(own)]]
    assert sorted(first) == sorted(own) and 0 < len(own) < 9


def test_tasks_of_slurm_at_once_do_all_and_are_content(
    server: SimulatedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs(*(f"r{i}" for i in range(12)))
    started = [process(str(i), SLURM_PROCID=str(i), SLURM_NTASKS="3") for i in range(3)]
    assert [one.wait(60) for one in started] == [0, 0, 0]
    assert len(server.runs) == 12 and all(len(run.history) == 2 for run in server.runs.values())


def process(*_: str, **environ: str) -> Any:
    import subprocess
    import sys

    return subprocess.Popen([sys.executable, "-m", "wandb_sync", "--quiet"], env={**os.environ, **environ})


# ---- where to


def test_a_run_goes_to_several_servers_and_is_marked_when_it_is_at_all_of_them(
    server: SimulatedServer, other: SimulatedServer
) -> None:
    (log,) = runs("a")
    other.fail = lambda operation, n: Answer(404)
    report = wandb_sync.sync(base_url=[server.base_url, other.base_url])
    assert [outcome.base_url for outcome in report.outcomes] == [server.base_url, other.base_url]
    assert report.by_status == {"synced": 1, "failed": 1} and report.exit_code == 3
    marker = log.path.with_name(log.path.name + ".synced")
    assert not marker.exists()
    other.fail = lambda operation, n: None
    report = wandb_sync.sync(log.directory, base_url=[server.base_url, other.base_url])
    assert report.by_status == {"unchanged": 1, "synced": 1} and marker.exists()
    assert server.run("a").state() == other.run("a").state()


def test_a_server_gets_no_key_but_its_own(server: SimulatedServer, other: SimulatedServer) -> None:
    runs("a")
    Path(os.environ["NETRC"]).unlink()
    with pytest.raises(AuthenticationError, match="wandb login --host"):
        wandb_sync.sync(base_url=[server.base_url, other.base_url])
    assert not other.requests and not server.requests


def test_rules_say_where_each_run_goes_and_as_what(server: SimulatedServer, other: SimulatedServer) -> None:
    runs("a", "b", tags=["x"])
    LogBuilder(Path("wandb"), "c", project="shared").rows(1).exit(0)
    Path("rules").write_text(
        "# nothing\n"
        'id=a -> project=q entity=team name="second try" group=g job-type=j tags=t,u replace-tags=t=v\n'
        f"project=shared -> project=one -> project=two -> base-url={other.base_url}\n"
    )
    report = wandb_sync.sync(map="rules", entity="me")
    assert report.exit_code == 0 and len(report.outcomes) == 5
    assert sorted(server.runs) == [
        ("me", "one", "c"),
        ("me", "p", "b"),
        ("me", "two", "c"),
        ("team", "q", "a"),
    ]
    assert list(other.runs) == [("me", "shared", "c")]
    fields = server.run("team/q/a").fields
    assert [fields[name] for name in ("displayName", "groupName", "jobType", "tags")] == [
        "second try",
        "g",
        "j",
        ["v", "u"],
    ]
    assert wandb_sync.sync(map="rules", entity="me").by_status == {"unchanged": 5}
    (log,) = Path("wandb").glob("offline-run-20260102*/")
    assert len(list(log.glob("*.checkpoint"))) == 3 and len(list(log.glob("*.synced"))) == 1


@pytest.mark.parametrize(
    "rule", ["nonsense", "id=a", "-> id=b", "id=a -> colour=red", "id=a ->", 'id="a -> id=b']
)
def test_a_rule_that_cannot_be_understood_is_told_with_its_line(server: SimulatedServer, rule: str) -> None:
    runs("a")
    Path("rules").write_text(f"id=x -> id=y\n{rule}\n")
    with pytest.raises(UsageError, match="line 2"):
        wandb_sync.sync(map="rules")
    assert not server.requests


def test_rules_that_would_merge_runs_are_refused(server: SimulatedServer) -> None:
    runs("a", "b")
    Path("rules").write_text("project=p -> id=one\n")
    with pytest.raises(UsageError, match="merge 2 runs"):
        wandb_sync.sync(map="rules")


# ---- what is refused for good


def refused_reason(report: Report) -> str:
    (reason,) = [outcome.reason for outcome in report.outcomes if outcome.status is Status.REFUSED]
    return reason


def refuse_everything(status: int) -> Any:
    return lambda operation, n: Answer(status)


def test_what_is_refused_for_good_is_kept_and_not_asked_again_until_somebody_wants_it(
    server: SimulatedServer,
) -> None:
    good, bad = runs("good", "bad")
    server.fail = lambda operation, n: (
        Answer(404) if ((server.bodies[n] or {}).get("variables") or {}).get("name") == "bad" else None
    )
    assert wandb_sync.sync().by_status == {"synced": 1, "failed": 1}
    n_requests = len(server.requests)
    report = wandb_sync.sync()
    assert report.by_status == {"unchanged": 1, "refused": 1} and len(server.requests) == n_requests
    assert report.exit_code == 3 and "404" in refused_reason(report)
    listed = wandb_sync.sync(failed=True, dry_run=True)
    assert listed.by_status == {"skipped": 1, "refused": 1} and len(server.requests) == n_requests
    assert wandb_sync.sync(failed=True).by_status == {"skipped": 1, "failed": 1}
    assert "2 times" in refused_reason(wandb_sync.sync(failed=True, dry_run=True))
    server.fail = lambda operation, n: None
    assert wandb_sync.sync(failed=True).by_status == {"skipped": 1, "synced": 1}
    assert not list(bad.directory.glob("*.refused"))
    assert wandb_sync.sync().by_status == {"unchanged": 2}


@pytest.mark.parametrize("status", [429, 500, 503, 401, 302])
def test_trouble_that_is_not_about_the_run_is_not_kept(server: SimulatedServer, status: int) -> None:
    (log,) = runs("a")
    server.fail = refuse_everything(status)
    assert wandb_sync.sync(retry_for=0).by_status == {"failed": 1}
    assert not list(log.directory.glob("*.refused"))


@pytest.fixture
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    from wandb_sync.transport import retry

    monkeypatch.setattr(retry, "FIRST_WAIT_S", 0.001)


def deleted_on(server: SimulatedServer, *gone: str) -> None:
    """Let the server answer as W&B does to whoever makes a deleted run again."""

    def fail(operation: str, n: int) -> Any:
        name = ((server.bodies[n] or {}).get("variables") or {}).get("name")
        return Answer(409, body=b'{"error": "was previously created and deleted"}') if name in gone else None

    server.fail = fail


def test_a_deleted_run_fails_and_says_so(server: SimulatedServer, no_waits: None) -> None:
    runs("a")
    deleted_on(server, "a")
    report = wandb_sync.sync()
    assert report.exit_code == 7 and "previously created and deleted" in report.outcomes[0].reason
    assert wandb_sync.sync().by_status == {"refused": 1}


def test_a_deleted_run_can_be_left_out(server: SimulatedServer, no_waits: None) -> None:
    runs("a", "b")
    deleted_on(server, "a")
    report = wandb_sync.sync(on_deleted="skip")
    assert report.by_status == {"skipped": 1, "synced": 1} and report.exit_code == 0
    n_requests = len(server.requests)
    assert wandb_sync.sync(on_deleted="skip").by_status == {"skipped": 1, "unchanged": 1}
    assert len(server.requests) == n_requests


def test_a_run_that_a_server_has_forgotten_is_not_made_again_if_deleted_ones_are_left_out(
    server: SimulatedServer,
) -> None:
    log = LogBuilder(Path("wandb")).rows(2)
    wandb_sync.sync()
    server.runs.clear()
    log.rows(1).exit(0)
    assert wandb_sync.sync(on_deleted="skip").by_status == {"skipped": 1}
    assert not server.runs


def test_a_deleted_run_can_go_on_under_another_id_and_stays_there(
    server: SimulatedServer, no_waits: None
) -> None:
    log = LogBuilder(Path("wandb"), "a").rows(2)
    deleted_on(server, "a")
    events: Events = []
    wandb_sync.sync(on_deleted="new-id", emit=lambda name, fields: events.append((name, fields)))
    assert ("run_deleted", {"log": str(log.path), "goes_on_as": "a-again"}) in [
        (name, dict(fields)) for name, fields in events
    ]
    log.rows(3).exit(0)
    n_requests = len(server.requests)
    assert wandb_sync.sync().by_status == {"synced": 1}
    assert names(server) == ["a-again"] and len(server.run("a-again").history) == 5
    assert all(
        ((body or {}).get("variables") or {}).get("name") != "a" for body in server.bodies[n_requests:]
    )
    assert wandb_sync.sync().by_status == {"unchanged": 1}


def test_all_segments_of_a_deleted_run_go_on_under_one_id(server: SimulatedServer, no_waits: None) -> None:
    for n in range(3):
        LogBuilder(Path("wandb"), directory=f"offline-run-{n}-abc", started_s=n, resume=n > 0).rows(2).exit(0)
    deleted_on(server, "abc")
    assert wandb_sync.sync(on_deleted="new-id").by_status == {"synced": 3}
    assert names(server) == ["abc-again"] and len(server.run("abc-again").history) == 6


def test_who_is_deleted_again_gets_the_next_id(server: SimulatedServer, no_waits: None) -> None:
    runs("a")
    deleted_on(server, "a", "a-again")
    assert wandb_sync.sync(on_deleted="new-id").by_status == {"synced": 1}
    assert names(server) == ["a-again-2"]


# ---- limits


def test_no_more_is_sent_than_is_allowed_and_the_next_sync_goes_on(server: SimulatedServer) -> None:
    runs(*(f"r{i}" for i in range(20)))
    report = wandb_sync.sync(max_transfer="20k", parallel=2)
    assert report.exit_code == 8 and report.was_interrupted
    assert 0 < server.n_bytes_received <= 20 << 10
    assert report.by_status["interrupted"] >= 1 and sum(report.by_status.values()) == 20
    assert wandb_sync.sync().exit_code == 0 and len(server.runs) == 20
    assert all(len(run.history) == 2 and run.complete for run in server.runs.values())


def test_after_its_time_a_sync_stops_and_says_what_was_not_begun(server: SimulatedServer) -> None:
    runs(*(f"r{i}" for i in range(5)))
    held = threading.Event()
    server.fail = lambda operation, n: held.wait(30) and None
    stop = Stop()
    threading.Thread(target=lambda: (stop.wait(30), held.set())).start()
    report = wandb_sync.sync(max_duration="0.2s", parallel=1, stop=stop)
    assert report.exit_code == 8 and report.by_status == {"interrupted": 5}
    assert sum(outcome.reason.startswith("was not begun") for outcome in report.outcomes) == 4
    assert wandb_sync.sync().exit_code == 0


def test_nothing_to_do_has_a_code_of_its_own_for_whoever_wants_it(server: SimulatedServer) -> None:
    runs("a")
    assert wandb_sync.sync(error_on_nothing=True).exit_code == 0
    assert wandb_sync.sync(error_on_nothing=True).exit_code == 4
    assert wandb_sync.sync().exit_code == 0


def test_a_server_that_is_down_is_not_waited_for_by_each_run_anew(
    server: SimulatedServer, no_waits: None
) -> None:
    runs(*(f"r{i}" for i in range(10)))
    server.fail = refuse_everything(503)
    report = wandb_sync.sync(parallel=1, retry_for=0.3)
    assert report.exit_code == 5 and report.by_status == {"failed": 10}
    first = server.requests.count("UpsertBucket") - 9
    assert first > 3  # the first run has tried again and again, each other one once


# ---- processes


def test_several_processes_share_the_runs_and_nothing_is_double(server: SimulatedServer) -> None:
    runs(*(f"r{i:02}" for i in range(30)))
    events: Events = []
    report = wandb_sync.sync(processes=3, parallel=2, emit=lambda name, fields: events.append((name, fields)))
    assert report.exit_code == 0 and report.by_status == {"synced": 30}
    assert [name for name, _ in events].count("run_done") == 30
    assert all(len(run.history) == 2 and run.complete for run in server.runs.values())
    assert server.requests.count("UpsertBucket") == 30


def workers_of(pid: int) -> List[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_worker_that_is_killed_costs_nothing(server: SimulatedServer) -> None:
    """Killed while a request of its is under way; its runs are done by who is left."""
    runs(*(f"r{i:02}" for i in range(12)))
    victims: List[int] = []

    def fail(operation: str, n: int) -> None:
        if operation == "file_stream" and not victims:
            victims.extend(workers_of(os.getpid()))
            for victim in victims:
                os.kill(victim, signal.SIGKILL)

    server.fail = fail
    report = wandb_sync.sync(processes=2, parallel=1)
    assert victims and report.exit_code == 0 and report.by_status == {"synced": 12}
    assert all(len(run.history) == 2 and run.complete for run in server.runs.values())
    assert not list(Path("wandb").glob("*/*.lease*"))


def test_the_transfer_of_all_processes_is_counted_together(server: SimulatedServer) -> None:
    runs(*(f"r{i:02}" for i in range(20)))
    report = wandb_sync.sync(processes=3, parallel=2, max_transfer="30k")
    assert report.exit_code == 8 and 0 < server.n_bytes_received <= 30 << 10


def test_workers_stop_when_their_parent_is_killed(server: SimulatedServer) -> None:
    runs(*(f"r{i:02}" for i in range(12)))
    import subprocess
    import sys

    command = [sys.executable, "-m", "wandb_sync", "--quiet", "-j", "2", "-n", "1"]
    parent = subprocess.Popen(command)
    children: List[int] = []
    held = threading.Event()

    def fail(operation: str, n: int) -> None:
        children[:] = children or workers_of(parent.pid)
        if children and not held.is_set():
            parent.kill()
            held.set()

    server.fail = fail
    parent.wait(60)
    assert children
    deadline = time.monotonic() + 60
    while any(os.path.exists(f"/proc/{child}") for child in children):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    server.fail = lambda operation, n: None
    assert wandb_sync.sync().exit_code == 0
    assert all(len(run.history) == 2 for run in server.runs.values()) and len(server.runs) == 12


# ---- what is told


def test_the_report_is_what_the_command_says(server: SimulatedServer, capfd: Any) -> None:
    import subprocess
    import sys

    everything(Path("wandb"))
    LogBuilder(Path("wandb"), "going").rows(1)
    command = [sys.executable, "-m", "wandb_sync", "--json", "--dry-run"]
    said = [json.loads(line) for line in subprocess.check_output(command).splitlines()]
    report = wandb_sync.sync(dry_run=True)
    assert isinstance(report, Report) and said[-1]["runs"] == report.by_status
    done = {e["log"]: (e["status"], e["reason"]) for e in said if e["event"] == "run_done"}
    assert done == {o.log.shown: (o.status.value, o.reason) for o in report.outcomes}


def test_an_option_that_there_is_not_is_told_by_name() -> None:
    with pytest.raises(UsageError, match="colour"):
        wandb_sync.sync(colour="red")


def test_a_request_without_an_answer_is_told_after_five_seconds() -> None:
    from wandb_sync.transport.base import Request, Response
    from wandb_sync.transport.told import Told

    now = [0.0]
    said: List[str] = []
    told: List[Told] = []

    class Slow:
        def send(self, request: Request) -> Response:
            for now[0] in (4.9, 5.0, 6.0, 9.9, 10.0, 20.0):
                told[0].look()
            return Response(200)

        def close(self) -> None:
            pass

    told.append(Told(Slow(), lambda r, error, wait_s: said.append(error.message), monotonic=lambda: now[0]))
    told[0].send(Request("file_stream", "POST", "/x"))
    told[0].look()
    told[0].close()
    assert [text.split(" s,")[0].rsplit(" ", 1)[1] for text in said] == ["5", "10", "20"]
    assert "file_stream" in said[0]


def every_option() -> Dict[str, str]:
    from wandb_sync.cli import sync

    return {
        option.opts[0]: str(option.envvar) for option in sync.params if option.param_type_name == "option"
    }


def test_every_option_is_an_environment_variable() -> None:
    found = every_option()
    assert found["--max-duration"] == "WANDB_SYNC_MAX_DURATION" and found["--json"] == "WANDB_SYNC_JSON"
    assert len(set(found.values())) == len(found) and all(
        name.startswith("WANDB_SYNC_") for name in found.values()
    )


def test_environment_variables_do_what_the_options_do(
    server: SimulatedServer, monkeypatch: pytest.MonkeyPatch, runner: Any
) -> None:
    from wandb_sync.cli import sync

    runs("a", "b")
    for name, value in (("PROJECT", "env"), ("EXCLUDE", "*-b"), ("JSON", "1"), ("TAGS", "x,y")):
        monkeypatch.setenv(f"WANDB_SYNC_{name}", value)
    result = runner.invoke(sync, [])
    assert json.loads(result.stdout.splitlines()[-1])["runs"] == {"synced": 1}
    assert server.run("someone/env/a").fields["tags"] == ["x", "y"]


def test_the_log_file_gets_everything_with_the_time(server: SimulatedServer, runner: Any) -> None:
    from wandb_sync.cli import sync

    runs("a")
    for _ in range(2):
        assert runner.invoke(sync, ["--quiet", "--log-file", "sync.log"]).output == ""
    lines = Path("sync.log").read_text().splitlines()
    assert any("Synced wandb/offline-run-0-a" in line for line in lines)
    assert any("Unchanged wandb/offline-run-0-a" in line for line in lines)
    assert all(line[:2] == "20" and line[10] == "T" for line in lines)
    runner.invoke(sync, ["--json", "--log-file", "sync.json"])
    assert json.loads(Path("sync.json").read_text().splitlines()[-1])["event"] == "summary"
    assert isinstance(runner.invoke(sync, ["--log-file", "no/such/file"]).exception, UsageError)


def test_leases_are_those_of_the_destination(server: SimulatedServer, other: SimulatedServer) -> None:
    """A syncer to one server does not keep another one from syncing to another."""
    (log,) = runs("a")
    reports: List[Report] = []

    def fail(operation: str, n: int) -> None:
        if not reports:
            reports.append(wandb_sync.sync(log.directory, base_url=other.base_url, api_key=API_KEY))

    server.fail = fail
    assert wandb_sync.sync(log.directory).exit_code == 0 == reports[0].exit_code
    assert server.run("a").state() == other.run("a").state()
