"""A debugging aid: one JSON line per request, for whoever wants to see what a client does.

Rule: no header, no body and no signature of an upload address is written, so nothing secret is.
"""

from __future__ import annotations

import json
import re
import time
from typing import Any, Dict

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wandb.errors import UsageError

_SIGNATURE = re.compile(r"^(/(?:upload|upload/artifact/\w+|artifacts/\w+)/\d+(?:/\d+)?)/[^/]+")


class RequestLog:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, path: str) -> None:
        self._app = app
        try:
            self._file = open(path, "a", encoding="utf-8", buffering=1)
        except OSError as error:
            raise UsageError(f"--request-log: {path} cannot be written: {error.strerror}") from error

    def close(self) -> None:
        self._file.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        began = time.monotonic()
        seen: Dict[str, Any] = {"n_bytes": 0, "status": None}

        async def counting_receive() -> Message:
            message = await receive()
            seen["n_bytes"] += len(message.get("body", b""))
            return message

        async def watching_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen["status"] = message["status"]
            await send(message)

        try:
            await self._app(scope, counting_receive, watching_send)
        finally:
            line = {
                "time": time.time(),
                "method": scope["method"],
                "path": _SIGNATURE.sub(r"\1/...", scope["path"]),
                "operation": state.get("operation"),
                "connection": list(scope.get("client") or ()),
                "milliseconds": round(1000 * (time.monotonic() - began), 3),
                **seen,
            }
            self._file.write(json.dumps(line) + "\n")
