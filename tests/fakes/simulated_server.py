"""A W&B server in memory, as far as recording runs goes.  It is a transport; `listen()` gives it an HTTP
door.

It takes everything literally: a line goes to the offset that the client names, a file is what was last PUT.
`fail` lets a test decide about each request before or after the server has acted on it.

    server = SimulatedServer()
    server.fail = lambda request, n: Cut.AFTER if n == 3 else None      # the answer to request 3 gets lost
    ...
    server.run("e/p/abc").history                                       # [{...}, ...]
"""

from __future__ import annotations

import contextlib
import enum
import hashlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable, Dict, Iterator, List, Mapping, NamedTuple, Optional, Tuple, Union
from urllib.parse import unquote

from wandb.errors import TransientError
from wandb_sync.transport.base import FileBody, Request, Response, checked

DEFAULT_ENTITY = "someone"
API_KEY = "0123456789abcdef0123456789abcdef01234567"


class Cut(enum.Enum):
    """A lost connection: before the server has seen the request, or before the client has seen the answer."""

    BEFORE = "before"
    AFTER = "after"


class Answer(NamedTuple):
    """An answer in place of the server's; the server does not act."""

    status: int
    headers: Mapping[str, str] = {}
    body: bytes = b'{"error": "as the test wished"}'


class Refusal(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


Fault = Union[Cut, Answer, None]


class Run:
    """What the server holds about one run."""

    def __init__(self, number: int, entity: str, project: str, name: str) -> None:
        self.id = f"UnVuOnYx{number:04d}"
        self.entity, self.project, self.name = entity, project, name
        self.fields: Dict[str, Any] = {"displayName": f"simulated-run-{number}"}
        self.config: Dict[str, Any] = {}
        self.lines: Dict[str, Dict[int, str]] = {}
        self.files: Dict[str, bytes] = {}
        self.reported_files: List[str] = []
        self.alerts: List[Dict[str, Any]] = []
        self.exit_code: Optional[int] = None
        self.complete = False
        self.n_preempting = 0
        self.is_asked_to_stop = False

    def stream(self, name: str) -> List[str]:
        """Return the lines of a stream; a hole is an error of the client."""
        lines = self.lines.get(name, {})
        if lines and sorted(lines) != list(range(len(lines))):
            raise LookupError(f"{name} has holes: {len(lines)} lines up to {max(lines)}")
        return [lines[i] for i in range(len(lines))]

    @property
    def history(self) -> List[Dict[str, Any]]:
        return [json.loads(line) for line in self.stream("wandb-history.jsonl")]

    @property
    def events(self) -> List[Dict[str, Any]]:
        return [json.loads(line) for line in self.stream("wandb-events.jsonl")]

    @property
    def summary(self) -> Dict[str, Any]:
        lines = self.stream("wandb-summary.json")
        return dict(json.loads(lines[0])) if lines else {}

    @property
    def console(self) -> List[str]:
        return self.stream("output.log")

    def state(self) -> Dict[str, Any]:
        """Return everything that must not depend on how often the client was interrupted."""
        return {
            "fields": {k: v for k, v in sorted(self.fields.items()) if v is not None},
            "config": self.config,
            "lines": {name: self.stream(name) for name in sorted(self.lines)},
            "history": self.history,
            "events": self.events,
            "summary": self.summary,
            "console": self.console,
            "files": {path: hashlib.sha256(data).hexdigest() for path, data in sorted(self.files.items())},
            "reported_files": sorted(set(self.reported_files)),
            "complete": self.complete,
            "exit_code": self.exit_code,
        }


class SimulatedServer:
    """Implements `wandb_sync.transport.base.Transport`."""

    def __init__(self, *, features: Mapping[str, bool] = {}) -> None:
        self.base_url = "http://simulated"
        self.features = dict(features)
        self.runs: Dict[Tuple[str, str, str], Run] = {}
        self.requests: List[str] = []  # operations, in the order of arrival
        self.bodies: List[Any] = []  # parsed JSON of each request, None for uploads
        self.n_bytes_received = 0
        self.fail: Callable[[str, int], Fault] = lambda operation, n: None
        self._uploads: Dict[str, Tuple[Run, str]] = {}
        self._lock = threading.Lock()

    def run(self, path: str) -> Run:
        """Return a run by "entity/project/id"; by "id" alone where that is enough."""
        if "/" not in path:
            (found,) = [run for run in self.runs.values() if run.name == path]
            return found
        entity, project, name = path.split("/")
        return self.runs[entity, project, name]

    def send(self, request: Request) -> Response:
        body = request.body
        if isinstance(body, FileBody):
            with body.open() as file:
                data = file.read(body.n_bytes)
        else:
            data = body
        fault, response = self.handle(request.method, request.url, data, request.operation)
        if isinstance(fault, Cut):
            raise TransientError(f"{request.operation}: the connection broke")
        return checked(request, response, time.time())

    def close(self) -> None:
        pass

    def handle(self, method: str, url: str, data: bytes, operation: str = "") -> Tuple[Fault, Response]:
        """Act on one request, unless `fail` says otherwise."""
        with self._lock:
            if url.startswith("/graphql"):
                operation = json.loads(data).get("operationName", operation)
            elif url.endswith("/file_stream"):
                operation = "file_stream"
            elif method == "PUT":
                operation = "upload"
            n = len(self.requests)
            self.requests.append(operation)
            self.bodies.append(json.loads(data) if method == "POST" and data else None)
            self.n_bytes_received += len(data)
            fault = self.fail(operation, n)
            if isinstance(fault, Answer):
                return fault, Response(fault.status, fault.body, fault.headers)
            if fault is Cut.BEFORE:
                return fault, Response(0)
            try:
                answer = self._act(method, url, data, operation)
            except Refusal as refusal:
                return None, Response(refusal.status, json.dumps({"error": str(refusal)}).encode())
            return fault, Response(200, json.dumps(answer).encode())

    def _act(self, method: str, url: str, data: bytes, operation: str) -> Any:
        if method == "PUT":
            token = url.rsplit("/", 1)[-1]
            if token not in self._uploads:
                raise Refusal(403, "no such upload")
            run, path = self._uploads[token]
            run.files[path] = data
            return {}
        if operation == "file_stream":
            entity, project, name = (unquote(part) for part in url.split("/")[2:5])
            found = self.runs.get((entity, project, name))
            if found is None:
                raise Refusal(404, "no such run")
            return self._file_stream(found, json.loads(data))
        if url.startswith("/graphql"):
            body = json.loads(data)
            act = getattr(self, "_" + operation, None)
            if act is None:
                return {"errors": [{"message": f"unknown operation {operation}"}]}
            return {"data": act(body.get("variables") or {})}
        raise Refusal(404, "not here")

    def _file_stream(self, run: Run, body: Dict[str, Any]) -> Dict[str, Any]:
        for name, chunk in (body.get("files") or {}).items():
            lines = run.lines.setdefault(name, {})
            for i, line in enumerate(chunk["content"]):
                lines[chunk["offset"] + i] = line
        run.reported_files += body.get("uploaded") or []
        run.n_preempting += bool(body.get("preempting"))
        if body.get("complete"):
            run.complete, run.exit_code = True, body.get("exitcode")
        return {"stopped": True} if run.is_asked_to_stop else {}

    def _Viewer(self, variables: Dict[str, Any]) -> Any:
        viewer = {
            "id": "VXNlcjox",
            "entity": DEFAULT_ENTITY,
            "username": DEFAULT_ENTITY,
            "email": "",
            "flags": "{}",
        }
        return {"viewer": {**viewer, "teams": {"edges": []}}}

    def _ServerFeaturesQuery(self, variables: Dict[str, Any]) -> Any:
        features = [{"name": name, "isEnabled": on} for name, on in self.features.items()]
        return {"serverInfo": {"features": features}}

    def _UpsertBucket(self, variables: Dict[str, Any]) -> Any:
        key = (
            variables.get("entity") or DEFAULT_ENTITY,
            variables.get("project") or "uncategorized",
            variables["name"],
        )
        run = self.runs.get(key)
        inserted = run is None
        if run is None:
            run = self.runs[key] = Run(len(self.runs), *key)
        for name, value in variables.items():
            if value is not None and name not in ("config", "name", "project", "entity", "id"):
                run.fields[name] = value
        if variables.get("config") is not None:
            run.config = json.loads(variables["config"])
        project = {"name": run.project, "entity": {"name": run.entity}}
        bucket = {
            "id": run.id,
            "name": run.name,
            "displayName": run.fields["displayName"],
            "sweepName": run.fields.get("sweep"),
            "historyLineCount": len(run.lines.get("wandb-history.jsonl", {})),
            "project": project,
            "config": json.dumps(run.config),
            "description": None,
        }
        return {"upsertBucket": {"bucket": bucket, "inserted": inserted}}

    def _RunResumeStatus(self, variables: Dict[str, Any]) -> Any:
        key = (variables.get("entity") or DEFAULT_ENTITY, variables["project"], variables["name"])
        model = {"id": "x", "name": key[1], "entity": {"id": "x", "name": key[0]}, "bucket": None}
        run = self.runs.get(key)
        if run is not None:
            model["bucket"] = self._progress(run)  # type: ignore[assignment]
        return {"model": model}

    def _RewindRun(self, variables: Dict[str, Any]) -> Any:
        key = (variables.get("entity") or DEFAULT_ENTITY, variables["project"], variables["runName"])
        run = self.runs[key]
        rows = run.stream("wandb-history.jsonl")
        kept = [n for n, row in enumerate(rows, 1) if json.loads(row)["_step"] <= variables["metricValue"]]
        run.lines["wandb-history.jsonl"] = dict(enumerate(rows[: max(kept, default=0)]))
        return {"rewindRun": {"rewoundRun": self._progress(run)}}

    def _progress(self, run: Run) -> Dict[str, Any]:
        tails, counts = {}, {}  # segments may arrive in any order: there may be holes
        for name in ("wandb-history.jsonl", "wandb-events.jsonl", "output.log"):
            lines = run.lines.get(name, {})
            counts[name] = max(lines, default=-1) + 1
            tails[name] = [lines[max(lines)]] if lines else []
        return {
            "id": run.id,
            "name": run.name,
            "displayName": run.fields["displayName"],
            "summaryMetrics": json.dumps(run.summary),
            "logLineCount": counts["output.log"],
            "historyLineCount": counts["wandb-history.jsonl"],
            "eventsLineCount": counts["wandb-events.jsonl"],
            "historyTail": json.dumps(tails["wandb-history.jsonl"]),
            "eventsTail": json.dumps(tails["wandb-events.jsonl"]),
            "config": json.dumps(run.config),
            "tags": run.fields.get("tags"),
            "notes": run.fields.get("notes"),
            "wandbConfig": json.dumps({"t": run.config.get("_wandb", {}).get("value", {}).get("t")}),
        }

    def _CreateRunFiles(self, variables: Dict[str, Any]) -> Any:
        run = self.runs[variables["entity"], variables["project"], variables["run"]]
        files = []
        for path in variables["files"]:
            token = str(len(self._uploads))
            self._uploads[token] = (run, path)
            files.append({"name": path, "uploadUrl": f"{self.base_url}/upload/{token}"})
        return {"createRunFiles": {"runID": run.id, "uploadHeaders": ["x-simulated: a:b"], "files": files}}

    def _NotifyScriptableRunAlert(self, variables: Dict[str, Any]) -> Any:
        key = (variables["entityName"], variables["projectName"], variables["runName"])
        self.runs[key].alerts.append(variables)
        return {"notifyScriptableRunAlert": {"success": True}}

    @contextlib.contextmanager
    def listen(self) -> Iterator[str]:
        """Serve on a free loopback port and yield the base URL."""
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # one segment per answer
            disable_nagle_algorithm = True

            def do_any(self) -> None:
                data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                fault, response = server.handle(self.command, self.path, data)
                if isinstance(fault, Cut):
                    self.close_connection = True
                    self.connection.close()
                    return
                self.send_response(response.status)
                for name, value in response.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(response.body)))
                self.end_headers()
                self.wfile.write(response.body)

            do_GET = do_POST = do_PUT = do_any

            def log_message(self, format: str, *args: Any) -> None:
                pass

        door = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        door.daemon_threads = True
        thread = threading.Thread(target=door.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        before, self.base_url = self.base_url, f"http://127.0.0.1:{door.server_address[1]}"
        try:
            yield self.base_url
        finally:
            door.shutdown()
            door.server_close()
            self.base_url = before
