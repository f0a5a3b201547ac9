"""The smaller calls: sweep, agent, require, status, to_html, pin_config_keys, log_code, the toolbox."""

from __future__ import annotations

import http.server
import json
import threading
from pathlib import Path
from typing import Any, Dict, List

import numpy as np
import pytest
from log_view import LogView

import wandb
from wandb import util
from wandb.errors import (
    AuthenticationError,
    CommError,
    MissingLibraryError,
    NeedsServerError,
    RunFinishedError,
    UnsupportedError,
    UsageError,
    ValidationError,
)

SWEEP: Dict[str, Any] = {"method": "grid", "parameters": {"lr": {"values": [1, 2]}}}


# -- sweeps


def test_a_sweep_needs_a_server_that_keeps_sweeps(mock_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in mock_server.environ.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(NeedsServerError, match="does not keep sweeps"):
        wandb.sweep(SWEEP, project="p")


class SweepServer(http.server.BaseHTTPRequestHandler):
    """A server that keeps sweeps, as wandb's is asked for one; what it was sent is in `sent`."""

    sent: List[Dict[str, Any]] = []

    def do_POST(self) -> None:
        self.sent.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        sweep = {"name": "swp1", "project": {"name": "p", "entity": {"name": "me"}}}
        answer = {"data": {"upsertSweep": {"sweep": sweep, "configValidationWarnings": ["careful"]}}}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


def test_a_sweep_is_registered_on_a_server_that_keeps_sweeps(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), SweepServer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
        try:
            assert wandb.sweep({**SWEEP, "project": "p"}, prior_runs=["r1"]) == "swp1"
        finally:
            server.shutdown()
            thread.join()
    [sent] = SweepServer.sent
    variables = sent["variables"]
    assert (sent["operationName"], variables["projectName"]) == ("UpsertSweep", "p")
    assert json.loads(variables["config"]) == {**SWEEP, "project": "p"}
    assert json.loads(variables["priorRunsFilters"]) == {"$or": [{"name": "r1"}]}
    said = capsys.readouterr().err
    assert "careful" in said and "/me/p/sweeps/swp1" in said


def test_offline_a_sweep_is_not_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    with pytest.raises(NeedsServerError, match="mode is offline"):
        wandb.sweep(lambda: SWEEP)


def test_without_a_key_a_sweep_is_not_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    with pytest.raises(AuthenticationError, match="no API key"):
        wandb.sweep(SWEEP)


@pytest.mark.parametrize(
    "config", [3, {}, {"method": "gird", "parameters": {}}, {"method": "grid"}, {**SWEEP, "x": object()}]
)
def test_a_sweep_without_a_meaning_is_refused_before_anything_is_sent(config: Any) -> None:
    with pytest.raises(ValidationError, match="^sweep"):
        wandb.sweep(config)


def test_what_runs_sweeps_says_that_it_is_not_here() -> None:
    called = []
    with pytest.raises(UnsupportedError, match="WANDB_SWEEP_ID=abc"):
        wandb.agent("abc", function=lambda: called.append(1), count=1)
    with pytest.raises(UnsupportedError, match="wandb.controller"):
        wandb.controller("abc")
    assert called == []


# -- require, helper


@pytest.mark.parametrize("asked", ["core", "service", "wandb-service@beta", ["core", "require"], None, []])
def test_what_had_to_be_required_once_is_there(asked: Any) -> None:
    wandb.require(asked)
    wandb.require(experiment=asked)


def test_a_feature_that_nobody_knows_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="warp-drive"):
        wandb.require("warp-drive")


def test_the_helper_reads_configs() -> None:
    assert wandb.helper.parse_config({"a": 1, "b": 2}, include=["a"]) == {"a": 1}
    assert wandb.helper.parse_config({"a": 1, "b": 2}, exclude=["a"]) == {"b": 2}
    with pytest.raises(UsageError, match="at most only one"):
        wandb.helper.parse_config({}, exclude=["a"], include=["b"])


# -- the run


def test_status_says_that_nothing_was_synced_offline() -> None:
    run = wandb.init(project="p", mode="offline")
    run.log({"a": 1})
    status = run.status()
    assert status.sync_items_total == status.sync_items_pending > 0 and status.sync_time is None
    run.finish()
    with pytest.raises(RunFinishedError):
        run.status()


def test_html_shows_the_page_or_says_where_the_run_is() -> None:
    with wandb.init(project="p", mode="offline", name="<b>") as run:
        assert run.sync_dir in run.to_html() and "&lt;b&gt;" in run.to_html()
        assert "<button" in run._repr_html_() and "display:none" in run._repr_html_()
        run._url = "https://host/me/p/runs/abc"
        assert run.to_html(height=100).startswith('<iframe src="https://host/me/p/runs/abc?jupyter=true"')
        assert "height:100px" in run.to_html(height=100)
        assert run.display() is False  # this is no notebook


def test_pinned_keys_are_noted_in_the_config() -> None:
    with wandb.init(project="p", mode="offline", config={"lr": 1}) as run:
        wandb.pin_config_keys(["lr", "seed"])
        with pytest.raises(ValidationError):
            run.pin_config_keys("lr")
    [item] = [item for record in LogView(run.sync_dir).of("config") for item in record.update]
    assert (list(item.nested_key), item.value_json) == (["_wandb", "pinned_keys"], '["lr","seed"]')


def test_a_config_that_was_assigned_before_init_gives_way() -> None:
    wandb.config = {"lr": 1}  # type: ignore[assignment]  # scripts do
    with wandb.init(project="p", mode="offline", config={"lr": 2}) as run:
        assert wandb.config is run.config and wandb.config.lr == 2


# -- code


def test_code_is_kept_as_an_artifact_and_noted() -> None:
    for name in ("a.py", "sub/b.py", "Dockerfile.gpu", "requirements.txt", "notes.md", "wandb/c.py"):
        path = Path("src", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    with wandb.init(project="p q", mode="offline") as run:
        artifact = run.log_code("src")
        assert artifact is not None and artifact.type == "code"
        assert artifact.name.startswith("source-p_q-")
        expected = ["Dockerfile.gpu", "a.py", "requirements.txt", "sub/b.py"]
        assert sorted(artifact.manifest.entries) == expected
        of_path = run.log_code("src", "mine", lambda path: path.endswith(".md"), lambda path: False)
        of_both = run.log_code("src", "mine", lambda path, root: True, lambda path, root: "sub" in path)
        assert of_path is not None and list(of_path.manifest.entries) == ["notes.md"]
        assert of_both is not None and "sub/b.py" not in of_both.manifest.entries
        assert run.log_code("src", include_fn=lambda path: False) is None
        with pytest.raises(ValidationError, match="is no directory"):
            run.log_code("nowhere")
    log = LogView(run.sync_dir)
    assert [record.type for record in log.of("artifact")] == ["code", "code", "code"]
    noted = [item for record in log.of("config") for item in record.update]
    assert [list(item.nested_key) for item in noted] == [["_wandb", "code_path"]] * 3
    with pytest.raises(RunFinishedError):
        run.log_code("src")


# -- errors


def test_errors_take_what_wandb_s_take() -> None:
    assert wandb.Error("m", context={"a": 1}).context == {"a": 1}
    cause = ValueError("x")
    error = wandb.CommError("m", cause)
    assert (error.exc, error.message, str(error)) == (cause, "m", "m")
    refused = AuthenticationError("m", cause)
    assert (refused.exc, refused.status) == (cause, 0) and isinstance(refused, CommError)
    from wandb.errors import errors, term

    assert errors.UsageError is wandb.UsageError and term.termlog is wandb.termlog


# -- the toolbox


def test_names_are_made_safe_for_artifacts() -> None:
    assert util.make_artifact_name_safe("a/b c:ü") == "a_b_c__"
    long = util.make_artifact_name_safe("x" * 100 + "y" * 100)
    assert len(long) == 128 and long == "x" * 63 + ".." + "y" * 63


def test_modules_that_are_missing() -> None:
    assert util.get_module("json").dumps([]) == "[]"
    assert util.get_module("no_such_module") is None and util.get_optional_module("no_such_module") is None
    with pytest.raises(MissingLibraryError, match="wants it"):
        util.get_module("no_such_module", required="wants it")


@pytest.mark.parametrize(
    "value, plain",
    [
        (np.float32(1.5), (1.5, True)),
        (np.arange(3), ([0, 1, 2], True)),
        (float("nan"), (None, True)),
        ({1}, ((1,), True)),
        ((1, 2), ((1, 2), False)),
        ("a", ("a", False)),
        (b"a", ("a", True)),
    ],
)
def test_values_for_json(value: Any, plain: Any) -> None:
    assert util.json_friendly(value) == plain


def test_json_text_and_the_rest_of_the_toolbox() -> None:
    assert util.json_dumps_safer({"a": np.float32(1.5), "b": np.arange(2)}) == '{"a":1.5,"b":[0,1]}'
    assert util.downsample(list(range(10)), 4) == [0, 3, 6, 9] and util.downsample([1], 4) == [1]
    with pytest.raises(ValueError):
        util.downsample([1, 2, 3], 1)
    assert [util.to_human_size(n) for n in (0, 5, 123_456)] == ["0.0B", "5.0B", "123.5KB"]
    assert util.is_numpy_array(np.arange(2)) and not util.is_numpy_array([1])
    assert len(util.generate_id()) == 8 and len(util.random_string(5)) == 5
    assert not util.is_pandas_data_frame([])
