"""A server that knows the W&B protocol's answers by heart and gives them at once; it keeps nothing.

    instant_server.py [DELAY_MS]     DELAY_MS: how long each answer takes, as over a long line

Prints its address as JSON when it is ready; `GET /counts` says how many requests and bytes came.  Ends with
its standard input.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any, Dict, Optional

RUN = {
    "id": "cnVu",
    "name": "run",
    "displayName": "run",
    "description": None,
    "config": None,
    "sweepName": None,
    "historyLineCount": 0,
    "project": {"id": "cHJv", "name": "bench", "entity": {"id": "ZW50", "name": "bench"}},
}
ANSWERS: Dict[str, Any] = {
    "Viewer": {
        "viewer": {
            "id": "VXNlcg==",
            "entity": "bench",
            "username": "bench",
            "email": "",
            "flags": "{}",
            "teams": {"edges": []},
        }
    },
    "ServerFeaturesQuery": {"serverInfo": {"features": [{"name": "FILESTREAM_GZIP", "isEnabled": True}]}},
    "UpsertBucket": {"upsertBucket": {"bucket": RUN, "inserted": True}},
    "RunResumeStatus": {"model": {"id": "cHJv", "name": "bench", "entity": RUN["project"], "bucket": None}},
}


class Connection(asyncio.Protocol):
    """One kept-alive connection."""

    counts: Dict[str, int] = {"requests": 0, "bytes": 0}
    delay_s = 0.0

    def __init__(self) -> None:
        self._data = bytearray()
        self._transport: Optional[asyncio.Transport] = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._data += data
        while True:
            end = self._data.find(b"\r\n\r\n")
            if end < 0:
                return
            head = bytes(self._data[:end]).decode("latin-1")
            length = 0
            for line in head.split("\r\n")[1:]:
                name, _, value = line.partition(":")
                if name.lower() == "content-length":
                    length = int(value)
            if len(self._data) < end + 4 + length:
                return
            body = bytes(self._data[end + 4 : end + 4 + length])
            del self._data[: end + 4 + length]
            self._answer(head.split(" ", 2)[1], body)

    def _answer(self, path: str, body: bytes) -> None:
        if path == "/counts":
            answer: Any = self.counts
        else:
            self.counts["requests"] += 1
            self.counts["bytes"] += len(body)
            answer = self._graphql(json.loads(body)) if path == "/graphql" else {}
        text = json.dumps(answer).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n"
        assert self._transport is not None
        if self.delay_s and path != "/counts":
            asyncio.get_running_loop().call_later(self.delay_s, self._transport.write, head.encode() + text)
        else:
            self._transport.write(head.encode() + text)

    def _graphql(self, request: Dict[str, Any]) -> Any:
        if "createRunFiles" in request["query"]:
            host = self._transport.get_extra_info("sockname") if self._transport else ("", 0)
            files = [
                {"name": name, "uploadUrl": f"http://{host[0]}:{host[1]}/upload"}
                for name in request["variables"]["files"]
            ]
            return {"data": {"createRunFiles": {"runID": "cnVu", "uploadHeaders": [], "files": files}}}
        return {"data": ANSWERS.get(request.get("operationName") or "", {})}


async def main() -> None:
    """Serve until the standard input ends."""
    loop = asyncio.get_running_loop()
    Connection.delay_s = float(sys.argv[1]) / 1000 if len(sys.argv) > 1 else 0.0
    server = await loop.create_server(Connection, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    print(json.dumps({"base_url": f"http://{host}:{port}", "api_key": "0" * 40}), flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
