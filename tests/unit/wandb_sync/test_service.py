"""Runs on disk -> runs on a server, and what is said about them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Tuple

import pytest
from log_builder import STARTED_S, LogBuilder, everything
from simulated_server import Answer, Cut, SimulatedServer

from wandb.errors import UsageError
from wandb.internal.environment import writer_identity
from wandb.proto import record_pb2 as pb
from wandb.transaction_log.reader import read_records
from wandb_sync import batching, printed, receipts, run_sync, segments, visits, watch as watch_module
from wandb_sync.checkpoint import Destination
from wandb_sync.lease import Lease
from wandb.processes import ProcessId
from wandb_sync.run_sync import RunOptions
from wandb_sync.outcomes import Report, Status
from wandb_sync.selection import Selection
from wandb_sync.service import Service
from wandb_sync.session import Target, Wishes
from wandb_sync.transport.base import Request, Response

Events = List[Tuple[str, Mapping[str, Any]]]


def sync(server: SimulatedServer, *paths: Path, events: Any = None, **options: Any) -> Report:
    emit = (lambda name, fields: events.append((name, fields))) if events is not None else (lambda n, f: None)
    names = ("selection", "parallel", "live", "watch", "stop", "poll_s", "patience_s")
    service_options = {name: options.pop(name) for name in names if name in options}
    service = Service(server, server.base_url, RunOptions(**options), emit=emit, **service_options)
    return service.run([str(path) for path in paths])


DESTINATION = Destination("http://simulated", "", "", "abc")


def lease_of(log: LogBuilder) -> Path:
    """Where whoever syncs a log to the server of these tests keeps his lease."""
    return DESTINATION.file(log.path.with_name(log.path.name + ".lease"))


def statuses(report: Report) -> Dict[str, Status]:
    return {outcome.log.path.name: outcome.status for outcome in report.outcomes}


@pytest.fixture
def server() -> SimulatedServer:
    return SimulatedServer()


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "BATCH_BYTES", 3000)


# ---- one run


def test_a_whole_run_arrives_and_the_receipt_says_so(server: SimulatedServer, tmp_path: Path) -> None:
    log = everything(tmp_path)
    report = sync(server, log.directory)
    assert report.exit_code == 0 and [o.status for o in report.outcomes] == [Status.SYNCED]
    run = server.run("all")
    assert len(run.history) == 40 and run.complete and run.exit_code == 0
    assert (
        sorted(run.files)
        == sorted(run.reported_files)
        == [
            "config.yaml",
            "media/images/a.png",
            "output.log",
            "requirements.txt",
            "wandb-metadata.json",
            "wandb-summary.json",
        ]
    )
    (receipt,) = receipts.read_receipts(log.path.with_name(log.path.name + ".receipt")).values()
    assert receipt["n_lines"]["wandb-history.jsonl"] == 40
    assert receipt["log"]["file_n_bytes"] == log.path.stat().st_size
    assert log.path.with_name(log.path.name + ".synced").read_bytes() == b""


def test_a_small_run_is_as_few_requests_as_it_can_be(server: SimulatedServer, tmp_path: Path) -> None:
    log = LogBuilder(tmp_path).environment(os="Linux").file("requirements.txt", b"").rows(10).exit(0)
    sync(server, log.directory)
    uploads = ["CreateRunFiles", *["upload"] * 4]
    assert server.requests == ["UpsertBucket", *uploads, "file_stream"]


def test_lines_that_wait_for_files_arrive_also_if_the_files_do_not(
    server: SimulatedServer, tmp_path: Path
) -> None:
    log = LogBuilder(tmp_path).rows(10).output("hello\n").exit(0)
    server.fail = lambda operation, n: Answer(500) if operation == "upload" else None
    assert sync(server, log.directory).exit_code == 5
    assert server.requests[-1] == "file_stream"
    run = server.run("abc")
    assert len(run.history) == 10 and not run.complete and not run.files
    server.fail = lambda operation, n: None
    assert sync(server, log.directory).exit_code == 0
    assert len(run.history) == 10 and run.complete and "output.log" in run.files
    assert server.requests.count("file_stream") == 2


def test_lines_do_not_wait_for_files_that_take_long(server: SimulatedServer, tmp_path: Path) -> None:
    log = LogBuilder(tmp_path).file("model.bin", bytes(1 << 20)).rows(10).exit(0)
    sync(server, log.directory)
    assert server.requests[:3] == ["UpsertBucket", "file_stream", "CreateRunFiles"]


def test_nothing_is_written_into_the_files_of_the_run(server: SimulatedServer, tmp_path: Path) -> None:
    log = everything(tmp_path)
    before = sorted(path.name for path in (log.directory / "files").rglob("*"))
    data = log.path.read_bytes()
    sync(server, log.directory)
    assert sorted(path.name for path in (log.directory / "files").rglob("*")) == before
    assert log.path.read_bytes() == data


def test_a_second_sync_sends_nothing(server: SimulatedServer, tmp_path: Path) -> None:
    log = everything(tmp_path)
    sync(server, log.directory)
    n_requests = len(server.requests)
    report = sync(server, log.directory)
    assert len(server.requests) == n_requests
    assert [o.status for o in report.outcomes] == [Status.UNCHANGED] and report.exit_code == 0


def test_synced_runs_can_be_uploaded_again_and_nothing_doubles(
    server: SimulatedServer, tmp_path: Path
) -> None:
    log = everything(tmp_path)
    sync(server, log.directory)
    before = server.run("all").state()
    report = sync(server, log.directory, include_synced=True)
    assert [o.status for o in report.outcomes] == [Status.SYNCED]
    assert server.run("all").state() == before and server.requests.count("UpsertBucket") == 2


def test_what_wandb_has_marked_is_left_alone_unless_wanted(server: SimulatedServer, tmp_path: Path) -> None:
    log = everything(tmp_path)
    log.path.with_name(log.path.name + ".synced").touch()
    assert [o.status for o in sync(server, log.directory).outcomes] == [Status.SKIPPED]
    assert server.requests == []
    assert [o.status for o in sync(server, log.directory, include_synced=True).outcomes] == [Status.SYNCED]


def test_a_log_that_grows_is_continued(server: SimulatedServer, tmp_path: Path) -> None:
    log = LogBuilder(tmp_path).rows(5)
    assert [o.status for o in sync(server, log.directory).outcomes] == [Status.RUNNING]
    log.rows(5).output("hello\n").exit(0)
    assert [o.status for o in sync(server, log.directory).outcomes] == [Status.SYNCED]
    run = server.run("abc")
    assert [row["acc"] for row in run.history] == list(range(10)) and run.complete
    assert run.files["output.log"] == b"hello\n"


def test_each_row_is_sent_once_however_often_a_growing_log_is_synced(
    server: SimulatedServer, tmp_path: Path
) -> None:
    log = LogBuilder(tmp_path)
    for _ in range(5):
        log.rows(3)
        sync(server, log.directory)
    n_lines = sum(
        len(chunk["content"])
        for body in server.bodies
        for name, chunk in ((body or {}).get("files") or {}).items()
        if name == batching.HISTORY
    )
    assert n_lines == 15


def test_a_running_run_is_not_called_complete(server: SimulatedServer, tmp_path: Path) -> None:
    log = LogBuilder(tmp_path).rows(5)
    report = sync(server, log.directory)
    assert not server.run("abc").complete and report.exit_code == 3
    assert not log.path.with_name(log.path.name + ".synced").exists()


def test_a_run_that_was_silent_for_long_has_ended(server: SimulatedServer, tmp_path: Path) -> None:
    log = LogBuilder(tmp_path).rows(5).close()
    os.utime(log.path, (0, 0))
    report = sync(server, log.directory)
    assert [o.status for o in report.outcomes] == [Status.UPLOADED] and report.exit_code == 0
    run = server.run("abc")
    assert run.complete and run.exit_code == 1 and run.summary["_step"] == 4
    assert not log.path.with_name(log.path.name + ".synced").exists()
    assert [o.status for o in sync(server, log.directory).outcomes] == [Status.UNCHANGED]


def writer(**changes: Any) -> Dict[str, Any]:
    here = ProcessId.current()._replace(**changes)
    return {
        "host": here.host,
        "boot_id": here.boot_id,
        "pid": here.pid,
        "pid_start_ticks": here.start_ticks,
        "pid_namespace": here.namespace,
    }


def test_a_writer_that_is_dead_has_ended_at_once(server: SimulatedServer, tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    log = LogBuilder(tmp_path, writer=writer(pid=child.pid, start_ticks=1)).rows(2)
    assert [o.status for o in sync(server, log.directory).outcomes] == [Status.UPLOADED]


def test_a_writer_that_is_alive_has_not_ended_however_silent(server: SimulatedServer, tmp_path: Path) -> None:
    log = LogBuilder(tmp_path, writer=writer()).rows(2)
    os.utime(log.path, (0, 0))
    assert [o.status for o in sync(server, log.directory).outcomes] == [Status.RUNNING]
    assert [o.status for o in sync(server, log.directory, finish=True).outcomes] == [Status.UPLOADED]


def test_a_run_that_was_wrongly_called_ended_goes_on(server: SimulatedServer, tmp_path: Path) -> None:
    log = LogBuilder(tmp_path).rows(2).pending(a=1)
    sync(server, log.directory, finish=True)
    assert len(server.run("abc").history) == 3
    log.row(a=1, b=2).rows(1).exit(0)
    report = sync(server, log.directory)
    assert [o.status for o in report.outcomes] == [Status.SYNCED]
    run = server.run("abc")
    assert [row["_step"] for row in run.history] == [0, 1, 2, 3] and run.history[2]["b"] == 2
    assert run.exit_code == 0


def test_a_file_that_is_gone_is_told_and_the_run_is_not_called_synced(
    server: SimulatedServer, tmp_path: Path
) -> None:
    log = LogBuilder(tmp_path).rows(1).file("gone.txt").exit(0)
    report = sync(server, log.directory)
    (outcome,) = report.outcomes
    assert outcome.status is Status.INCOMPLETE and "gone.txt" in outcome.reason and report.exit_code == 3
    assert server.run("abc").complete and not log.path.with_name(log.path.name + ".synced").exists()
    n_requests = len(server.requests)
    report = sync(server, log.directory)
    assert len(server.requests) == n_requests and report.exit_code == 3
    (log.directory / "files" / "gone.txt").write_bytes(b"back")
    assert [o.status for o in sync(server, log.directory).outcomes] == [Status.SYNCED]
    assert server.run("abc").files["gone.txt"] == b"back"


@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize("trouble", ["upload", "CreateRunFiles"])
def test_trouble_with_files_does_not_keep_the_rows_back(
    server: SimulatedServer, tmp_path: Path, trouble: str, finished: bool
) -> None:
    log = LogBuilder(tmp_path).file("a", b"x").rows(3)
    if finished:
        log.exit(0)
    server.fail = lambda operation, n: Answer(503) if operation == trouble else None
    report = sync(server, log.directory)
    assert report.exit_code == 5 and len(server.run("abc").history) == 3
    server.fail = lambda operation, n: None
    sync(server, log.directory)
    assert server.run("abc").files["a"] == b"x" and len(server.run("abc").history) == 3


def test_a_server_that_takes_no_files_gets_the_run_and_the_files_are_missing(
    server: SimulatedServer, tmp_path: Path
) -> None:
    log = LogBuilder(tmp_path).file("a", b"x").rows(3).exit(0)
    refusal = Answer(200, body=b'{"errors": [{"message": "no storage"}]}')
    server.fail = lambda operation, n: refusal if operation == "CreateRunFiles" else None
    (outcome,) = sync(server, log.directory).outcomes
    assert outcome.status is Status.INCOMPLETE and outcome.exit_code == 3 and "no storage" in outcome.reason
    assert server.run("abc").complete and len(server.run("abc").history) == 3


def test_a_refused_file_that_the_syncer_makes_is_tried_again_by_the_next_sync(
    server: SimulatedServer, tmp_path: Path
) -> None:
    log = LogBuilder(tmp_path).output("hello\n").rows(3).exit(0)
    server.fail = lambda operation, n: Answer(403) if operation == "upload" else None
    assert [o.status for o in sync(server, log.directory).outcomes] == [Status.INCOMPLETE]
    assert not server.run("abc").files
    server.fail = lambda operation, n: None
    assert [o.status for o in sync(server, log.directory).outcomes] == [Status.SYNCED]
    assert sorted(server.run("abc").files) == ["config.yaml", "output.log", "wandb-summary.json"]
    assert len(server.run("abc").history) == 3


def test_a_path_that_no_file_system_takes_is_a_missing_file(server: SimulatedServer, tmp_path: Path) -> None:
    log = LogBuilder(tmp_path).file("a" * 5000).rows(1).exit(0)
    for _ in range(2):
        (outcome,) = sync(server, log.directory).outcomes
        assert outcome.exit_code == 3
    assert outcome.status is Status.UNCHANGED and server.run("abc").complete


@pytest.mark.parametrize("value", ["mine", 1, [1, 2], None, {"viz": 1}])
def test_a_config_key_called_as_ours_harms_nothing(
    server: SimulatedServer, tmp_path: Path, value: Any
) -> None:
    log = LogBuilder(tmp_path, resume=True, config={"_wandb": value, "lr": 1}).rows(1).exit(0)
    assert [o.status for o in sync(server, log.directory).outcomes] == [Status.SYNCED]
    config = server.run("abc").config
    assert config["lr"] == {"value": 1} and config["_wandb"]["value"]["cli_version"] == "0.1.0"
    again = LogBuilder(tmp_path, directory="2", resume=True, config={"_wandb": value}).rows(1).exit(0)
    assert [o.status for o in sync(server, again.directory).outcomes] == [Status.SYNCED]


@pytest.mark.parametrize("after_s", [2**50, -(2**50)])
def test_odd_console_output_harms_nothing(server: SimulatedServer, tmp_path: Path, after_s: int) -> None:
    log = LogBuilder(tmp_path).output("a\n").output(f"\x1b[{'9' * 5000}Ab\n").rows(1)
    record = pb.Record()
    record.output_raw.output_type, record.output_raw.line = 1, "c\n"
    record.output_raw.timestamp.seconds = after_s
    log.add(record).exit(0)
    assert [o.status for o in sync(server, log.directory).outcomes] == [Status.SYNCED]
    assert [line[-1] for line in server.run("abc").console] == ["a", "9", "b", "c"]


def test_a_record_that_cannot_be_used_costs_itself_only(
    server: SimulatedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Any, stream: int, text: str, at_us: int) -> None:
        raise OverflowError("an odd value")

    monkeypatch.setattr(printed.Console, "write", refuse)
    log = LogBuilder(tmp_path).rows(1).output("x\n").rows(1).exit(0)
    (outcome,) = sync(server, log.directory).outcomes
    assert outcome.status is Status.INCOMPLETE and "1 records could not be understood" in outcome.reason
    assert len(server.run("abc").history) == 2 and server.run("abc").complete


def test_a_damaged_block_costs_its_own_rows_only(server: SimulatedServer, tmp_path: Path) -> None:
    log = LogBuilder(tmp_path).rows(1500).exit(0)
    data = bytearray(log.path.read_bytes())
    data[40_000] ^= 1
    log.path.write_bytes(data)
    events: Events = []
    report = sync(server, log.directory, events=events)
    (outcome,) = report.outcomes
    assert outcome.status is Status.INCOMPLETE and "damaged" in outcome.reason and report.exit_code == 3
    steps = [row["_step"] for row in server.run("abc").history]
    assert steps == sorted(steps) and steps[0] == 0 and steps[-1] == 1499 and 1000 < len(steps) < 1500
    assert "log_damaged" in [name for name, _ in events]
    assert server.run("abc").complete


def test_a_torn_tail_is_no_loss(server: SimulatedServer, tmp_path: Path) -> None:
    log = LogBuilder(tmp_path).rows(10).close()
    os.truncate(log.path, log.path.stat().st_size - 3)
    report = sync(server, log.directory, finish=True)
    assert [o.status for o in report.outcomes] == [Status.UPLOADED]
    assert len(server.run("abc").history) == 9


def test_a_server_that_wants_small_requests_gets_them(server: SimulatedServer, tmp_path: Path) -> None:
    log = LogBuilder(tmp_path).rows(20_000).exit(0)
    handle = server.handle

    def limited(method: str, url: str, data: bytes, operation: str = "") -> Any:
        if url.endswith("file_stream") and len(data) > 1 << 20:
            from wandb_sync.transport.base import Response

            return None, Response(413, b"too large")
        return handle(method, url, data, operation)

    server.handle = limited  # type: ignore[method-assign]
    assert [o.status for o in sync(server, log.directory).outcomes] == [Status.SYNCED]
    assert len(server.run("abc").history) == 20_000


def test_the_console_form_is_asked_for_once(tmp_path: Path) -> None:
    server = SimulatedServer(features={"STRUCTURED_CONSOLE_LOGS": True})
    for name in "abc":
        LogBuilder(tmp_path / "wandb", name).output("x\n").exit(0)
    sync(server, tmp_path / "wandb", parallel=1)
    assert server.requests.count("ServerFeaturesQuery") == 1
    assert json.loads(server.run("a").console[0])["content"] == "x"


@pytest.mark.parametrize("status", [400, 404])
def test_a_server_that_refuses_the_question_for_its_features_has_none(
    server: SimulatedServer, tmp_path: Path, status: int
) -> None:
    log = LogBuilder(tmp_path).output("x\n").exit(0)
    server.fail = lambda operation, n: Answer(status) if operation == "ServerFeaturesQuery" else None
    assert [o.status for o in sync(server, log.directory).outcomes] == [Status.SYNCED]
    assert server.run("abc").console[0].endswith(" x")


def test_a_run_that_the_server_has_lost_is_uploaded_anew(server: SimulatedServer, tmp_path: Path) -> None:
    log = LogBuilder(tmp_path).rows(5)
    sync(server, log.directory)
    server.runs.clear()
    log.rows(1).exit(0)
    assert [o.status for o in sync(server, log.directory).outcomes] == [Status.SYNCED]
    assert len(server.run("abc").history) == 6


def test_a_log_that_was_replaced_is_uploaded_from_its_begin(server: SimulatedServer, tmp_path: Path) -> None:
    log = LogBuilder(tmp_path).rows(50)
    sync(server, log.directory)
    log.close()
    log.path.unlink()
    (log.directory / "files").rmdir()
    events: Events = []
    again = LogBuilder(tmp_path, started_s=1_800_000_000).rows(60).exit(0)
    sync(server, again.directory, events=events)
    assert "checkpoint_discarded" in [name for name, _ in events]
    assert server.run("abc").history[0]["_timestamp"] == 1_800_000_000


def test_one_log_goes_to_several_places_with_a_checkpoint_for_each(
    server: SimulatedServer, tmp_path: Path
) -> None:
    log = everything(tmp_path)
    sync(server, log.directory)
    sync(server, log.directory, target=Target(project="other"))
    assert server.run("someone/p/all").state() == server.run("someone/other/all").state()
    n_requests = len(server.requests)
    sync(server, log.directory)
    sync(server, log.directory, target=Target(project="other"))
    assert len(server.requests) == n_requests


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    from wandb_sync.transport.dry_run import DryRun

    log = everything(tmp_path)
    before = sorted(str(path) for path in tmp_path.rglob("*"))
    dry = DryRun()
    report = Service(dry, "http://x", RunOptions(dry_run=True)).run([str(log.directory)])
    assert [(o.status, o.url) for o in report.outcomes] == [(Status.PLANNED, "")] and dry.n_requests > 5
    assert report.exit_code == 0
    assert sorted(str(path) for path in tmp_path.rglob("*")) == before


def test_a_dry_run_counts_only_what_is_new(server: SimulatedServer, tmp_path: Path) -> None:
    from wandb_sync.transport.dry_run import DryRun

    log = LogBuilder(tmp_path).rows(7)
    sync(server, log.directory)
    log.rows(5)
    (outcome,) = (
        Service(DryRun(), server.base_url, RunOptions(dry_run=True)).run([str(log.directory)]).outcomes
    )
    assert outcome.status is Status.PLANNED and outcome.counts["rows"] == 5


def test_without_its_console_a_run_is_not_called_synced(server: SimulatedServer, tmp_path: Path) -> None:
    log = LogBuilder(tmp_path).output("x\n").rows(1).exit(0)
    (outcome,) = sync(server, log.directory, wishes=Wishes(console=False)).outcomes
    assert outcome.status is Status.UPLOADED and "console" in outcome.reason and outcome.exit_code == 0
    assert not list(log.directory.glob("*.receipt")) and not list(log.directory.glob("*.synced"))


@pytest.mark.parametrize("n_rows", [20, 500])
def test_a_log_that_shrank_is_told_and_the_server_keeps_what_it_has(
    server: SimulatedServer, tmp_path: Path, n_rows: int
) -> None:
    log = LogBuilder(tmp_path).rows(n_rows).exit(0)
    sync(server, log.directory)
    before = server.run("abc").state()
    os.truncate(log.path, log.path.stat().st_size * 2 // 3)
    (outcome,) = sync(server, log.directory, finish=True).outcomes
    assert (outcome.status, outcome.exit_code) == (Status.FAILED, 1) and "shorter" in outcome.reason
    assert server.run("abc").state() == before
    (outcome,) = sync(server, log.directory, finish=True, include_synced=True).outcomes
    assert outcome.status is Status.UPLOADED


def test_the_syncers_files_can_stand_elsewhere(server: SimulatedServer, tmp_path: Path) -> None:
    log = everything(tmp_path)
    state_dir = tmp_path / "state"
    state_dir.mkdir()
    before = sorted(str(path) for path in log.directory.rglob("*"))
    sync(server, log.directory, state_dir=state_dir)
    assert sorted(str(path) for path in log.directory.rglob("*")) == before
    assert [o.status for o in sync(server, log.directory, state_dir=state_dir).outcomes] == [Status.UNCHANGED]


def test_no_credential_stands_in_what_the_syncer_writes(tmp_path: Path) -> None:
    server = SimulatedServer()
    log = everything(tmp_path)
    Service(server, "http://user:secret@simulated", RunOptions()).run([str(log.directory)])
    for path in log.directory.glob("*.wandb.*"):
        assert b"secret" not in path.read_bytes()


# ---- a run in several logs


def test_segments_of_a_run_are_synced_in_the_order_of_time(server: SimulatedServer, tmp_path: Path) -> None:
    LogBuilder(tmp_path / "w", directory="z", resume=False, started_s=100).rows(3).exit(1)
    LogBuilder(tmp_path / "w", directory="y", resume=True, started_s=200).rows(2).exit(1)
    LogBuilder(tmp_path / "w", directory="x", resume=True, started_s=300).rows(2).exit(0)
    assert sync(server, tmp_path / "w").exit_code == 0
    run = server.run("abc")
    assert [row["_step"] for row in run.history] == list(range(7)) and run.exit_code == 0
    before = run.state()
    assert {o.status for o in sync(server, tmp_path / "w").outcomes} == {Status.UNCHANGED}
    assert server.run("abc").state() == before


def test_a_resumed_run_that_is_interrupted_continues_by_its_own_count(
    server: SimulatedServer, tmp_path: Path, small_batches: None
) -> None:
    first = LogBuilder(tmp_path / "w", directory="1").rows(30).exit(1)
    sync(server, first.directory)
    second = LogBuilder(tmp_path / "w", directory="2", resume=True, started_s=STARTED_S + 60)
    second.rows(100).exit(0)
    posts = [0]

    def fail(operation: str, n: int) -> Any:
        posts[0] += operation == "file_stream"
        return Cut.AFTER if posts[0] >= 3 else None

    server.fail = fail
    assert sync(server, second.directory).exit_code == 5
    server.fail = lambda operation, n: None
    assert sync(server, second.directory).exit_code == 0
    assert [row["_step"] for row in server.run("abc").history] == list(range(130))
    state = json.loads(second.path.with_name(second.path.name + ".syncstate").read_text())
    assert state["starting_step"] == 30


def test_a_watch_lets_the_segment_that_comes_later_have_the_last_word(
    server: SimulatedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visits, "VISIT_EVERY_S", 0.05)
    monkeypatch.setattr(watch_module, "LOOK_EVERY_S", 0.05)
    first = LogBuilder(tmp_path / "w", directory="offline-run-1-abc").rows(
        3
    )  # by a process we know nothing of
    stop = threading.Event()
    watch = Service(server, "http://simulated", RunOptions(), watch=True, stop=stop)
    thread = threading.Thread(target=watch.run, args=([str(tmp_path / "w")],))
    thread.start()

    def wait_for(condition: Callable[[], bool]) -> None:
        for _ in range(600):
            if condition():
                return
            time.sleep(0.05)
        raise AssertionError("it did not come about in half a minute")

    wait_for(lambda: bool(server.runs) and len(server.run("abc").history) == 3)
    segment = pb.SegmentInfo(
        previous="offline-run-1-abc/run-abc.wandb", previous_end=first.writer.end, begin={"history": 3}
    )
    later = LogBuilder(tmp_path / "w", directory="offline-run-2-abc", segment=segment, starting_step=3)
    later.step = 3
    later.rows(2).exit(0)
    wait_for(lambda: len(list(tmp_path.glob("w/*/*.receipt"))) == 2)
    stop.set()
    thread.join(30)
    run = server.run("abc")
    assert [row["_step"] for row in run.history] == [0, 1, 2, 3, 4]
    assert (run.complete, run.exit_code, run.summary["_step"]) == (True, 0, 4)


def test_after_a_failed_part_the_later_ones_wait(server: SimulatedServer, tmp_path: Path) -> None:
    LogBuilder(tmp_path / "w", directory="1", started_s=100).rows(1).exit(0)
    LogBuilder(tmp_path / "w", directory="2", resume=True, started_s=200).rows(1).exit(0)
    server.fail = lambda operation, n: Answer(404) if operation == "file_stream" else None
    report = sync(server, tmp_path / "w")
    assert [o.status for o in report.outcomes] == [Status.FAILED] * 2 and report.exit_code == 7
    assert "earlier part" in report.outcomes[1].reason


# ---- many runs


def test_many_runs_arrive_in_parallel(server: SimulatedServer, tmp_path: Path) -> None:
    for i in range(20):
        LogBuilder(tmp_path / "wandb", f"run{i:02}").rows(i).exit(0)
    report = sync(server, tmp_path / "wandb", parallel=4)
    assert report.exit_code == 0 and report.by_status == {"synced": 20}
    assert [len(server.run(f"run{i:02}").history) for i in range(20)] == list(range(20))


def test_what_happens_to_one_run_happens_to_that_run_only(server: SimulatedServer, tmp_path: Path) -> None:
    root = tmp_path / "wandb"
    LogBuilder(root, "good").rows(3).exit(0)
    LogBuilder(root, "refused").rows(3).exit(0)
    for name, data in (("header", b":W&B\xe1\xbe\x00"), ("foreign", b"no log at all"), ("empty", b"")):
        directory = root / f"offline-run-20260101_000000-{name}"
        directory.mkdir()
        (directory / f"run-{name}.wandb").write_bytes(data)
    upsert = server._UpsertBucket

    def refuse(variables: Dict[str, Any]) -> Any:
        if variables["name"] == "refused":
            raise ValueError("a bug in the server")
        return upsert(variables)

    def fail(operation: str, n: int) -> Any:
        body = server.bodies[n] or {}
        return Answer(404) if (body.get("variables") or {}).get("name") == "refused" else None

    server.fail = fail
    report = sync(server, root)
    assert statuses(report) == {
        "run-good.wandb": Status.SYNCED,
        "run-refused.wandb": Status.FAILED,
        "run-header.wandb": Status.EMPTY,
        "run-foreign.wandb": Status.FAILED,
        "run-empty.wandb": Status.EMPTY,
    }
    assert report.exit_code == 3
    assert refuse is not None


def test_a_bug_of_ours_ends_one_run_only(
    server: SimulatedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    LogBuilder(tmp_path / "w", "good").rows(1).exit(0)
    LogBuilder(tmp_path / "w", "bad").rows(1).exit(0)
    judge = run_sync.RunSync._judge

    def buggy(self: Any, session: Any, lacks: Any) -> Any:
        if session.run.run_id == "bad":
            raise ZeroDivisionError("oh")
        return judge(self, session, lacks)

    monkeypatch.setattr(run_sync.RunSync, "_judge", buggy)
    events: Events = []
    report = sync(server, tmp_path / "w", events=events)
    assert report.by_status == {"failed": 1, "synced": 1} and report.exit_code == 3
    (trace,) = [fields["error"] for name, fields in events if name == "internal_error"]
    assert "ZeroDivisionError" in trace


@pytest.mark.parametrize("status, code", [(503, 5), (404, 7), (401, 6), (429, 5)])
def test_trouble_that_all_runs_have_is_the_exit_code(
    server: SimulatedServer, tmp_path: Path, status: int, code: int
) -> None:
    for name in "ab":
        LogBuilder(tmp_path / "w", name).rows(1).exit(0)
    server.fail = lambda operation, n: Answer(status)
    if status == 401:
        from wandb.errors import AuthenticationError

        def refuse(request: Any) -> Any:
            raise AuthenticationError("no", status=401)

        server.send = refuse  # type: ignore[method-assign]
    assert sync(server, tmp_path / "w").exit_code == code


def test_a_run_that_somebody_else_syncs_is_left_to_him(server: SimulatedServer, tmp_path: Path) -> None:
    log = LogBuilder(tmp_path).rows(1).exit(0)
    with Lease(lease_of(log)):
        report = sync(server, log.directory)
    assert [o.status for o in report.outcomes] == [Status.LOCKED] and report.exit_code == 9
    assert server.requests == []


def in_time(condition: Callable[[], bool]) -> bool:
    """Wait for what another thread is about to do."""
    for _ in range(3000):
        if condition():
            return True
        time.sleep(0.01)
    return False


def test_a_lease_is_renewed_while_the_run_is_uploaded(
    server: SimulatedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visits, "RENEW_EVERY_S", 0.01)
    log = LogBuilder(tmp_path).rows(1).exit(0)
    lease = lease_of(log)
    seen: List[bool] = []

    def wait(operation: str, n: int) -> None:
        if not seen:
            os.utime(lease, (0, 0))
            seen.append(in_time(lambda: lease.stat().st_mtime > 0))

    server.fail = wait
    assert sync(server, log.directory).exit_code == 0
    assert seen and all(seen) and not lease.exists()


def test_whoever_finds_his_lease_taken_over_sends_no_more(
    server: SimulatedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_batches: None
) -> None:
    monkeypatch.setattr(visits, "RENEW_EVERY_S", 0.01)
    log = LogBuilder(tmp_path).rows(300).exit(0)
    lease = lease_of(log)
    service = Service(server, server.base_url)
    checkpoint = DESTINATION.file(log.path.with_name(log.path.name + ".checkpoint"))
    before: List[bytes] = []
    noticed: List[bool] = []

    def take_over(operation: str, n: int) -> None:
        if n == 2:
            before.append(checkpoint.read_bytes())
            lease.write_text('{"nonce": "theirs"}')
            noticed.append(in_time(lambda: service._visits.leases[0].is_lost))

    server.fail = take_over
    report = service.run([str(log.directory)])
    assert noticed == [True]
    assert [o.status for o in report.outcomes] == [Status.LOCKED] and report.exit_code == 9
    assert len(server.requests) == 3 and lease.read_text() == '{"nonce": "theirs"}'
    assert checkpoint.read_bytes() == before[0]  # it is the other's to write now


def test_with_a_state_directory_lease_and_marker_beside_the_log_count_too(
    server: SimulatedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = LogBuilder(tmp_path / "w").rows(1).exit(0)
    (tmp_path / "state").mkdir()
    beside = lease_of(log)
    for can_write in (True, False):
        with monkeypatch.context() as patch:
            patch.setattr(run_sync.os, "access", lambda path, mode: can_write)
            with Lease(beside):
                report = sync(server, log.directory, state_dir=tmp_path / "state")
            assert [o.status for o in report.outcomes] == [Status.LOCKED]
    marker = log.path.with_name(log.path.name + ".synced")
    marker.touch()
    report = sync(server, log.directory, state_dir=tmp_path / "state")
    assert [o.status for o in report.outcomes] == [Status.SKIPPED] and server.requests == []
    marker.unlink()
    server.fail = lambda operation, n: None if beside.exists() else Answer(404)
    report = sync(server, log.directory, state_dir=tmp_path / "state")
    assert [o.status for o in report.outcomes] == [Status.SYNCED] and not beside.exists()


def test_of_two_syncs_at_once_the_rows_arrive_once(server: SimulatedServer, tmp_path: Path) -> None:
    for i in range(10):
        LogBuilder(tmp_path / "w", f"r{i}").rows(20).exit(0)
    reports: List[Report] = []
    threads = [
        threading.Thread(target=lambda: reports.append(sync(server, tmp_path / "w"))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(len(server.run(f"r{i}").history) == 20 for i in range(10))
    assert sum(report.by_status.get("synced", 0) for report in reports) == 10


def test_runs_that_wandb_recorded_online_are_left_out_unless_wanted_or_named(
    server: SimulatedServer, tmp_path: Path
) -> None:
    root = tmp_path / "wandb"
    online = LogBuilder(root, "on", producer="0.31.0+x", directory="run-20260101_000000-on").rows(1).exit(0)
    LogBuilder(root, "ours", directory="run-20260101_000000-ours").rows(1).exit(0)
    LogBuilder(root, "off").rows(1).exit(0)
    assert sync(server, root).by_status == {"synced": 2, "skipped": 1}
    assert sync(server, online.directory).by_status == {"synced": 1}
    selection = Selection(include_offline=False, include_online=True)
    assert sync(server, root, selection=selection).by_status == {"unchanged": 2, "skipped": 1}


def test_one_id_for_several_runs_is_refused(server: SimulatedServer, tmp_path: Path) -> None:
    for name in "ab":
        LogBuilder(tmp_path / "w", name).rows(1).exit(0)
    with pytest.raises(UsageError, match="--id"):
        sync(server, tmp_path / "w", target=Target(run_id="x"))


def test_paths_without_a_run_are_told_and_the_others_synced(server: SimulatedServer, tmp_path: Path) -> None:
    log = LogBuilder(tmp_path / "w").rows(1).exit(0)
    (tmp_path / "empty").mkdir()
    report = sync(server, tmp_path / "empty", log.directory)
    assert report.by_status == {"empty": 1, "synced": 1} and report.exit_code == 0
    report = sync(server, tmp_path / "gone", tmp_path / "empty", log.directory)
    assert report.by_status == {"failed": 1, "empty": 1, "unchanged": 1} and report.exit_code == 3
    assert report.outcomes[0].log.shown == str(tmp_path / "gone")


def test_if_no_path_is_one_of_a_run_the_call_is_wrong(server: SimulatedServer, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="gone"):
        sync(server, tmp_path / "gone", tmp_path)


def test_no_run_is_nothing_to_do(
    server: SimulatedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    report = sync(server)
    assert report.outcomes == [] and report.exit_code == 0


def test_files_are_not_left_open(server: SimulatedServer, tmp_path: Path) -> None:
    everything(tmp_path / "w")
    LogBuilder(tmp_path / "w", "running").rows(1)
    sync(server, tmp_path / "w")
    links = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            links.append(os.readlink(f"/proc/self/fd/{fd}"))
        except OSError:
            pass
    assert not [link for link in links if "run-all" in link]


def test_a_stop_lets_the_post_under_way_be_acknowledged_and_kept_and_sends_no_other(
    server: SimulatedServer, tmp_path: Path, small_batches: None
) -> None:
    log = LogBuilder(tmp_path).rows(300).exit(0)
    stop = threading.Event()
    server.fail = lambda operation, n: stop.set() if n == 2 else None
    report = sync(server, log.directory, stop=stop)
    assert [(o.status, o.exit_code) for o in report.outcomes] == [(Status.INTERRUPTED, 130)]
    assert server.requests == ["UpsertBucket", "file_stream", "file_stream"] and report.exit_code == 130
    n_rows = len(server.run("abc").history)
    assert [o.status for o in sync(server, log.directory).outcomes] == [Status.SYNCED]
    posted = (((body or {}).get("files") or {}).get(batching.HISTORY) for body in server.bodies[3:])
    assert min(chunk["offset"] for chunk in posted if chunk) == n_rows > 10


# ---- live


def test_a_live_run_is_followed_until_it_ends(
    server: SimulatedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visits, "VISIT_EVERY_S", 0.05)
    log = LogBuilder(tmp_path / "w").rows(1)
    finished = LogBuilder(tmp_path / "w", "other").rows(2).exit(0)

    def write() -> None:
        while not any(run.name == "abc" and run.lines for run in list(server.runs.values())):
            time.sleep(0.01)
        log.rows(5)
        time.sleep(0.2)
        log.rows(5).exit(4)

    thread = threading.Thread(target=write)
    thread.start()
    report = sync(server, tmp_path / "w", live=True)
    thread.join()
    assert report.exit_code == 0 and report.by_status == {"synced": 2}
    assert len(server.run("abc").history) == 11 and server.run("abc").exit_code == 4
    assert finished.path.exists()


def test_watching_finds_runs_that_begin_later(
    server: SimulatedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visits, "VISIT_EVERY_S", 0.05)
    monkeypatch.setattr(watch_module, "LOOK_EVERY_S", 0.05)
    LogBuilder(tmp_path / "w", "first").rows(1).exit(0)
    stop = threading.Event()

    def write() -> None:
        while not server.runs or not server.run("first").complete:
            time.sleep(0.01)
        LogBuilder(tmp_path / "w", "second").rows(2).exit(0)
        while len(server.runs) < 2 or not server.run("second").complete:
            time.sleep(0.01)
        stop.set()

    thread = threading.Thread(target=write)
    thread.start()
    report = sync(server, tmp_path / "w", watch=True, stop=stop)
    thread.join()
    assert report.was_interrupted and report.exit_code == 130
    assert len(server.run("second").history) == 2


def test_watching_waits_for_a_directory_and_outlives_it(
    server: SimulatedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visits, "VISIT_EVERY_S", 0.05)
    monkeypatch.setattr(watch_module, "LOOK_EVERY_S", 0.05)
    stop = threading.Event()
    events: Events = []

    def write() -> None:
        while not events:
            time.sleep(0.01)
        for n, name in enumerate(("first", "second"), 1):
            LogBuilder(tmp_path / "w", name).rows(2).exit(0)
            while [name for name, _ in events].count("run_done") < n:
                time.sleep(0.01)
            shutil.rmtree(tmp_path / "w")
            time.sleep(0.2)
        stop.set()

    thread = threading.Thread(target=write)
    thread.start()
    report = sync(server, tmp_path / "w", watch=True, stop=stop, events=events)
    thread.join()
    assert [name for name, _ in events].count("awaited") == 1
    assert report.was_interrupted and sorted(run.name for run in server.runs.values()) == ["first", "second"]


def test_wishes_reach_every_run(server: SimulatedServer, tmp_path: Path) -> None:
    for name in "ab":
        LogBuilder(tmp_path / "w", name).exit(0)
    sync(server, tmp_path / "w", wishes=Wishes(group="together"))
    assert {run.fields["groupName"] for run in server.runs.values()} == {"together"}


def test_the_log_is_read_from_the_checkpoint_on_and_not_from_its_begin(
    server: SimulatedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = LogBuilder(tmp_path).rows(2000)
    sync(server, log.directory)
    end = list(read_records(log.path))[-1].end
    offsets: List[int] = []
    real_reader = run_sync.Reader

    class Spy(real_reader):  # type: ignore[valid-type,misc]
        def __init__(self, path: Any, offset: int = 0) -> None:
            offsets.append(offset)
            super().__init__(path, offset)

    monkeypatch.setattr(run_sync, "Reader", Spy)
    monkeypatch.setattr(segments, "Reader", Spy)
    log.rows(1).exit(0)
    sync(server, log.directory)
    assert offsets.count(0) == 1 and end in offsets  # the one from 0 reads the first records: whose run it is


class Following:
    """A sync that follows, in a thread, until told to stop."""

    def __init__(self, server: SimulatedServer, *paths: Path, **options: Any) -> None:
        self.events: Events = []
        self.stop = threading.Event()
        arguments = {"events": self.events, "stop": self.stop, **options}
        self._thread = threading.Thread(target=sync, args=(server, *paths), kwargs=arguments)

    def __enter__(self) -> "Following":
        self._thread.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self.stop.set()
        self._thread.join()

    def until(self, condition: Callable[[], Any]) -> None:
        end_s = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < end_s, self.events
            time.sleep(0.01)

    def told(self, name: str) -> List[Mapping[str, Any]]:
        return [fields for event, fields in self.events if event == name]


def alive(parent: Path, run_id: str = "abc") -> LogBuilder:
    return LogBuilder(parent, run_id, writer=writer_identity())


def test_a_silent_run_has_a_heartbeat_and_hears_a_wish_to_stop_once(
    server: SimulatedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visits, "VISIT_EVERY_S", 0.02)
    monkeypatch.setattr(run_sync, "HEARTBEAT_S", 0.05)
    log = alive(tmp_path).rows(1)
    with Following(server, log.directory, live=True) as following:
        following.until(lambda: server.bodies.count({}) > 2)
        server.run("abc").is_asked_to_stop = True
        following.until(lambda: following.told("stop_asked"))
        n_beats = server.bodies.count({})
        following.until(lambda: server.bodies.count({}) > n_beats + 2)
    assert len(following.told("stop_asked")) == 1


def test_a_followed_log_that_does_not_grow_costs_no_request_and_no_checkpoint(
    server: SimulatedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visits, "VISIT_EVERY_S", 0.02)
    log = alive(tmp_path).rows(1)
    with Following(server, log.directory, live=True) as following:
        following.until(lambda: following.told("progress"))
        following.until(lambda: list(log.directory.glob("*.checkpoint")))
        (checkpoint,) = log.directory.glob("*.checkpoint")
        before = (len(server.requests), checkpoint.stat().st_mtime_ns)
        time.sleep(0.3)
        assert (len(server.requests), checkpoint.stat().st_mtime_ns) == before


def test_a_followed_run_that_fails_for_a_while_is_tried_again_and_the_others_go_on(
    server: SimulatedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visits, "RETRY_EVERY_S", (0.02, 0.05))
    is_down = threading.Event()
    is_down.set()

    def fail(operation: str, n: int) -> Any:
        is_bad = operation == "UpsertBucket" and server.bodies[-1]["variables"]["name"] == "bad"
        return Answer(503) if is_bad and is_down.is_set() else None

    def complete() -> List[str]:
        return sorted(run.name for run in server.runs.values() if run.complete)

    server.fail = fail
    alive(tmp_path / "w", "bad").rows(2).exit(0)
    good = alive(tmp_path / "w", "good").rows(2)
    with Following(server, tmp_path / "w", watch=True, parallel=1, poll_s=0.02) as following:
        following.until(lambda: following.told("waiting") and server.runs)
        good.rows(1).exit(0)
        following.until(complete)
        assert complete() == ["good"]
        is_down.clear()
        following.until(lambda: complete() == ["bad", "good"])
    assert len(server.run("bad").history) == 2
    told, *_ = following.told("waiting")
    assert "503" in told["error"] and "-bad/" in told["log"]


def test_large_files_of_several_runs_do_not_take_all_places_of_a_watch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_sync, "LARGE_FILES_BYTES", 10_000)
    monkeypatch.setattr(visits, "VISIT_EVERY_S", 0.05)
    link_is_free = threading.Event()

    class SlowServer(SimulatedServer):
        def send(self, request: Request) -> Response:
            if request.n_bytes >= 10_000:
                link_is_free.wait(60)
            return super().send(request)

    server = SlowServer()
    for name in "abc":
        alive(tmp_path / "w", name).file("model.bin", bytes(10_000)).rows(1).exit(0)
    small = alive(tmp_path / "w", "small").rows(1)
    with Following(server, tmp_path / "w", watch=True, parallel=2, poll_s=0.02) as following:
        following.until(lambda: len(server.runs) == 4)
        small.rows(2)
        following.until(lambda: len(server.run("small").history) == 3)
        assert not any(run.complete for run in server.runs.values())
        link_is_free.set()
        following.until(lambda: sum(run.complete for run in server.runs.values()) == 3)
    assert all(len(server.run(name).files["model.bin"]) == 10_000 for name in "abc")


def test_patience_with_a_followed_run_ends(
    server: SimulatedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visits, "RETRY_EVERY_S", (0.02, 0.05))
    server.fail = lambda request, n: Answer(503)
    log = LogBuilder(tmp_path).rows(1).exit(0)
    report = sync(server, log.directory, live=True, patience_s=0.3)
    assert report.exit_code == 5 and len(server.requests) > 2


def test_more_runs_are_followed_than_logs_are_held_open(
    server: SimulatedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visits, "MAX_OPEN", 2)
    logs = [alive(tmp_path / "w", name).rows(1) for name in "abcdef"]
    with Following(server, tmp_path / "w", live=True, poll_s=0.02) as following:
        following.until(lambda: len(server.runs) == 6 and all(r.history for r in server.runs.values()))
        following.until(lambda: len(list(tmp_path.rglob("*.lease"))) <= 3)
        for log in logs:
            log.rows(1).exit(0)
        following.until(lambda: all(run.complete for run in server.runs.values()))
    assert {len(run.history) for run in server.runs.values()} == {2}
