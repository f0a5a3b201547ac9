"""The session: records in, requests out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import pytest
from log_builder import STARTED_S, LogBuilder, everything
from simulated_server import SimulatedServer

from wandb.errors import SyncError, TransientError
from wandb.proto import record_pb2 as pb
from wandb.transaction_log.reader import read_records
from wandb_sync.session import Session, Steps, Target, Wishes
from wandb_sync.transport.base import Request


def drive(steps: Steps, server: Any) -> None:
    response = None
    try:
        while True:
            response = server.send(steps.send(response))  # type: ignore[arg-type]
    except StopIteration:
        pass


def play(session: Session, log: Path, server: Any, *, offset: int = 0, exit_code: int = 1) -> None:
    """Sync a whole log, without files."""
    for record in read_records(log):
        if record.offset >= offset and session.add(record.payload, record.end):
            if session.wants_position:
                drive(session.locate(), server)
                continue
            if session.bucket is None:
                drive(session.open(), server)
            drive(session.flush(), server)
    if session.bucket is None:
        drive(session.open(), server)
    session.end(exit_code)
    drive(session.finish(), server)


def synced(log: LogBuilder, server: Optional[SimulatedServer] = None, **wishes: Any) -> SimulatedServer:
    server = server or SimulatedServer()
    play(Session(Target(), Wishes(**wishes)), log.path, server)
    return server


def test_a_small_run_is_two_requests(tmp_path: Path) -> None:
    server = synced(LogBuilder(tmp_path).rows(5).exit(0))
    assert server.requests == ["UpsertBucket", "file_stream"]


def test_rows_arrive_with_their_steps_and_in_order(tmp_path: Path) -> None:
    server = synced(LogBuilder(tmp_path).rows(5).exit(0))
    history = server.run("abc").history
    assert [row["_step"] for row in history] == [0, 1, 2, 3, 4]
    assert history[3] == {"loss": 0.25, "acc": 3, "_step": 3, "_runtime": 1.5, "_timestamp": 1700000001.5}


def test_the_exit_code_ends_the_run(tmp_path: Path) -> None:
    run = synced(LogBuilder(tmp_path).rows(1).exit(3)).run("abc")
    assert run.complete and run.exit_code == 3


def test_a_log_without_exit_record_ends_with_the_code_that_is_given(tmp_path: Path) -> None:
    run = synced(LogBuilder(tmp_path).rows(1).close()).run("abc")
    assert run.complete and run.exit_code == 1


def test_what_the_run_record_says_reaches_the_server(tmp_path: Path) -> None:
    fields = synced(everything(tmp_path)).run("all").fields
    wanted = {
        "displayName": "a name",
        "notes": "notes",
        "tags": ["x", "y"],
        "groupName": "g",
        "jobType": "train",
        "host": "somewhere",
        "program": "/code/train.py",
    }
    assert {name: fields[name] for name in wanted} == wanted


def test_a_later_run_record_changes_the_parameters(tmp_path: Path) -> None:
    log = LogBuilder(tmp_path).rows(1).run(run_id="abc", project="p", display_name="new", tags=["t"]).exit(0)
    run = synced(log).run("abc")
    assert run.fields["displayName"] == "new" and run.fields["tags"] == ["t"]


def test_wishes_win_over_the_log(tmp_path: Path) -> None:
    log = LogBuilder(tmp_path, tags=["old", "kept"], display_name="a").exit(0)
    server = synced(log, replace_tags={"old": "new"}, name="b", group="g2", job_type="j2")
    fields = server.run("abc").fields
    assert fields["tags"] == ["new", "kept"]
    assert (fields["displayName"], fields["groupName"], fields["jobType"]) == ("b", "g2", "j2")


def test_the_target_wins_over_the_log(tmp_path: Path) -> None:
    server = SimulatedServer()
    log = LogBuilder(tmp_path).rows(2).exit(0)
    play(Session(Target("me", "elsewhere", "other")), log.path, server)
    assert len(server.run("me/elsewhere/other").history) == 2


def test_what_the_server_calls_the_run_is_used_from_then_on(tmp_path: Path) -> None:
    server = synced(LogBuilder(tmp_path, project="").rows(1).exit(0))
    assert len(server.run("someone/uncategorized/abc").history) == 1


def test_config_is_wrapped_and_empty_dicts_vanish(tmp_path: Path) -> None:
    config = synced(everything(tmp_path)).run("all").config
    assert config["lr"] == {"value": 0.1}
    assert config["net"] == {"value": {"layers": [1, 2]}}
    assert config["late"] == {"value": {"a": None}}


def test_telemetry_metrics_and_environment_stand_in_the_config(tmp_path: Path) -> None:
    ours = synced(everything(tmp_path)).run("all").config["_wandb"]["value"]
    assert ours["cli_version"] == "0.1.0" and ours["t"]["5"] == "0.1.0" and 76 in ours["t"]["3"]
    assert ours["m"] == [{"1": "loss", "6": [3], "7": [1, 3]}, {"2": "val/*", "6": [], "7": [2]}]
    assert ours["e"]["w1"]["program"] == "/code/train.py"


def test_a_step_metric_is_named_by_its_place_in_the_list(tmp_path: Path) -> None:
    log = LogBuilder(tmp_path).metric("a", step_metric="epoch").metric("b", step_metric="epoch").exit(0)
    metrics = synced(log).run("abc").config["_wandb"]["value"]["m"]
    assert [m.get("1") for m in metrics] == ["a", "epoch", "b"]
    assert metrics[0]["5"] == metrics[2]["5"] == 2


def test_a_killed_run_has_the_summary_of_its_last_row(tmp_path: Path) -> None:
    log = LogBuilder(tmp_path).metric("loss", summary="min,max,mean,first,last").rows(4)
    log.row({"loss": None, "deep": {"a": {"b": 1}}, "text": "x"}).close()
    summary = synced(log).run("abc").summary
    assert summary["loss"] == {
        "min": 0.25,
        "max": 1,
        "mean": pytest.approx((1 + 1 / 2 + 1 / 3 + 1 / 4) / 4),
        "first": 1,
        "last": None,
    }
    assert summary["acc"] == 3 and summary["deep"] == {"a": {"b": 1}} and summary["text"] == "x"
    assert summary["_step"] == 4 and summary["_wandb"] == {"runtime": 2}


def test_logs_of_wandb_have_the_summary_that_they_say(tmp_path: Path) -> None:
    log = LogBuilder(tmp_path, producer="0.31.0+abc").row({"loss": 1.0}, nested=True).summary(best=2).exit(0)
    assert synced(log).run("abc").summary == {"_step": 0, "best": 2}


def test_the_users_summary_replaces_the_rows_and_later_rows_replace_that(tmp_path: Path) -> None:
    log = LogBuilder(tmp_path).row(a=1, b=1).summary(a=10, b=10).row(a=2).exit(0)
    summary = synced(log).run("abc").summary
    assert (summary["a"], summary["b"]) == (2, 10)


def test_events_count_their_time_from_the_start(tmp_path: Path) -> None:
    events = synced(LogBuilder(tmp_path).stats(0.25, cpu=3.0).exit(0)).run("abc").events
    assert events == [{"_wandb": True, "_timestamp": 1700000000.25, "_runtime": 0.25, "system.cpu": 3}]


def test_console_lines_carry_the_time_of_the_print(tmp_path: Path) -> None:
    log = LogBuilder(tmp_path).output("out\n", after_s=1.5).output("bad\n", error=True).line("plain").exit(0)
    assert synced(log).run("abc").console == [
        "2023-11-14T22:13:21.500000 out",
        "ERROR 2023-11-14T22:13:20.000000 bad",
        "2023-11-14T22:13:20.000000 plain",
    ]


def test_a_server_that_knows_structured_lines_gets_them(tmp_path: Path) -> None:
    log = LogBuilder(tmp_path).output("é\n").exit(0)
    session = Session(Target())
    session.structured_console = True
    server = SimulatedServer()
    play(session, log.path, server)
    assert [json.loads(line) for line in server.run("abc").console] == [
        {"ts": "2023-11-14T22:13:20.000000", "content": "é"}
    ]


def test_console_can_be_left_out(tmp_path: Path) -> None:
    assert synced(LogBuilder(tmp_path).output("x\n").exit(0), console=False).run("abc").console == []


def test_alerts_are_sent_once(tmp_path: Path) -> None:
    server = synced(LogBuilder(tmp_path).alert("t", "x").exit(0))
    (alert,) = server.run("abc").alerts
    assert (alert["title"], alert["severity"], alert["waitDuration"]) == ("t", "WARN", 60000)


def test_preempting_is_one_flag_on_one_post(tmp_path: Path) -> None:
    assert synced(LogBuilder(tmp_path).rows(2).preempting().exit(0)).run("abc").n_preempting == 1


def test_a_row_that_waited_for_its_end_is_not_lost(tmp_path: Path) -> None:
    log = LogBuilder(tmp_path).rows(2).pending(a=1, b=1).pending(b=2).close()
    last = synced(log).run("abc").history[-1]
    assert last == {"a": 1, "b": 2, "_step": 2}


def test_a_row_that_had_its_end_is_there_once(tmp_path: Path) -> None:
    log = LogBuilder(tmp_path).pending(a=1).row(a=1, b=2).exit(0)
    assert len(synced(log).run("abc").history) == 1


def test_rows_are_sent_in_batches(tmp_path: Path) -> None:
    log = LogBuilder(tmp_path).rows(200).exit(0)
    server = SimulatedServer()
    play(Session(Target(), batch_bytes=4000), log.path, server)
    assert server.requests.count("file_stream") > 3
    assert [row["acc"] for row in server.run("abc").history] == list(range(200))


def test_a_line_that_is_too_long_is_dropped_and_counted(tmp_path: Path) -> None:
    log = LogBuilder(tmp_path).row(a=1).row(big="x" * 10_400_000).row(a=3).exit(0)
    session, server = Session(Target()), SimulatedServer()
    play(session, log.path, server)
    assert [row["a"] for row in server.run("abc").history] == [1, 3]
    assert session.n_dropped == 1


def test_records_that_cannot_be_understood_are_counted_and_passed_over(tmp_path: Path) -> None:
    log = LogBuilder(tmp_path).rows(1)
    log.writer.write(b"\xff\xff no record")
    log.add(pb.Record()).rows(1).exit(0)
    session, server = Session(Target()), SimulatedServer()
    play(session, log.path, server)
    assert len(server.run("abc").history) == 2
    assert session.n_unreadable == 2


def test_values_that_are_no_json_are_left_out(tmp_path: Path) -> None:
    log = LogBuilder(tmp_path)
    record = pb.Record()
    for key, text in (("a", "1"), ("b", "nonsense"), ("c", ""), ("d", "01")):
        record.history.item.add(key=key, value_json=text)
    log.add(record).exit(0)
    assert synced(log).run("abc").history == [{"a": 1, "_step": 0}]


def test_every_kind_of_record_has_a_place() -> None:
    session = Session(Target())
    for field in pb.Record.DESCRIPTOR.oneofs_by_name["record_type"].fields:
        record = pb.Record()
        getattr(record, field.name).SetInParent()
        session.add(record.SerializeToString(), 0)
    assert session.n_unreadable == 0
    assert session.not_uploaded == {}
    assert len(session.artifacts) == 2


def test_a_log_without_run_record_cannot_be_opened() -> None:
    with pytest.raises(SyncError):
        next(Session(Target()).open())


# ---- resumed runs


def test_a_resumed_run_goes_on_where_the_server_is(tmp_path: Path) -> None:
    server = synced(LogBuilder(tmp_path, directory="a").rows(3).output("one\n").stats(1, cpu=1).exit(0))
    second = LogBuilder(tmp_path, directory="b", resume=True, started_s=STARTED_S + 60)
    second.rows(2).output("two\n").stats(2, cpu=2).exit(0)
    synced(second, server)
    run = server.run("abc")
    assert [row["_step"] for row in run.history] == [0, 1, 2, 3, 4]
    assert run.summary["_step"] == 4
    assert len(run.events) == 2 and len(run.console) == 2


def test_a_resumed_run_that_the_server_does_not_know_begins_at_zero(tmp_path: Path) -> None:
    server = synced(LogBuilder(tmp_path, resume=True).rows(2).exit(0))
    assert [row["_step"] for row in server.run("abc").history] == [0, 1]


def test_rows_that_the_server_has_already_are_not_uploaded_a_second_time(tmp_path: Path) -> None:
    log = LogBuilder(tmp_path, resume=True).rows(3).exit(0)
    server = synced(log)
    synced(log, server)  # where they began is noted in the run's config
    assert len(server.run("abc").history) == 3
    server.run("abc").config = {}
    with pytest.raises(SyncError, match="uploaded before"):
        synced(log, server)
    assert len(server.run("abc").history) == 3


def test_a_resumed_run_keeps_config_and_summary_of_the_earlier_part(tmp_path: Path) -> None:
    first = LogBuilder(tmp_path, directory="a", config={"old": 1, "both": 1}).row(x=1).summary(mine=5).exit(0)
    server = synced(first)
    second = LogBuilder(tmp_path, directory="b", resume=True, config={"both": 2}).row(y=1).exit(0)
    synced(second, server)
    run = server.run("abc")
    assert run.config["old"] == {"value": 1} and run.config["both"] == {"value": 2}
    assert run.summary["mine"] == 5 and run.summary["x"] == 1 and run.summary["y"] == 1


def test_a_starting_step_that_is_known_is_not_asked_for(tmp_path: Path) -> None:
    server = synced(LogBuilder(tmp_path, directory="a").rows(3).exit(0))
    second = LogBuilder(tmp_path, directory="b", resume=True).rows(2).exit(0)
    for _ in range(2):  # the second time the rows are there already, and are written again in their place
        play(Session(Target(), starting_step=3), second.path, server)
    assert [row["_step"] for row in server.run("abc").history] == [0, 1, 2, 3, 4]


# ---- interruptions


class _Interrupted(Exception):
    pass


class _CutAfter:
    """A server that is there for `n` requests."""

    def __init__(self, server: SimulatedServer, n: int, *, answer_is_lost: bool) -> None:
        self.server, self.left, self.answer_is_lost = server, n, answer_is_lost

    def send(self, request: Request) -> Any:
        if self.left == 0:
            if self.answer_is_lost:
                self.server.send(request)
            raise TransientError("gone")
        self.left -= 1
        return self.server.send(request)


def _interrupted_everywhere(log: Path, answer_is_lost: bool, n_max: int) -> List[Dict[str, Any]]:
    """Sync a log, cut at each request in turn; go on from the last kept state.  Return the end states."""
    found = []
    for n in range(n_max):
        server = SimulatedServer()
        kept: Optional[Tuple[str, int]] = None
        for attempt in range(2):
            session = Session.restore(json.loads(kept[0]), Target(), batch_bytes=3000) if kept else None
            session = session or Session(Target(), batch_bytes=3000)
            transport = _CutAfter(server, n if attempt == 0 else 10**6, answer_is_lost=answer_is_lost)
            is_open = False
            try:
                start = session.offset
                for record in read_records(log):
                    if record.offset >= start and session.add(record.payload, record.end):
                        if not is_open:
                            drive(session.open(), transport)
                            is_open = True
                        drive(session.flush(), transport)
                        kept = (json.dumps(session.state()), session.offset)
                if not is_open:
                    drive(session.open(), transport)
                session.end(1)
                drive(session.finish(), transport)
            except TransientError:
                continue
            break
        found.append(server.run("all").state())
    return found


@pytest.mark.parametrize("answer_is_lost", [False, True])
@pytest.mark.parametrize("producer", ["wandb-ng/0.1.0", "0.31.0+x"])
def test_a_sync_cut_at_any_request_ends_as_a_clean_one(
    tmp_path: Path, answer_is_lost: bool, producer: str
) -> None:
    log = everything(tmp_path, producer=producer)
    clean = SimulatedServer()
    play(Session(Target(), batch_bytes=3000), log.path, clean)
    n_requests = len(clean.requests)
    assert n_requests > 4
    for state in _interrupted_everywhere(log.path, answer_is_lost, n_requests):
        assert state == clean.run("all").state()


def test_a_restored_session_needs_the_log_from_its_offset_only(tmp_path: Path) -> None:
    log = everything(tmp_path)
    records = list(read_records(log.path))
    clean = SimulatedServer()
    play(Session(Target()), log.path, clean)
    for cut in range(2, len(records), 3):
        server = SimulatedServer()
        first = Session(Target())
        for record in records[:cut]:
            first.add(record.payload, record.end)
        drive(first.open(), server)
        drive(first.flush(), server)
        second = Session.restore(json.loads(json.dumps(first.state())), Target())
        assert second.offset == records[cut - 1].end
        for record in records[cut:]:
            second.add(record.payload, record.end)
        drive(second.open(), server)
        second.end(1)
        drive(second.finish(), server)
        assert server.run("all").state() == clean.run("all").state()


def test_a_state_of_another_version_is_refused() -> None:
    with pytest.raises(SyncError):
        Session.restore({"version": 99}, Target())


def test_an_answer_may_ask_the_run_to_stop(tmp_path: Path) -> None:
    server = SimulatedServer()
    session = Session(Target())
    for record in read_records(LogBuilder(tmp_path).rows(1).path):
        session.add(record.payload, record.end)
    drive(session.open(), server)
    drive(session.flush(), server)
    assert not session.is_asked_to_stop
    server.run("abc").is_asked_to_stop = True
    drive(session.keep_alive(), server)
    assert session.is_asked_to_stop and server.bodies[-1] == {}
