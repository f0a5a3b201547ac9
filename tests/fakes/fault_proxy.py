"""A bad network in front of a real server: an HTTP proxy that does to requests what it is told.

    with FaultProxy(server.base_url) as proxy:
        proxy.base_url              where clients go
        proxy.next = ["drop_after", "slow"]    what becomes of the next requests; then all is well
        proxy.on_request = kill     called with the number of each request, before anything is done to it

FAULTS lists what there is.  All of them are things that networks, proxies and portals do; none of them
acknowledges what the server has not taken, for nobody could tell that from the truth.
"""

from __future__ import annotations

import email.utils
import http.client
import random
import socket
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable, Dict, List, Optional, Tuple
from urllib.parse import urlsplit

# What the server never sees.
BEFORE = ("drop_before", "reset", "cut_request", "not_json", "no_object", "skewed_clock")
STATUSES = tuple(
    f"status_{n}" for n in (400, 401, 403, 404, 408, 409, 413, 422, 425, 429, 500, 502, 503, 504)
)
# What it sees, once at least.
AFTER = ("drop_after", "cut_answer", "duplicate", "late", "slow")
FAULTS = (*BEFORE, *STATUSES, *AFTER)
HOP_BY_HOP = ("connection", "transfer-encoding", "keep-alive")

Call = Tuple[str, str, Dict[str, str], bytes]


class FaultProxy:
    """See the module.

    Attributes:
        next: Faults for the next requests, in order of arrival; None lets one pass.
        n_requests: That have come.
    """

    def __init__(self, target: str) -> None:
        self._host, self._port = urlsplit(target).hostname or "", urlsplit(target).port or 80
        self.next: List[Optional[str]] = []
        self.n_requests = 0
        self.done: List[str] = []  # faults that were done
        self.on_request: Callable[[int], None] = lambda n: None
        self._late: List[Call] = []
        self._lock = threading.Lock()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1
            disable_nagle_algorithm = True

            def do_any(self) -> None:
                try:
                    proxy._handle(self)
                except (OSError, http.client.HTTPException):
                    self.close_connection = True  # the client is gone, or the server

            do_GET = do_POST = do_PUT = do_DELETE = do_any

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Door(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass  # a client that was killed

        self._door = Door(("127.0.0.1", 0), Handler)
        self.base_url = f"http://127.0.0.1:{self._door.server_address[1]}"
        self._thread = threading.Thread(target=self._door.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> "FaultProxy":
        self._thread.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self._door.shutdown()
        self._door.server_close()
        self._thread.join()

    def _handle(self, client: BaseHTTPRequestHandler) -> None:
        body = client.rfile.read(int(client.headers.get("Content-Length") or 0))
        headers = {n: v for n, v in client.headers.items() if n.lower() not in HOP_BY_HOP}
        call = (client.command, client.path, headers, body)
        with self._lock:
            number = self.n_requests
            self.n_requests += 1
            fault = self.next.pop(0) if self.next else None
            late, self._late = self._late, []
            if fault is not None:
                self.done.append(fault)
        self.on_request(number)
        if fault == "late":
            with self._lock:
                self._late.append(call)
            _close(client)
        else:
            self._do(fault, client, call)
        for one in late:  # it arrives behind the one that came after it
            self._forward(one)

    def _do(self, fault: Optional[str], client: BaseHTTPRequestHandler, call: Call) -> None:
        if fault == "drop_before":
            _close(client)
        elif fault == "reset":
            _reset(client)
        elif fault == "cut_request":
            self._forward_half(call)
            _close(client)
        elif fault == "not_json":
            _answer(client, 200, b"<html>please log in to the network</html>", {"Content-Type": "text/html"})
        elif fault == "no_object":
            _answer(client, 200, b"[]", {})
        elif fault == "skewed_clock":  # of a server that lives an hour behind, or ahead
            at_s = time.time() + random.choice((-3600, 3600))
            times = {name: email.utils.formatdate(at_s, usegmt=True) for name in ("Date", "Retry-After")}
            _answer(client, 503, b"{}", times)
        elif fault is not None and fault.startswith("status_"):
            _answer(client, int(fault[7:]), b'{"error": "as the test wished"}', {})
        else:
            self._let_through(fault, client, call)

    def _let_through(self, fault: Optional[str], client: BaseHTTPRequestHandler, call: Call) -> None:
        if fault == "duplicate":
            self._forward(call)
        if fault == "slow":
            time.sleep(0.05)
        status, headers, body = self._forward(call)
        if fault == "drop_after":
            _close(client)
        elif fault == "cut_answer":
            _answer(client, status, body[: len(body) // 2], headers, announced=len(body) + 1)
            _close(client)
        else:
            if fault == "slow":
                time.sleep(0.05)
            _answer(client, status, body, headers)

    def _forward(self, call: Call) -> Tuple[int, Dict[str, str], bytes]:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=60)
        try:
            connection.request(call[0], call[1], call[3], call[2])
            answer = connection.getresponse()
            headers = {n: v for n, v in answer.getheaders() if n.lower() not in HOP_BY_HOP}
            return answer.status, headers, answer.read()
        finally:
            connection.close()

    def _forward_half(self, call: Call) -> None:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=60)
        try:
            connection.putrequest(call[0], call[1], skip_host=True, skip_accept_encoding=True)
            for name, value in call[2].items():
                connection.putheader(name, value)
            connection.endheaders(call[3][: len(call[3]) // 2])
        finally:
            connection.close()


def _answer(
    client: BaseHTTPRequestHandler,
    status: int,
    body: bytes,
    headers: Dict[str, str],
    announced: Optional[int] = None,
) -> None:
    client.send_response_only(status)
    for name, value in headers.items():
        if name.lower() != "content-length":
            client.send_header(name, value)
    client.send_header("Content-Length", str(len(body) if announced is None else announced))
    client.end_headers()
    client.wfile.write(body)
    client.wfile.flush()


def _close(client: BaseHTTPRequestHandler) -> None:
    client.close_connection = True
    try:
        client.connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


def _reset(client: BaseHTTPRequestHandler) -> None:
    """Close with a reset, as a server does that has died, or a middlebox that does not like the client."""
    client.close_connection = True
    client.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.connection.close()
