"""/api: what the server holds, for programs.  Spec: schema/server/PROTOCOL.md, section "Reading".

Rule: nothing is left out and nothing is made nicer; NaN and Infinity stay the bare words that Python reads.
"""

from __future__ import annotations

import itertools
import json
from typing import Any, Dict, Iterator

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from wandb.server.gate import Gate
from wandb.server.lines import STREAMS
from wandb.server.protocol import run_key
from wandb.server.store import RunKey, Store, current_state

NULLS_AT_ONCE = 10_000


class Reading:
    """The routes."""

    def __init__(self, store: Store, gate: Gate) -> None:
        self._store = store
        run = "/api/runs/{entity}/{project}/{run}"
        allowed = gate.with_key_or_session
        self.routes = [
            Route("/api/projects", allowed(self._projects), methods=["GET"]),
            Route("/api/runs", allowed(self._runs), methods=["GET"]),
            Route(run, allowed(self._run), methods=["GET"]),
            Route(run, allowed(self._delete), methods=["DELETE"]),
            Route(f"{run}/stop", allowed(self._stop), methods=["POST"]),
        ]

    async def _projects(self, request: Request) -> Response:
        return json_answer(await run_in_threadpool(self._store.projects))

    async def _runs(self, request: Request) -> Response:
        wanted = request.query_params
        rows = await run_in_threadpool(self._store.runs, wanted.get("entity"), wanted.get("project"))
        return json_answer([run_head(row) for row in rows])

    async def _run(self, request: Request) -> Response:
        pieces = end_state(self._store, run_key(request))
        # Whether there is such a run is known with the first piece; then the answer has begun.
        first = await run_in_threadpool(next, pieces)
        return StreamingResponse(itertools.chain([first], pieces), media_type="application/json")

    async def _delete(self, request: Request) -> Response:
        row = await run_in_threadpool(self._store.run, run_key(request))
        await run_in_threadpool(self._store.delete_run, row["id"])
        return json_answer({"deleted": True})

    async def _stop(self, request: Request) -> Response:
        row = await run_in_threadpool(self._store.run, run_key(request))
        await run_in_threadpool(self._store.request_stop, row["id"])
        return json_answer({"stopping": True})


def run_head(row: Dict[str, Any]) -> Dict[str, Any]:
    """A run without its lines and files."""
    return {
        "entity": row["entity"],
        "project": row["project"],
        "id": row["name"],
        "name": row["name"],
        "displayName": row["display_name"],
        "description": row["description"],
        "notes": row["notes"],
        "group": row["group_name"],
        "jobType": row["job_type"],
        "tags": row["tags"],
        "host": row["host"],
        "program": row["program"],
        "commit": row["commit"],
        "repo": row["repo"],
        "sweep": row["sweep"],
        "state": current_state(row),
        "exitcode": row["exitcode"],
        "preempting": row["preempting"],
        "stopRequested": row["stop_requested"],
        "createdAt": row["created_at"],
        "updatedAt": row["updated_at"],
        "heartbeatAt": row["heartbeat_at"],
        "config": json.loads(row["config"]),
        "summary": json.loads(row["summary"]),
        "counts": {stream: row[f"{stream}_lines"] for stream in STREAMS},
    }


def end_state(store: Store, key: RunKey) -> Iterator[str]:
    """Everything about a run, in pieces of JSON.  A line that was never written is null.

    Raises:
        NotFound: with the first piece.
    """
    row = store.run(key)
    head = {
        **run_head(row),
        "files": {
            file["path"]: {"size": file["n_bytes"], "sha256": file["sha256"], "announced": file["announced"]}
            for file in store.files(row["id"])
        },
        "alerts": [
            {
                "title": one["title"],
                "text": one["text"],
                "severity": one["severity"],
                "waitMs": one["wait_ms"],
            }
            for one in store.alerts(row["id"])
        ],
    }
    yield json.dumps(head)[:-1]
    for stream in STREAMS:
        yield f', "{stream}": '
        yield from _list_of_lines(store, row["id"], stream)
    yield "}"


def _list_of_lines(store: Store, run_id: int, stream: str) -> Iterator[str]:
    comma, end = "[", 0
    # As a list: a slow reader shall not keep a connection to the database.
    for first, lines in list(store.line_range(run_id, stream)):
        for begin in range(end, first, NULLS_AT_ONCE):
            yield comma + ", ".join(["null"] * min(NULLS_AT_ONCE, first - begin))
            comma = ", "
        yield comma + json.dumps(lines)[1:-1]
        comma, end = ", ", first + len(lines)
    yield "]" if end else "[]"


def json_answer(value: Any) -> Response:
    return Response(json.dumps(value), media_type="application/json")
