"""The fakes of the syncer's tests do what they say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from log_builder import LogBuilder, everything
from simulated_server import Answer, Cut, SimulatedServer

from wandb.errors import TransientError
from wandb.proto import record_pb2 as pb
from wandb.transaction_log.reader import read_records
from wandb_sync import protocol


def post(server: SimulatedServer, offset: int, *lines: str) -> None:
    body = {"files": {"wandb-history.jsonl": {"offset": offset, "content": list(lines)}}}
    server.send(protocol.file_stream("someone", "p", "r", json.dumps(body).encode()))


def test_lines_go_where_the_client_says_and_a_repeated_post_changes_nothing() -> None:
    server = SimulatedServer()
    server.send(protocol.upsert_bucket(name="r", project="p"))
    for _ in range(2):
        post(server, 0, '{"a":1}', '{"a":2}')
    post(server, 1, '{"a":3}', '{"a":4}')
    assert [row["a"] for row in server.run("r").history] == [1, 3, 4]


def test_a_hole_in_a_stream_is_seen() -> None:
    server = SimulatedServer()
    server.send(protocol.upsert_bucket(name="r", project="p"))
    post(server, 1, "{}")
    with pytest.raises(LookupError):
        server.run("r").history


def test_a_cut_before_and_a_cut_after_differ_in_what_the_server_did() -> None:
    server = SimulatedServer()
    for cut, n_runs in ((Cut.BEFORE, 0), (Cut.AFTER, 1)):
        server.fail = lambda operation, n: cut
        with pytest.raises(TransientError):
            server.send(protocol.upsert_bucket(name="r", project="p"))
        assert len(server.runs) == n_runs


def test_an_answer_of_the_tests_keeps_the_server_from_acting() -> None:
    server = SimulatedServer()
    server.fail = lambda operation, n: Answer(500)
    with pytest.raises(TransientError):
        server.send(protocol.upsert_bucket(name="r"))
    assert server.runs == {}


def test_the_builder_writes_what_it_was_told(tmp_path: Path) -> None:
    log = LogBuilder(tmp_path, config={"a": 1}).row(x=1).row({"y": 2}, nested=True).exit(3)
    records = [pb.Record.FromString(record.payload) for record in read_records(log.path)]
    assert [record.WhichOneof("record_type") for record in records] == [
        "header",
        "run",
        "history",
        "history",
        "exit",
    ]
    assert [record.num for record in records] == [1, 2, 3, 4, 5]
    assert records[2].history.item[0].key == "x" and records[3].history.item[0].nested_key == ["y"]


def test_everything_has_every_kind_of_record_that_is_uploaded(tmp_path: Path) -> None:
    records = [pb.Record.FromString(record.payload) for record in read_records(everything(tmp_path).path)]
    kinds = {record.WhichOneof("record_type") for record in records}
    assert kinds >= {
        "run",
        "history",
        "summary",
        "config",
        "files",
        "stats",
        "metric",
        "output_raw",
        "alert",
        "exit",
    }
