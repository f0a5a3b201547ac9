"""`wandb.login()`: which key counts, what is kept, what is asked of whom, and that no key is ever shown."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Iterator, List, Tuple

import pytest

from wandb.errors import AuthenticationError, UsageError, ValidationError
from wandb.sdk import wandb_setup
from wandb.sdk.wandb_login import login
from wandb.sdk.wandb_settings import Source

KEY = "0123456789abcdef" * 2 + "01234567"
OTHER_KEY = "f" * 40
NOBODY_THERE = "http://127.0.0.1:9"  # the discard port: connections are refused


class Questions(HTTPServer):
    """A server that knows one key and counts who asks."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.authorizations: List[str] = []
        self.status = 200
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class _Answer(BaseHTTPRequestHandler):
    server: Questions

    def do_POST(self) -> None:
        import base64

        self.rfile.read(int(self.headers["Content-Length"]))
        authorization = self.headers["Authorization"] or ""
        self.server.authorizations.append(authorization)
        known = authorization == "Basic " + base64.b64encode(f"api:{KEY}".encode()).decode()
        status = self.server.status if known else 401
        body = b'{"data": {"viewer": {"username": "ada", "entity": "lab", "teams": {"edges": []}}}}'
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Questions]:
    server = Questions()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_given_key_is_kept_and_counts_for_this_process(
    local_netrc: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert login(KEY, verify=False) is True
    assert local_netrc.read_text() == f"machine api.wandb.ai\n  login user\n  password {KEY}\n"
    settings = wandb_setup.setup().settings_for_run()
    assert settings.api_key == KEY and settings.source("api_key") == Source.LOGIN
    said = capsys.readouterr().err
    assert "Appending key for api.wandb.ai to your netrc file" in said and KEY not in said


def test_a_configured_key_is_used_and_kept_nowhere_else(
    local_netrc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    assert login(host=NOBODY_THERE) is True
    assert not local_netrc.exists()


def test_a_key_of_the_netrc_file_is_found_again(local_netrc: Path) -> None:
    login(KEY, host=NOBODY_THERE, verify=False)
    wandb_setup.teardown()
    assert wandb_setup.setup().settings.base_url == NOBODY_THERE, "the host is not remembered"
    assert login() is True
    assert wandb_setup.setup().settings.api_key == KEY


@pytest.mark.parametrize("mode, answer", [("offline", False), ("dryrun", False), ("disabled", False)])
def test_offline_and_disabled_contact_nothing_and_keep_nothing(
    mode: str, answer: bool, server: Questions, local_netrc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", mode)
    monkeypatch.setenv("WANDB_BASE_URL", server.url)
    assert login(KEY, verify=True) is answer
    assert server.authorizations == [] and not local_netrc.exists()


def test_a_key_of_a_wrong_form_is_refused_before_it_is_sent_and_not_shown(
    server: Questions, local_netrc: Path
) -> None:
    for key in ("secret", "", KEY + " "):
        with pytest.raises(UsageError) as caught:
            login(key, host=server.url)
        assert "secret" not in str(caught.value) and KEY not in str(caught.value)
    assert server.authorizations == [] and not local_netrc.exists()


def test_a_host_that_is_no_url_is_refused() -> None:
    with pytest.raises(ValidationError, match="not the URL of a server"):
        login(KEY, host="my-server")


def test_without_a_terminal_nothing_is_asked() -> None:
    with pytest.raises(UsageError, match=r"api_key not configured \(no-tty\)"):
        login()
    assert login(prompt=False) is False


def test_the_server_is_asked_once_about_a_new_key(
    server: Questions, capsys: pytest.CaptureFixture[str]
) -> None:
    assert login(KEY, host=server.url) is True
    assert len(server.authorizations) == 1
    assert "Currently logged in as: ada (lab)" in capsys.readouterr().err
    assert login() is True
    assert len(server.authorizations) == 1, "a known key was verified without need"
    assert login(verify=True) is True
    assert len(server.authorizations) == 2


def test_a_refused_key_is_not_kept(server: Questions, local_netrc: Path) -> None:
    with pytest.raises(AuthenticationError) as caught:
        login(OTHER_KEY, host=server.url)
    assert OTHER_KEY not in str(caught.value)
    assert not local_netrc.exists()
    assert wandb_setup.setup().settings.api_key is None


def test_a_server_out_of_reach_is_a_warning_unless_it_must_answer(
    local_netrc: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(AuthenticationError, match="Unable to verify"):
        login(KEY, host=NOBODY_THERE, verify=True)
    assert not local_netrc.exists()
    assert login(KEY, host=NOBODY_THERE) is True
    assert "Unable to verify the API key" in capsys.readouterr().err
    assert local_netrc.exists()


def at_a_terminal(code: str, typed: bytes, directory: Path) -> Tuple[int, str]:
    """Run Python code with a terminal for stdin, stdout and stderr; type when it asks."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        cwd=directory,
        start_new_session=True,
    )
    os.close(follower)
    seen = b""
    try:
        while True:
            try:
                piece = os.read(leader, 4096)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            seen += piece
            if typed and b"Paste an API key" in seen:
                os.write(leader, typed)
                typed = b""
    finally:
        code_of_exit = process.wait(60)
        os.close(leader)
    return code_of_exit, seen.decode()


def test_at_a_terminal_a_key_is_asked_for_and_not_echoed(tmp_path: Path, local_netrc: Path) -> None:
    code = "import wandb.sdk.wandb_login as w; print('answer', w.login(verify=False))"
    status, seen = at_a_terminal(code, KEY.encode() + b"\n", tmp_path)
    assert status == 0 and "answer True" in seen, seen
    assert "https://wandb.ai/authorize" in seen and KEY not in seen
    assert KEY in local_netrc.read_text()


def test_an_empty_answer_means_offline_and_silence_means_disabled(tmp_path: Path, local_netrc: Path) -> None:
    code = (
        "import wandb.sdk.wandb_login as w, wandb.sdk.wandb_setup as s\n"
        "print('answer', w.login({}), s.setup().settings.mode)"
    )
    status, seen = at_a_terminal(code.format(""), b"\n", tmp_path)
    assert status == 0 and "answer False offline" in seen, seen
    status, seen = at_a_terminal(code.format("timeout=0.05"), b"", tmp_path)
    assert status == 0 and "answer False disabled" in seen, seen
    assert not local_netrc.exists()
