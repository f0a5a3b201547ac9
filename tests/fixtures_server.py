"""The local server for tests: `live_mock_server` in a process of its own, `mock_server` in a thread.

Both are the real server (`wandb.server`) on a free port of loopback, with a folder of their own.
What is not in the product stands here: a middleware that plays a bad network, controlled over HTTP.

    server.base_url, server.api_key, server.environ     what a client needs
    server.runs(), server.run(entity, project, id)      the end state (schema/server/PROTOCOL.md, "Reading")
    server.call(method, path, body), server.graphql()   one authorised request
    server.requests()      each that reached the server: method, path, operation, n_bytes, status
    server.ctx             the same, counted: {"graphql:UpsertBucket": 2, "upload": 4}
    server.stop_run(entity, project, id)                have the client told to stop
    server.kill(), server.restart()                     SIGKILL; again, same port and folder (process only)

    server.fault("status", path="file_stream", status=503, times=2, skip=1, headers={"Retry-After": "1"})
    server.fault("drop_before", operation="UpsertBucket")    the connection is cut, nothing was done
    server.fault("drop_after", path="/upload/")              the connection is cut, all was done
    server.fault("delay", seconds=0.1, times=1000);  server.fault("hang");  server.clear_faults()

A fault matches by `method`, `path` (a regular expression, searched) and `operation` (of GraphQL); it lets
`skip` matching requests pass, then hits `times` of them.

Run as a program, this file is the process behind `live_mock_server`.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Optional

import pytest

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

START_TIMEOUT_S = 60


# -- the bad network -------------------------------------------------------------------------------------


class Faults:
    """ASGI middleware: does to requests what it was told at `/test/faults`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._rules: List[Dict[str, Any]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["path"] == "/test/faults":
            await self._control(scope, receive, send)
            return
        body = await _whole_body(receive) if self._rules else None
        rule = self._rule_for(scope, body) if self._rules else None
        if body is not None:
            receive = _again(body, receive)
        if rule is None:
            await self._app(scope, receive, send)
            return
        if rule["kind"] == "delay":
            await asyncio.sleep(rule["seconds"])
            await self._app(scope, receive, send)
        elif rule["kind"] == "hang":
            await asyncio.sleep(3600)
        elif rule["kind"] == "status":
            await _answer(send, rule["status"], rule["body"], rule["headers"])
        elif rule["kind"] == "drop_before":
            _cut(send)
        elif rule["kind"] == "drop_after":

            async def into_the_void(message: Message) -> None:
                pass

            await self._app(scope, receive, into_the_void)
            _cut(send)
        else:
            await _answer(send, 500, f"there is no fault {rule['kind']!r}", {})

    def _rule_for(self, scope: Scope, body: Optional[bytes]) -> Optional[Dict[str, Any]]:
        operation = None
        if scope["path"] == "/graphql" and body:
            try:
                operation = json.loads(body).get("operationName")
            except ValueError:
                pass
        for rule in self._rules:
            if rule["method"] not in (None, scope["method"]) or rule["operation"] not in (None, operation):
                continue
            if rule["path"] is not None and not re.search(rule["path"], scope["path"]):
                continue
            if rule["skip"] > 0:
                rule["skip"] -= 1
            elif rule["times"] > 0:
                rule["times"] -= 1
                return rule
        return None

    async def _control(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "DELETE":
            self._rules.clear()
        elif scope["method"] == "POST":
            self._rules.append(json.loads(await _whole_body(receive)))
        await _answer(send, 200, json.dumps(self._rules), {})


async def _whole_body(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += bytes(message.get("body", b""))
        if not message.get("more_body"):
            return body


def _again(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives a body which was read already, then whatever comes."""
    given = False

    async def replayed() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replayed


async def _answer(send: Send, status: int, body: str, headers: Dict[str, str]) -> None:
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    raw.append((b"content-length", str(len(body.encode())).encode()))
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body.encode()})


def _cut(send: Any) -> None:
    """Close the connection without an answer.  ASGI has no word for it; uvicorn's `send` has one."""
    send.__self__.transport.abort()


# -- the server as tests see it ----------------------------------------------------------------------------


class TestServer:
    """A running server; see the top of this file."""

    __test__ = False  # not a class of tests

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.request_log = folder / "requests.ndjson"
        self.api_key = secrets.token_hex(20)
        self.base_url = ""

    @property
    def environ(self) -> Dict[str, str]:
        """Environment variables that point a client here."""
        return {"WANDB_BASE_URL": self.base_url, "WANDB_API_KEY": self.api_key}

    def call(self, method: str, path: str, body: Any = None, headers: Optional[Dict[str, str]] = None) -> Any:
        """One authorised request; returns the JSON answer.  Raises urllib.error.HTTPError for 4xx and 5xx."""
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        token = base64.b64encode(f"api:{self.api_key}".encode()).decode()
        request = urllib.request.Request(
            self.base_url + path,
            data=data,
            method=method,
            headers={
                "Authorization": f"Basic {token}",
                "Content-Type": "application/json",
                **(headers or {}),
            },
        )
        with _direct.open(request, timeout=60) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def graphql(self, query: str, variables: Optional[Dict[str, Any]] = None) -> Dict[str, Any]:
        """`data` of a GraphQL answer; its errors, if any, raise AssertionError."""
        answer: Dict[str, Any] = self.call("POST", "/graphql", {"query": query, "variables": variables or {}})
        if answer.get("errors"):
            raise AssertionError(answer["errors"])
        data: Dict[str, Any] = answer["data"]
        return data

    def runs(self, entity: Optional[str] = None, project: Optional[str] = None) -> List[Dict[str, Any]]:
        """All runs, without their lines and files, the newest first."""
        found: List[Dict[str, Any]] = self.call("GET", "/api/runs")
        return [run for run in found if entity in (None, run["entity"]) and project in (None, run["project"])]

    def run(self, entity: str, project: str, run_id: str) -> Dict[str, Any]:
        """The full end state of a run."""
        parts = "/".join(urllib.parse.quote(part, safe="") for part in (entity, project, run_id))
        found: Dict[str, Any] = self.call("GET", f"/api/runs/{parts}")
        return found

    def stop_run(self, entity: str, project: str, run_id: str) -> None:
        """Have the run's client told to stop."""
        self.call("POST", f"/api/runs/{entity}/{project}/{run_id}/stop")

    def requests(self) -> List[Dict[str, Any]]:
        """Every finished request of clients (not of this object), in order."""
        if not self.request_log.exists():
            return []
        lines = self.request_log.read_text(encoding="utf-8").splitlines()
        found = [json.loads(line) for line in lines]
        return [one for one in found if not one["path"].startswith(("/api/", "/healthz"))]

    @property
    def ctx(self) -> Dict[str, int]:
        """How often what was asked."""
        return dict(Counter(_label(one) for one in self.requests()))

    def clear_requests(self) -> None:
        if self.request_log.exists():
            os.truncate(self.request_log, 0)

    def fault(
        self,
        kind: str,
        *,
        path: Optional[str] = None,
        method: Optional[str] = None,
        operation: Optional[str] = None,
        times: int = 1,
        skip: int = 0,
        status: int = 503,
        headers: Optional[Dict[str, str]] = None,
        body: str = "{}",
        seconds: float = 0.0,
    ) -> None:
        """Have the next matching requests go wrong; see the top of this file."""
        rule: Dict[str, Any] = {
            "kind": kind,
            "path": path,
            "method": method,
            "operation": operation,
            "times": times,
        }
        rule.update(
            {"skip": skip, "status": status, "headers": headers or {}, "body": body, "seconds": seconds}
        )
        self.call("POST", "/test/faults", rule)

    def clear_faults(self) -> None:
        self.call("DELETE", "/test/faults")


# Proxies of the environment are not for loopback.
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _label(request: Dict[str, Any]) -> str:
    if request["path"] == "/graphql":
        return f"graphql:{request['operation']}"
    if request["path"].endswith("/file_stream"):
        return "file_stream"
    if request["path"].startswith("/upload/"):
        return "upload"
    return f"{request['method']} {request['path']}"


class ServerProcess(TestServer):
    """The server in a process of its own, which can be killed."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._process: Optional[subprocess.Popen[bytes]] = None
        self._port = 0
        self.restart()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def restart(self) -> None:
        """Start (again), on the same port and folder; returns when it answers."""
        self.kill()
        environ = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
        environ["WANDB_API_KEY"] = self.api_key  # not an argument: those can be read by everybody
        with open(self.folder / "server.log", "ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(self.folder), str(self._port), str(self.request_log)],
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=self.folder,
                env=environ,
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            text = (self.folder / "server.log").read_text(encoding="utf-8", errors="replace")
            raise RuntimeError(f"the server did not start:\n{text[-5000:]}")
        self.base_url = json.loads(line)["base_url"]
        self._port = int(self.base_url.rpartition(":")[2])

    def kill(self, number: int = signal.SIGKILL) -> None:
        """End the process and wait until it is gone."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None


class ServerThread(TestServer):
    """The server in a thread of the test's own process."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        from wandb.server.app import ServerConfig, create_app, open_backend
        from wandb.server.serve import listen, server

        config = ServerConfig(folder, durable=False, request_log=str(self.request_log))
        self.backend = open_backend(config)
        self.backend.access.new_api_key(self.api_key)
        self._listener = listen("127.0.0.1", 0)
        self.base_url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        started = threading.Event()
        self._app = create_app(self.backend, config)
        self._server = server(Faults(self._app), started.set)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._listener]}, name="mock_server", daemon=True
        )
        self._thread.start()
        if not started.wait(START_TIMEOUT_S):
            raise RuntimeError("the server did not start")

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._listener.close()
        self._app.close()  # type: ignore[attr-defined]  # RequestLog
        self.backend.engine.dispose()


@pytest.fixture
def live_mock_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """The real server as a process of its own."""
    server = ServerProcess(tmp_path_factory.mktemp("server"))
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture
def mock_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerThread]:
    """The real server in a thread."""
    server = ServerThread(tmp_path_factory.mktemp("server"))
    try:
        yield server
    finally:
        server.close()


def _main() -> None:
    from wandb.server.app import ServerConfig
    from wandb.server.serve import Ready, serve

    folder, port, request_log = sys.argv[1:]

    def say(ready: Ready) -> None:
        print(json.dumps({"base_url": ready.base_url, "login_url": ready.login_url}), flush=True)

    config = ServerConfig(Path(folder), durable=False, request_log=request_log)
    serve(config, "127.0.0.1", int(port), say, api_key=os.environ["WANDB_API_KEY"], wrap=Faults)


if __name__ == "__main__":
    _main()
