"""What clients rely on, over real HTTP: schema/server/PROTOCOL.md."""

from __future__ import annotations

import base64
import gzip
import hashlib
import http.client
import json
import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import pytest

from click.testing import CliRunner

from wandb.cli import server as cli

UPSERT = """mutation UpsertBucket($input: UpsertBucketInput!) { upsertBucket(input: $input) {
    inserted bucket { id name displayName config tags state historyLineCount
    project { id name entity { name } } } } }"""
FILES = """mutation CreateRunFiles($run: String!, $files: [String!]!) { createRunFiles(input:
    {entityName: "local", projectName: "p", runName: $run, files: $files})
    { runID uploadHeaders files { name uploadUrl } } }"""
RESUME = """query RunResumeStatus($project: String, $entity: String, $name: String!) {
    model(name: $project, entityName: $entity) { id name bucket(name: $name, missingOk: true) {
    id name summaryMetrics displayName logLineCount historyLineCount eventsLineCount historyTail eventsTail
    config tags notes wandbConfig(keys: ["t"]) } } }"""


NAMES = ("wandb-history.jsonl", "wandb-events.jsonl", "output.log")


def upsert(server: Any, **fields: Any) -> Dict[str, Any]:
    answer: Dict[str, Any] = server.graphql(UPSERT, {"input": {"modelName": "p", "name": "r", **fields}})
    return {**answer["upsertBucket"]["bucket"], "inserted": answer["upsertBucket"]["inserted"]}


def post(server: Any, body: Any, run: str = "r", **headers: str) -> Any:
    return server.call("POST", f"/files/local/p/{run}/file_stream", body, headers)


def lines(stream: str, offset: int, *content: str) -> Dict[str, Any]:
    return {"files": {stream: {"offset": offset, "content": list(content)}}}


def raw(
    server: Any, method: str, path: str, body: Optional[bytes] = None, **headers: str
) -> Tuple[int, bytes]:
    """A request without credentials unless `headers` has some."""
    host = urllib.parse.urlsplit(server.base_url).netloc
    connection = http.client.HTTPConnection(host, timeout=60)
    try:
        connection.request(
            method, path, body, {name.replace("_", "-"): value for name, value in headers.items()}
        )
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def refused(server: Any, body: Any, run: str = "r") -> int:
    with pytest.raises(urllib.error.HTTPError) as caught:
        post(server, body, run)
    caught.value.close()
    return caught.value.code


def test_without_the_right_key_everything_is_401(mock_server: Any) -> None:
    upsert(mock_server)
    for method, path in (
        ("POST", "/graphql"),
        ("POST", "/files/local/p/r/file_stream"),
        ("GET", "/api/runs"),
        ("GET", "/api/runs/local/p/r"),
        ("DELETE", "/api/runs/local/p/r"),
        ("GET", "/files/local/p/r/x"),
        ("GET", "/page/projects"),
    ):
        assert raw(mock_server, method, path, b"{}")[0] == 401
        assert raw(mock_server, method, path, b"{}", Authorization="Basic YXBpOndyb25n")[0] == 401


def test_a_foreign_host_name_is_refused(mock_server: Any) -> None:
    assert raw(mock_server, "GET", "/healthz", Host="evil.example:80")[0] == 421
    assert raw(mock_server, "GET", "/healthz", Host="localhost:80")[0] == 200


def test_a_foreign_page_cannot_use_a_session(mock_server: Any) -> None:
    upsert(mock_server)
    session = mock_server.backend.access.new_session()
    cookie = f"wandb_session_{mock_server.backend.store.secret('instance')[:8]}={session}"
    own = mock_server.base_url
    path = "/api/runs/local/p/r"
    assert raw(mock_server, "GET", path, Cookie=cookie)[0] == 200
    assert raw(mock_server, "DELETE", path, Cookie=cookie)[0] == 403
    assert raw(mock_server, "DELETE", path, Cookie=cookie, Origin="http://evil.example")[0] == 403
    assert raw(mock_server, "POST", "/graphql", b"{}", Cookie=cookie, Origin=own)[0] == 401
    assert raw(mock_server, "DELETE", path, Cookie=cookie, Origin=own)[0] == 200


def test_introspection_and_the_questions_of_old_clients_validate(mock_server: Any) -> None:
    probe = """query ProbeServerCapabilities { QueryType: __type(name: "Query") { ...fieldData }
        MutationType: __type(name: "Mutation") { ...fieldData }
        ServerInfoType: __type(name: "ServerInfo") { ...fieldData } }
        fragment fieldData on __Type { fields { name } }"""
    found = mock_server.graphql(probe)
    assert {"name": "serverInfo"} in found["QueryType"]["fields"]
    assert {"name": "createRunFiles"} in found["MutationType"]["fields"]
    upsert(mock_server)
    upload = """query RunUploadUrls($name: String!, $files: [String]!, $entity: String,
        $run: String!, $description: String) { model(name: $name, entityName: $entity) {
        bucket(name: $run, desc: $description) { id files(names: $files) {
        uploadHeaders edges { node { name url(upload: true) updatedAt } } } } } }"""
    bucket = mock_server.graphql(upload, {"name": "p", "run": "r", "files": ["a/b.txt"]})["model"]["bucket"]
    url = bucket["files"]["edges"][0]["node"]["url"]
    assert raw(mock_server, "PUT", url[len(mock_server.base_url) :], b"old")[0] == 200
    stopped = """query RunStoppedStatus($projectName: String, $entityName: String, $runId: String!) {
        project(name: $projectName, entityName: $entityName) { run(name: $runId) { stopped } } }"""
    assert mock_server.graphql(stopped, {"projectName": "p", "runId": "r"}) == {
        "project": {"run": {"stopped": False}}
    }


def test_the_viewer_has_the_entity_that_runs_without_one_get(mock_server: Any) -> None:
    viewer = mock_server.graphql("{ viewer { id entity username teams { edges { node { name } } } } }")[
        "viewer"
    ]
    assert viewer["entity"] == upsert(mock_server)["project"]["entity"]["name"] == "local"


def test_a_run_is_made_once_and_null_changes_nothing(mock_server: Any) -> None:
    config = '{"lr": {"value": 1e-3}, "inf": {"value": Infinity}}'
    made = upsert(mock_server, config=config, tags=["a", "b"], notes="n", groupName="g", displayName="my run")
    assert made["inserted"] and made["config"] == config
    again = upsert(mock_server, tags=None, notes=None, config=None)
    assert not again["inserted"] and again["id"] == made["id"]
    state = mock_server.run("local", "p", "r")
    assert (state["tags"], state["notes"], state["group"], state["displayName"]) == (
        ["a", "b"],
        "n",
        "g",
        "my run",
    )
    assert state["config"]["inf"]["value"] == math.inf
    upsert(mock_server, id=made["id"], tags=[], displayName="renamed")
    state = mock_server.run("local", "p", "r")
    assert (state["tags"], state["displayName"]) == ([], "renamed")


def test_a_run_without_names_gets_some(mock_server: Any) -> None:
    made = mock_server.graphql(UPSERT, {"input": {}})["upsertBucket"]["bucket"]
    assert len(made["name"]) == 8 and made["displayName"].endswith("-1")
    assert made["project"]["name"] == "uncategorized"


def test_what_is_wrong_with_a_mutation_is_a_graphql_error_and_changes_nothing(mock_server: Any) -> None:
    for fields in (
        {"config": "{"},
        {"config": "[]"},
        {"state": "dancing"},
        {"name": "a/b"},
        {"id": "nonsense"},
    ):
        body = {"query": UPSERT, "variables": {"input": {"modelName": "p", "name": "r", **fields}}}
        answer = mock_server.call("POST", "/graphql", body)
        assert answer["errors"][0]["message"]
    assert mock_server.runs() == []


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"query": 1},
        {"query": "{viewer{id}}", "operationName": 5},
        {"query": "{viewer{id}}", "variables": [1]},
    ],
)
def test_a_malformed_question_is_400(mock_server: Any, body: Any) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        mock_server.call("POST", "/graphql", body)
    caught.value.close()
    assert caught.value.code == 400


@pytest.mark.parametrize("query", ["", "{", "{ nothing }", "{ viewer }", "{" * 5000])
def test_a_question_that_is_not_graphql_is_answered_with_errors(mock_server: Any, query: str) -> None:
    assert mock_server.call("POST", "/graphql", {"query": query})["errors"]


def test_lines_stand_where_their_offset_says_and_a_repeated_post_changes_nothing(mock_server: Any) -> None:
    upsert(mock_server)
    first = lines("wandb-history.jsonl", 0, '{"a":NaN}', '{"a":1}')
    for body in (
        first,
        first,
        lines("wandb-history.jsonl", 1, '{"a":2}', '{"a":3}'),
        lines("output.log", 2, "c"),
    ):
        assert post(mock_server, body) == {}
    assert post(mock_server, lines("output.log", 0, "a", "b")) == {}
    state = mock_server.run("local", "p", "r")
    assert state["history"] == ['{"a":NaN}', '{"a":2}', '{"a":3}']
    assert state["console"] == ["a", "b", "c"]
    assert state["counts"] == {"history": 3, "events": 0, "console": 3}
    assert upsert(mock_server)["historyLineCount"] == 3


def test_the_end_of_a_run_sets_its_state(mock_server: Any) -> None:
    upsert(mock_server)
    assert post(mock_server, {}) == {}
    assert mock_server.run("local", "p", "r")["state"] == "running"
    for body, state, exitcode in (
        ({"complete": True, "exitcode": 0}, "finished", 0),
        ({"complete": True, "exitcode": 3}, "failed", 3),
        ({}, "running", None),
        ({"preempting": True}, "preempting", None),
        ({}, "preempting", None),
        ({"complete": True, "exitcode": 143}, "preempted", 143),
    ):
        post(mock_server, body)
        found = mock_server.run("local", "p", "r")
        assert (found["state"], found["exitcode"]) == (state, exitcode)


def test_a_silent_run_has_crashed() -> None:
    from wandb.server.store import CRASHED_AFTER_S, current_state

    now = time.time()
    for state, silence, expected in (
        ("running", CRASHED_AFTER_S - 1, "running"),
        ("running", CRASHED_AFTER_S + 1, "crashed"),
        ("preempting", CRASHED_AFTER_S + 1, "preempted"),
        ("finished", 10 * CRASHED_AFTER_S, "finished"),
    ):
        assert current_state({"state": state, "heartbeat_at": now - silence}, now) == expected


def test_a_run_that_shall_stop_is_told_so(mock_server: Any) -> None:
    upsert(mock_server)
    mock_server.stop_run("local", "p", "r")
    assert post(mock_server, {}) == {"stopped": True}
    assert post(mock_server, {"complete": True, "exitcode": 255}) == {}


def test_a_packed_body_is_unpacked_within_the_limit(mock_server: Any) -> None:
    upsert(mock_server)
    body = gzip.compress(json.dumps(lines("wandb-history.jsonl", 0, "{}")).encode())
    assert post(mock_server, body, **{"Content-Encoding": "gzip"}) == {}
    assert mock_server.run("local", "p", "r")["history"] == ["{}"]
    bomb = gzip.compress(b" " * (100 * 1024 * 1024), 9)
    for hostile, status in ((bomb, 413), (b"no gzip", 400), (body[:-9], 400)):
        with pytest.raises(urllib.error.HTTPError) as caught:
            post(mock_server, hostile, **{"Content-Encoding": "gzip"})
        caught.value.close()
        assert caught.value.code == status


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b"\xff",
        b"[" * 100_000,
        {"files": []},
        {"files": {"output.log": 1}},
        {"files": {"output.log": {"offset": -1, "content": ["x"]}}},
        {"files": {"output.log": {"offset": "0", "content": ["x"]}}},
        {"files": {"output.log": {"offset": 10**15, "content": ["x"]}}},
        {"files": {"output.log": {"offset": 0, "content": [1]}}},
        {"files": {"wandb-summary.json": {"offset": 0, "content": ["not json"]}}},
        {"files": {"wandb-summary.json": {"offset": 0, "content": ["[" * 600 + "]" * 600]}}},
        {"exitcode": "0"},
        {"exitcode": 10**30},
        {"exitcode": True},
        {"uploaded": [1]},
    ],
    ids=lambda body: str(body)[:40],
)
def test_a_malformed_post_is_400_and_changes_nothing(mock_server: Any, body: Any) -> None:
    upsert(mock_server)
    assert refused(mock_server, body) == 400
    assert mock_server.run("local", "p", "r")["counts"] == {"history": 0, "events": 0, "console": 0}


def test_a_post_to_no_run_is_404(mock_server: Any) -> None:
    assert refused(mock_server, {}, "nobody") == 404


def test_resuming_is_told_what_there_is(mock_server: Any) -> None:
    ask = {"project": "p", "entity": "local", "name": "r"}
    assert mock_server.graphql(RESUME, ask)["model"]["bucket"] is None
    upsert(mock_server, config=json.dumps({"_wandb": {"value": {"t": {"1": [1]}, "m": []}}}), tags=["x"])
    rows = [json.dumps({"_step": i}) for i in range(25)]
    post(mock_server, lines("wandb-history.jsonl", 0, *rows))
    post(mock_server, lines("wandb-summary.json", 0, '{"_step": 24}'))
    bucket = mock_server.graphql(RESUME, ask)["model"]["bucket"]
    assert (bucket["historyLineCount"], bucket["eventsLineCount"], bucket["logLineCount"]) == (25, 0, 0)
    assert json.loads(bucket["historyTail"])[-1] == '{"_step": 24}' and bucket["eventsTail"] == "[]"
    assert json.loads(bucket["wandbConfig"]) == {"t": {"1": [1]}}
    assert (bucket["summaryMetrics"], bucket["tags"]) == ('{"_step": 24}', ["x"])


def test_segments_may_arrive_in_any_order(mock_server: Any) -> None:
    upsert(mock_server)
    row = '{"_step": %d, "a": %d}'
    rows = [row % (i, i) for i in range(12)]
    post(mock_server, {"files": {name: {"offset": 8, "content": rows[8:]} for name in NAMES}})
    state = mock_server.run("local", "p", "r")
    for stream in ("history", "events", "console"):
        assert state[stream] == [None] * 8 + rows[8:] and state["counts"][stream] == 12
    ask = {"project": "p", "entity": "local", "name": "r"}
    bucket = mock_server.graphql(RESUME, ask)["model"]["bucket"]
    assert json.loads(bucket["historyTail"]) == json.loads(bucket["eventsTail"]) == rows[8:]
    curve = "/page/curves/local/p/r/history?key=a"
    assert mock_server.call("GET", curve)["curves"]["a"]["y"] == [8, 9, 10, 11]
    assert [line["n"] for line in mock_server.call("GET", "/page/console/local/p/r")["lines"]] == [
        8,
        9,
        10,
        11,
    ]
    post(mock_server, {"files": {name: {"offset": 0, "content": rows[:8]} for name in NAMES}})
    assert mock_server.run("local", "p", "r")["history"] == rows
    assert mock_server.call("GET", curve)["curves"]["a"]["y"] == list(range(12))


def test_a_long_hole_is_harmless_and_an_absurd_one_is_refused(mock_server: Any) -> None:
    upsert(mock_server)
    post(mock_server, lines("wandb-history.jsonl", 3_000_000, '{"_step": 3000000, "a": 1}'))
    history = mock_server.run("local", "p", "r")["history"]
    assert len(history) == 3_000_001 and history[-2:] == [None, '{"_step": 3000000, "a": 1}']
    assert refused(mock_server, lines("wandb-history.jsonl", 13_000_002, "{}")) == 400


def test_rewinding_forgets_later_rows(mock_server: Any) -> None:
    upsert(mock_server)
    post(mock_server, lines("wandb-history.jsonl", 0, *[json.dumps({"_step": i, "a": i}) for i in range(10)]))
    rewind = """mutation RewindRun($value: Float!) { rewindRun(input: {runName: "r",
        projectName: "p", metricName: "_step", metricValue: $value}) { rewoundRun { historyLineCount } } }"""
    assert mock_server.graphql(rewind, {"value": 4})["rewindRun"]["rewoundRun"]["historyLineCount"] == 5
    state = mock_server.run("local", "p", "r")
    assert len(state["history"]) == 5 and state["summary"]["a"] == 4


def uploaded(server: Any, contents: Dict[str, bytes], run: str = "r") -> List[str]:
    files = server.graphql(FILES, {"run": run, "files": list(contents)})["createRunFiles"]["files"]
    for file in files:
        status, _ = raw(server, "PUT", file["uploadUrl"][len(server.base_url) :], contents[file["name"]])
        assert status == 200
    return [file["uploadUrl"] for file in files]


def test_files_are_uploaded_replaced_and_read_back(mock_server: Any) -> None:
    upsert(mock_server)
    contents = {"a b/ä?#%.txt": b"one", "empty": b"", "a": b"file beside a folder", "big": b"x" * 3_000_000}
    uploaded(mock_server, contents)
    uploaded(mock_server, {"empty": b"not any more"})
    contents["empty"] = b"not any more"
    post(mock_server, {"uploaded": ["big"]})
    files = mock_server.run("local", "p", "r")["files"]
    assert files == {
        path: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest(), "announced": path == "big"}
        for path, data in contents.items()
    }
    key = {"Authorization": "Basic " + base64.b64encode(b"api:" + mock_server.api_key.encode()).decode()}
    for path, data in contents.items():
        status, body = raw(mock_server, "GET", f"/files/local/p/r/{urllib.parse.quote(path)}", **key)
        assert (status, body) == (200, data)


def test_a_download_is_whole_while_the_file_is_replaced(mock_server: Any) -> None:
    upsert(mock_server)
    path = uploaded(mock_server, {"f": b"0" * 3_000_000})[0][len(mock_server.base_url) :]
    key = {"Authorization": "Basic " + base64.b64encode(b"api:" + mock_server.api_key.encode()).decode()}
    ended = threading.Event()

    def replace() -> None:
        while not ended.is_set():
            raw(mock_server, "PUT", path, os.urandom(1) * 3_000_000)

    replacing = threading.Thread(target=replace)
    replacing.start()
    try:
        for _ in range(100):
            status, body = raw(mock_server, "GET", "/files/local/p/r/f", **key)
            assert status == 200 and body == body[:1] * 3_000_000
    finally:
        ended.set()
        replacing.join()


def test_a_file_whose_bytes_are_gone_is_404(mock_server: Any) -> None:
    upsert(mock_server)
    uploaded(mock_server, {"f": b"x"})
    next((mock_server.folder / "blobs").glob("??/*")).unlink()
    with pytest.raises(urllib.error.HTTPError) as caught:
        mock_server.call("GET", "/files/local/p/r/f")
    caught.value.close()
    assert caught.value.code == 404


def test_an_upload_address_cannot_be_bent_to_another_file(mock_server: Any) -> None:
    upsert(mock_server)
    url = uploaded(mock_server, {"a.txt": b"x"})[0]
    path = url[len(mock_server.base_url) :]
    assert raw(mock_server, "PUT", path.replace("a.txt", "b.txt"), b"y")[0] == 403
    assert raw(mock_server, "PUT", path.replace("/upload/1/", "/upload/2/"), b"y")[0] == 403
    assert list(mock_server.run("local", "p", "r")["files"]) == ["a.txt"]


def test_hostile_file_names_get_no_address(mock_server: Any) -> None:
    upsert(mock_server)
    for path in ("../x", "/etc/passwd", "a/../../x", "a\x00"):
        variables = {"run": "r", "files": ["good", path]}
        answer = mock_server.call("POST", "/graphql", {"query": FILES, "variables": variables})
        assert (
            "plain relative path" in answer["errors"][0]["message"]
            or "control" in answer["errors"][0]["message"]
        )


def test_a_deleted_run_takes_its_files_along_but_not_those_of_others(mock_server: Any) -> None:
    for run in ("r", "s"):
        upsert(mock_server, name=run)
        uploaded(mock_server, {"same": b"shared", "own": run.encode()}, run)
    mock_server.call("DELETE", "/api/runs/local/p/r")
    assert [run["id"] for run in mock_server.runs()] == ["s"]
    blobs = [path for path in (mock_server.folder / "blobs").glob("??/*")]
    assert {path.read_bytes() for path in blobs} == {b"shared", b"s"}
    assert refused(mock_server, {}) == 404


def test_the_number_of_a_deleted_run_is_not_given_to_another(mock_server: Any) -> None:
    old = upsert(mock_server)
    address = uploaded(mock_server, {"f": b"x"})[0][len(mock_server.base_url) :]
    curve = "/page/curves/local/p/r/history?key=a"
    post(mock_server, lines("wandb-history.jsonl", 0, *['{"_step": 1, "a": 1000}'] * 5))
    mock_server.call("GET", curve)
    mock_server.call("DELETE", "/api/runs/local/p/r")
    assert upsert(mock_server)["id"] != old["id"]
    post(mock_server, lines("wandb-history.jsonl", 0, *['{"_step": 1, "a": 7}'] * 5))
    assert mock_server.call("GET", curve)["curves"]["a"]["y"] == [7] * 5
    assert raw(mock_server, "PUT", address, b"of the old run")[0] == 404
    body = {"query": UPSERT, "variables": {"input": {"id": old["id"], "displayName": "hijacked"}}}
    assert "no run with the id" in mock_server.call("POST", "/graphql", body)["errors"][0]["message"]
    assert mock_server.run("local", "p", "r")["files"] == {}


def test_half_a_surrogate_pair_is_kept_in_json_and_replaced_in_plain_text(mock_server: Any) -> None:
    half = "\ud83d"
    config = json.dumps({"a": {"value": half}}, ensure_ascii=False)
    made = upsert(mock_server, displayName=f"x{half}", notes=half, tags=[half], config=config)
    assert (made["displayName"], made["tags"]) == ("x\ufffd", [half])
    summary = json.dumps({"s": half}, ensure_ascii=False)
    post(mock_server, {"files": {"wandb-summary.json": {"content": [summary]}}, "uploaded": [half]})
    state = mock_server.run("local", "p", "r")
    assert (state["config"]["a"]["value"], state["summary"]["s"], state["notes"]) == (half, half, "\ufffd")
    assert mock_server.graphql(RESUME, {"project": "p", "name": half})["model"]["bucket"] is None
    for path in ("/page/runs/local/p", "/page/run/local/p/r", "/api/runs"):
        mock_server.call("GET", path)


@pytest.mark.parametrize(
    "fields",
    [
        {"id": base64.b64encode(b"Run:v1:" + b"9" * 26).decode()},
        {"config": {"a": 1}},
        {"config": '{"a":' * 600 + "1" + "}" * 600},
        {"summaryMetrics": '{"a":' + "[" * 600 + "]" * 600 + "}"},
    ],
    ids=lambda fields: str(fields)[:40],
)
def test_what_nobody_could_store_or_read_again_is_refused(mock_server: Any, fields: Any) -> None:
    body = {"query": UPSERT, "variables": {"input": {"modelName": "p", "name": "r", **fields}}}
    assert mock_server.call("POST", "/graphql", body)["errors"]
    assert mock_server.runs() == []


def test_absurd_numbers_in_an_address_are_answered(mock_server: Any) -> None:
    upsert(mock_server)
    assert raw(mock_server, "PUT", f"/upload/1/{'9' * 5000}/abc/x", b"")[0] == 403
    assert raw(mock_server, "PUT", "/upload/x/y/abc/x", b"")[0] == 403
    for start in ("1e300", "-1e300", "9" * 30):
        assert mock_server.call("GET", f"/page/console/local/p/r?start={start}")["lines"] == []


def test_alerts_are_kept(mock_server: Any) -> None:
    upsert(mock_server)
    mutation = """mutation NotifyScriptableRunAlert($wait: Duration) { notifyScriptableRunAlert(input: {
        entityName: "local", projectName: "p", runName: "r", title: "t", text: "x", severity: WARN,
        waitDuration: $wait}) { success } }"""
    assert mock_server.graphql(mutation, {"wait": 60000})["notifyScriptableRunAlert"]["success"]
    expected = [{"title": "t", "text": "x", "severity": "WARN", "waitMs": 60000}]
    assert mock_server.run("local", "p", "r")["alerts"] == expected


def test_telemetry_is_refused_with_404(mock_server: Any) -> None:
    assert raw(mock_server, "POST", "/sdk/otel/v1/metrics")[0] == 404


def test_what_was_answered_is_there_after_a_sigkill(live_mock_server: Any) -> None:
    upsert(live_mock_server)
    for i in range(20):
        post(live_mock_server, lines("wandb-history.jsonl", i, json.dumps({"i": i})))
    uploaded(live_mock_server, {"a": b"x"})
    live_mock_server.restart()
    state = live_mock_server.run("local", "p", "r")
    assert [json.loads(line)["i"] for line in state["history"]] == list(range(20))
    assert list(state["files"]) == ["a"]


def test_a_bad_network_is_played_as_told(mock_server: Any) -> None:
    upsert(mock_server)
    mock_server.fault("status", path="file_stream", status=429, headers={"Retry-After": "7"}, skip=1)
    assert post(mock_server, {}) == {}
    with pytest.raises(urllib.error.HTTPError) as caught:
        post(mock_server, {})
    caught.value.close()
    assert (caught.value.code, caught.value.headers["Retry-After"]) == (429, "7")
    for kind, n_lines in (("drop_before", 0), ("drop_after", 1)):
        mock_server.fault(kind, method="POST", path="file_stream")
        with pytest.raises(OSError):
            post(mock_server, lines("output.log", 0, "x"))
        assert mock_server.run("local", "p", "r")["counts"]["console"] == n_lines
    mock_server.fault("status", operation="UpsertBucket", status=500)
    body = {"query": UPSERT, "operationName": "UpsertBucket", "variables": {"input": {"name": "x"}}}
    with pytest.raises(urllib.error.HTTPError) as caught:
        mock_server.call("POST", "/graphql", body)
    caught.value.close()
    assert mock_server.ctx["file_stream"] == 2


def test_the_command_announces_itself_in_json_and_shows_its_key_once(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "wandb.server", "--dir", str(tmp_path / "s"), "--port", "0", "--json"]
    keys = []
    for _ in range(2):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=tmp_path)
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        assert ready["event"] == "ready" and ready["base_url"].startswith("http://127.0.0.1:")
        keys.append(ready["api_key"])
        again = subprocess.run(command, capture_output=True, cwd=tmp_path)
        assert again.returncode == 2 and b"Another server is running" in again.stderr
        process.send_signal(signal.SIGTERM)
        process.stdout.close()
        assert process.wait() == 0
        assert not (tmp_path / "s" / "server.json").exists()
    assert len(keys[0]) == 40 and keys[1] is None


def test_status_stop_key_and_link_find_the_running_server(tmp_path: Path) -> None:
    folder = str(tmp_path / "s")

    def command(*words: str) -> List[str]:
        return [
            sys.executable,
            "-c",
            "from wandb.cli.server import server; server()",
            *words,
            "--dir",
            folder,
        ]

    assert subprocess.run(command("status"), capture_output=True).returncode == 1
    process = subprocess.Popen(command("start", "--port", "0", "--json"), stdout=subprocess.PIPE)
    assert process.stdout is not None
    ready = json.loads(process.stdout.readline())
    status = subprocess.run(command("status", "--json"), capture_output=True, check=True)
    assert json.loads(status.stdout)["base_url"] == ready["base_url"]
    key = subprocess.run(command("key"), capture_output=True, check=True, text=True).stdout.strip()
    assert len(key) == 40
    link = subprocess.run(command("link"), capture_output=True, check=True, text=True).stdout.strip()
    assert link.startswith(f"{ready['base_url']}/login?link=")
    subprocess.run(command("stop"), capture_output=True, check=True)
    process.stdout.close()
    process.wait()
    assert subprocess.run(command("status"), capture_output=True).returncode == 1


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["--port", "99999"], "99999"),
        (["--dir", "no_database"], "not a database"),
        (["--dir", "a_file/s"], "cannot be used"),
        (["--dir", "s", "--request-log", "nowhere/log"], "--request-log"),
        (["--dir", "s", "--host", "no.such.host.invalid"], "Cannot listen"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_what_cannot_be_started_says_why_in_one_line(tmp_path: Path, arguments: List[str], said: str) -> None:
    (tmp_path / "no_database").mkdir()
    (tmp_path / "no_database" / "server.db").write_text("this is a text\n" * 100)
    (tmp_path / "a_file").write_text("")
    command = [sys.executable, "-m", "wandb.server", "--port", "0", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert done.returncode == 2 and said in done.stderr and "Traceback" not in done.stderr


def test_a_port_that_is_taken_is_named_once_and_nothing_is_left_behind(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "wandb.server", "--dir", str(tmp_path / "s"), "--port", port]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and done.stderr.count(port) == 1
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("command", ["start", "status", "stop", "key", "link"])
def test_the_help_of_each_command_has_an_example(command: str) -> None:
    done = CliRunner().invoke(cli.server, [command, "--help"])
    assert f"wandb server {command}" in done.output and "Example" in done.output


def test_a_missing_extra_is_named_with_the_command_that_installs_it(tmp_path: Path) -> None:
    (tmp_path / "starlette.py").write_text("raise ModuleNotFoundError('no', name='starlette')")
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    done = subprocess.run(
        [sys.executable, "-m", "wandb.server"], capture_output=True, text=True, env=environ, cwd=tmp_path
    )
    assert done.returncode == 2 and 'pip install "wandb-ng[server]"' in done.stderr
