"""A transport that sends nothing and answers as a server would that takes everything."""

from __future__ import annotations

import json
import threading
from typing import Any, Callable, Dict

from wandb_sync.transport.base import Request, Response


class DryRun:
    """Counts what would be sent.

    Attributes:
        n_requests, n_bytes: So far.
    """

    def __init__(self) -> None:
        self.n_requests = 0
        self.n_bytes = 0
        self._lock = threading.Lock()

    def send(self, request: Request) -> Response:
        """Answer as if all were well; see transport.base."""
        with self._lock:
            self.n_requests += 1
            self.n_bytes += request.n_bytes
        answer: Dict[str, Any] = {}
        if request.url == "/graphql" and isinstance(request.body, bytes):
            variables = json.loads(request.body).get("variables") or {}
            make = _ANSWERS.get(request.operation)
            answer = {"data": make(variables) if make else {}}
        return Response(200, json.dumps(answer).encode())

    def close(self) -> None:
        pass


def _bucket(variables: Dict[str, Any]) -> Dict[str, Any]:
    project = {
        "name": variables.get("project") or "uncategorized",
        "entity": {"name": variables.get("entity") or "you"},
    }
    bucket = {
        "id": "dry-run",
        "name": variables.get("name"),
        "displayName": variables.get("displayName"),
        "project": project,
    }
    return {"upsertBucket": {"bucket": bucket, "inserted": False}}


def _files(variables: Dict[str, Any]) -> Dict[str, Any]:
    files = [{"name": path, "uploadUrl": "dry-run:"} for path in variables.get("files") or ()]
    return {"createRunFiles": {"runID": "dry-run", "uploadHeaders": [], "files": files}}


_ANSWERS: Dict[str, Callable[[Dict[str, Any]], Dict[str, Any]]] = {
    "UpsertBucket": _bucket,
    "CreateRunFiles": _files,
}
