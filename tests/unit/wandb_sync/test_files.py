"""Files of a run."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Dict, List

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from log_builder import everything
from simulated_server import Answer, SimulatedServer

from wandb.errors import AuthenticationError, TransientError
from wandb.transaction_log.reader import read_records
from wandb_sync import files, protocol
from wandb_sync.run_config import yaml_text
from wandb_sync.session import Session, Target


@pytest.mark.parametrize("path", ["a", "media/images/a.png", "a..b", "..a", "..a/b"])
def test_a_path_below_files_is_taken(path: str) -> None:
    assert files.is_inside(path)


@pytest.mark.parametrize(
    "path", ["", "..", "../a", "a/../../b", "/etc/passwd", "a/..", "..\\a", "\\a", "a\0b"]
)
def test_a_path_that_leads_out_is_refused(path: str) -> None:
    assert not files.is_inside(path)


def test_what_cannot_be_read_is_named_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "there").write_bytes(b"12")
    (tmp_path / "directory").mkdir()
    (tmp_path / "dangling").symlink_to("nowhere")
    found, missing = files.from_disk(tmp_path, ["there", "gone", "directory", "dangling", "../out"])
    assert [(source.path, source.stamp[0]) for source in found] == [("there", 2)]
    assert [file.path for file in missing] == ["gone", "directory", "dangling", "../out"]
    assert all(file.reason for file in missing)


def test_a_link_may_lead_elsewhere_because_saved_files_are_links(tmp_path: Path) -> None:
    (tmp_path / "mine").write_bytes(b"x")
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "link").symlink_to(tmp_path / "mine")
    found, missing = files.from_disk(tmp_path / "files", ["link"])
    assert len(found) == 1 and not missing


def test_what_has_arrived_is_not_uploaded_again_unless_it_changed(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"1")
    (source,), _ = files.from_disk(tmp_path, ["a"])
    assert files.changed([source], {"a": source.stamp}) == []
    path.write_bytes(b"22")
    (source2,), _ = files.from_disk(tmp_path, ["a"])
    assert files.changed([source2], {"a": source.stamp}) == [source2]


def sources(tmp_path: Path, count: int) -> List[files.Source]:
    for i in range(count):
        (tmp_path / f"f{i}").write_bytes(b"%d" % i)
    return files.from_disk(tmp_path, [f"f{i}" for i in range(count)])[0]


def bucket(server: SimulatedServer) -> protocol.Bucket:
    return protocol.read_bucket(server.send(protocol.upsert_bucket(name="r", project="p")))


def test_many_files_are_one_question_and_one_upload_each(tmp_path: Path) -> None:
    server, done = SimulatedServer(), []
    where = bucket(server)
    assert files.upload(server, where, sources(tmp_path, 30), lambda source: done.append(source.path)) == []
    assert server.requests == ["UpsertBucket", "CreateRunFiles", *["upload"] * 30]
    assert len(server.run("r").files) == len(set(done)) == 30


def test_a_file_that_the_server_refuses_is_reported_and_the_others_arrive(tmp_path: Path) -> None:
    server, done = SimulatedServer(), []
    where = bucket(server)
    server.fail = lambda operation, n: Answer(403) if operation == "upload" and n == 4 else None
    refused = files.upload(server, where, sources(tmp_path, 5), lambda source: done.append(source.path))
    assert len(refused) == 1 and "403" in refused[0].reason and len(done) == 4


@pytest.mark.parametrize("count", [1, 5])
def test_a_server_that_goes_away_ends_the_upload_and_what_had_arrived_is_told(
    tmp_path: Path, count: int
) -> None:
    server, done = SimulatedServer(), []
    where = bucket(server)
    server.fail = lambda operation, n: Answer(503) if n >= 1 + count else None
    with pytest.raises(TransientError):
        files.upload(server, where, sources(tmp_path, count), lambda source: done.append(source.path))
    assert sorted(done) == sorted(server.run("r").files)


def refusing(server: SimulatedServer, *odd: str) -> Any:
    """Return a `fail` for a server that refuses, as GraphQL does, every batch with an odd path in it."""

    def fail(operation: str, n: int) -> Any:
        paths = (server.bodies[n] or {}).get("variables", {}).get("files", ())
        return Answer(200, body=b'{"errors": [{"message": "odd path"}]}') if set(paths) & set(odd) else None

    return fail


@pytest.mark.parametrize("odd", [["f0"], ["f7"], ["f3", "f4", "f29"], [f"f{i}" for i in range(30)]])
def test_paths_that_the_server_does_not_take_cost_no_other_file(tmp_path: Path, odd: List[str]) -> None:
    server, done = SimulatedServer(), []
    where = bucket(server)
    server.fail = refusing(server, *odd)
    refused = files.upload(server, where, sources(tmp_path, 30), lambda source: done.append(source.path))
    assert sorted(file.path for file in refused) == sorted(odd) and "odd path" in refused[0].reason
    assert len(done) == len(server.run("r").files) == 30 - len(odd)


def test_a_server_that_takes_no_file_at_all_is_not_asked_for_each(tmp_path: Path) -> None:
    server = SimulatedServer()
    where = bucket(server)
    server.fail = lambda operation, n: Answer(404)
    refused = files.upload(server, where, sources(tmp_path, 500), lambda source: None)
    assert len(refused) == 500 and len(server.requests) < 100


def test_a_key_that_is_refused_ends_the_upload(tmp_path: Path) -> None:
    server = SimulatedServer()
    where = bucket(server)
    server.fail = lambda operation, n: Answer(401)
    with pytest.raises(AuthenticationError):
        files.upload(server, where, sources(tmp_path, 2), lambda source: None)


@pytest.mark.parametrize("path", ["a" * 5000, "a\0b", "/", ".", "a/../../b", "\ud800"])
def test_an_odd_path_is_missing_and_no_error(tmp_path: Path, path: str) -> None:
    found, missing = files.from_disk(tmp_path, [path])
    assert found == [] and [file.path for file in missing] == [path]
    assert not files.is_there(tmp_path, path)


def test_metadata_config_and_summary_are_made_of_the_log(tmp_path: Path) -> None:
    session = Session(Target())
    for record in read_records(everything(tmp_path).path):
        session.add(record.payload, record.end)
    made = {source.path: source.body for source in files.from_session(session)}
    assert json.loads(made["wandb-metadata.json"])["program"] == "/code/train.py"
    assert json.loads(made["wandb-summary.json"])["best"] == 3.5
    config = yaml.safe_load(made["config.yaml"])
    assert config["lr"] == {"value": 0.1} and config["_wandb"]["value"]["cli_version"] == "0.1.0"


_SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
_VALUES = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)


@given(st.dictionaries(st.text(), _VALUES, min_size=1, max_size=4))
def test_yaml_reads_what_was_meant(tree: Dict[str, Any]) -> None:
    assert _same(yaml.safe_load(yaml_text(tree)), tree)


@pytest.mark.parametrize(
    "word",
    ["yes", "No", "null", "~", "1e5", "0x10", "1_000", "2020-01-01", "12:30", "", "a: b", "- a", "é😀"],
)
def test_yaml_keeps_texts_that_look_like_something_else(word: str) -> None:
    assert yaml.safe_load(yaml_text({"a": word, word: 1})) == {"a": word, word: 1}


def _same(a: Any, b: Any) -> bool:
    if isinstance(b, dict):
        return isinstance(a, dict) and a.keys() == b.keys() and all(_same(a[key], b[key]) for key in b)
    if isinstance(b, list):
        return isinstance(a, list) and len(a) == len(b) and all(map(_same, a, b))
    if isinstance(b, float) and math.isnan(b):
        return isinstance(a, float) and math.isnan(a)
    return type(a) is type(b) and a == b
