"""What W&B clients call: /graphql, file_stream and the uploads.  Spec: schema/server/PROTOCOL.md.

Rule 1: an answer of success is sent after the commit.
Rule 2: what a client can mend is 4xx (it will not repeat it); what is our fault is 5xx (it will).
"""

from __future__ import annotations

import json
import logging
import mimetypes
import re
from typing import Any, BinaryIO, Dict, Iterator, List, Mapping, Optional, Tuple
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from wandb.errors import UsageError
from wandb.server import graph
from wandb.server.access import Access
from wandb.server.blobs import Incoming
from wandb.server.gate import Gate, TooLarge, error_answer, json_object, read_body
from wandb.server.names import checked_file_path, natural_number
from wandb.server.store import Post, RunKey, Store, checked_object

logger = logging.getLogger(__name__)

# Clients keep posts to about 10 MiB of lines, which JSON may blow up sixfold.
MAX_POST_BYTES = 96 * 1024 * 1024
MAX_GRAPHQL_BYTES = 64 * 1024 * 1024  # configs and summaries, and 100,000 file names at once
PIECE_BYTES = 1024 * 1024  # of a file, at a time

STREAM_OF_FILE = {"wandb-history.jsonl": "history", "wandb-events.jsonl": "events", "output.log": "console"}
_OPERATION = re.compile(r"\b(?:query|mutation)\s+(\w+)")

_RANGE = re.compile(r"bytes=(\d{1,15})-(\d{1,15})?")

SUMMARY_FILE = "wandb-summary.json"

# Shown in the browser as they are; everything else is offered as a download, so that no uploaded page or
# script ever runs with this server's name.
INLINE_TYPES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp", "image/bmp"})


class Protocol:
    """The routes."""

    def __init__(self, store: Store, access: Access, gate: Gate, max_file_bytes: int) -> None:
        self._store = store
        self._access = access
        self._max_file_bytes = max_file_bytes
        run_files = "/files/{entity}/{project}/{run}"
        self.routes = [
            Route("/graphql", gate.with_key(self._graphql), methods=["POST"]),
            Route(f"{run_files}/file_stream", gate.with_key(self._file_stream), methods=["POST"]),
            Route(f"{run_files}/{{path:path}}", gate.with_key_or_session(self._download), methods=["GET"]),
            Route(
                "/upload/{run_id}/{expires}/{signature}/{path:path}",
                gate.open_to_all(self._upload),
                methods=["PUT"],
            ),
            # A 404 here is how clients learn that nobody collects their telemetry.
            Route("/sdk/otel/{rest:path}", gate.open_to_all(_no_telemetry), methods=["GET", "POST"]),
        ]

    async def _graphql(self, request: Request) -> Response:
        body = json_object(await read_body(request, MAX_GRAPHQL_BYTES))
        query, variables, operation = body.get("query"), body.get("variables"), body.get("operationName")
        if not isinstance(query, str) or not isinstance(operation or "", str):
            raise UsageError("The body must have `query`, a text, and may have `operationName`, a text")
        if not isinstance(variables or {}, dict):
            raise UsageError("`variables` is not an object")
        # For the request log; clients before 0.19 name the operation in the text only.
        found = _OPERATION.search(query)
        request.state.operation = operation or (found[1] if found else None)
        base_url = f"{request.url.scheme}://{request.headers['host']}"
        answer = await run_in_threadpool(
            graph.answer, self._store, self._access, base_url, query, variables, operation or None
        )
        # In ASCII: half a surrogate pair has no bytes of its own in UTF-8.
        return Response(json.dumps(answer), media_type="application/json")

    async def _file_stream(self, request: Request) -> Response:
        body = await read_body(request, MAX_POST_BYTES)
        stop = await run_in_threadpool(self._apply_post, run_key(request), body)
        return JSONResponse({"stopped": True} if stop else {})

    def _apply_post(self, key: RunKey, body: bytes) -> bool:
        return self._store.apply_post(key, parse_post(json_object(body)))

    async def _upload(self, request: Request) -> Response:
        given = request.path_params
        path = given["path"]
        run_id, expires = natural_number(given["run_id"]), natural_number(given["expires"])
        if not self._access.may_upload(run_id, expires, given["signature"], path):
            return error_answer(403, "This upload address is not, or no longer, valid")
        with self._store.receive_file() as incoming:
            await receive_body(request, incoming, self._max_file_bytes)
            await run_in_threadpool(self._store.put_file, run_id, checked_file_path(path), incoming)
        return Response(status_code=200)

    async def _download(self, request: Request) -> Response:
        path = request.path_params["path"]
        run = await run_in_threadpool(self._store.run, run_key(request))
        row, file = await run_in_threadpool(self._store.open_file, run["id"], path)
        return file_answer(request, path, row, file)


async def receive_body(request: Request, incoming: Incoming, max_bytes: int) -> None:
    """Take the bytes of a file; TooLarge if there are too many."""
    n_bytes = 0
    pending = bytearray()
    async for part in request.stream():
        pending += part
        n_bytes += len(part)
        if n_bytes > max_bytes:
            raise TooLarge(f"The file has more than {max_bytes:,} bytes")
        if len(pending) >= PIECE_BYTES:
            await run_in_threadpool(incoming.write, bytes(pending))
            pending.clear()
    incoming.write(bytes(pending))


def file_answer(request: Request, path: str, row: Mapping[str, Any], file: BinaryIO) -> Response:
    """The bytes of an open file, or the range of them that is asked for."""
    media_type = mimetypes.guess_type(path)[0] or "application/octet-stream"
    inline = media_type in INLINE_TYPES and "download" not in request.query_params
    shown = "inline" if inline else "attachment"
    file_name = quote(path.rpartition("/")[2], safe="")
    begin, end = 0, row["n_bytes"]
    asked = _RANGE.fullmatch(request.headers.get("range", ""))
    headers = {
        "Content-Disposition": f"{shown}; filename*=utf-8''{file_name}",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "private, no-cache",
        "ETag": f'"{row["sha256"]}"',
        "Accept-Ranges": "bytes",
    }
    if asked is not None and int(asked[1]) < end:
        begin, end = int(asked[1]), min(end, int(asked[2]) + 1 if asked[2] else end)
        headers["Content-Range"] = f"bytes {begin}-{end - 1}/{row['n_bytes']}"
    headers["Content-Length"] = str(max(0, end - begin))
    status = 206 if "Content-Range" in headers else 200
    return _FileAnswer(file, begin, end, status_code=status, media_type=media_type, headers=headers)


class _FileAnswer(StreamingResponse):
    """The bytes of a file that is open, and need not have a name any more."""

    def __init__(self, file: BinaryIO, begin: int, end: int, **options: Any) -> None:
        super().__init__(_pieces(file, begin, end), **options)
        self._file = file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._file:
            await super().__call__(scope, receive, send)


def _pieces(file: BinaryIO, begin: int, end: int) -> Iterator[bytes]:
    file.seek(begin)
    while begin < end:
        piece = file.read(min(PIECE_BYTES, end - begin))
        if not piece:
            return
        begin += len(piece)
        yield piece


def run_key(request: Request) -> RunKey:
    given = request.path_params
    return RunKey(given["entity"], given["project"], given["run"])


def parse_post(body: Mapping[str, Any]) -> Post:
    """A file_stream body as what it says.

    Raises:
        UsageError: it is not of the form that the protocol has.
    """
    files = body.get("files")
    files = {} if files is None else files
    if not isinstance(files, dict):
        raise UsageError("`files` is not an object")
    streams: Dict[str, Tuple[int, List[str]]] = {}
    summary: Optional[str] = None
    for name, part in files.items():
        if not isinstance(part, dict):
            raise UsageError(f"{name!r} is not an object")
        offset, content = part.get("offset", 0), part.get("content") or []
        if type(offset) is not int or offset < 0:
            raise UsageError(f"{name!r}: the offset {offset!r} is not a line number")
        if not isinstance(content, list) or not all(isinstance(line, str) for line in content):
            raise UsageError(f"{name!r}: the content is not a list of texts")
        if name == SUMMARY_FILE:
            if content:
                summary = checked_object(content[-1], name)
        elif name in STREAM_OF_FILE:
            streams[STREAM_OF_FILE[name]] = (offset, content)
        else:
            logger.warning("file_stream: ignored %d lines for the unknown file %r", len(content), name)
    exitcode = body.get("exitcode")
    uploaded = body.get("uploaded") or []
    if exitcode is not None and not (type(exitcode) is int and abs(exitcode) < 2**31):
        raise UsageError("`exitcode` is not a whole number of 32 bits")
    if not isinstance(uploaded, list) or not all(isinstance(path, str) for path in uploaded):
        raise UsageError("`uploaded` is not a list of paths")
    return Post(
        lines=streams,
        summary=summary,
        uploaded=uploaded,
        preempting=body.get("preempting") is True,
        complete=body.get("complete") is True,
        exitcode=exitcode,
    )


async def _no_telemetry(request: Request) -> Response:
    return error_answer(404, "No telemetry is collected here")
