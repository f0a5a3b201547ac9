"""Whoever waits for an answer says so: a request that is under way for five seconds is told, and again when
that has doubled.

Rule 1: one thread looks after all requests; it sleeps while none is under way for long.
"""

from __future__ import annotations

import threading
import time
from typing import Callable, Dict, List, Optional

from wandb.errors import TransientError
from wandb_sync.transport.base import Request, Response, Transport

TELL_AFTER_S = 5.0
LOOK_EVERY_S = 0.5

Tell = Callable[[Request, TransientError, Optional[float]], None]


class Told:
    """Wraps the transport that speaks to the server."""

    def __init__(
        self,
        inner: Transport,
        tell: Tell,
        *,
        after_s: float = TELL_AFTER_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Wrap `inner`.

        Args:
            tell: Gets the request and what it waits for; how long that will be nobody knows (None).
            after_s: When it is told first.
        """
        self._inner = inner
        self._tell = tell
        self._after_s = after_s
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._under_way: Dict[int, List[float]] = {}  # since when, and how long it waits until it is told
        self._requests: Dict[int, Request] = {}
        self._is_closed = threading.Event()
        self._looker: Optional[threading.Thread] = None

    def send(self, request: Request) -> Response:
        """Send; see transport.base."""
        number = threading.get_ident()
        with self._lock:
            self._under_way[number] = [self._monotonic(), self._after_s]
            self._requests[number] = request
            if self._looker is None and not self._is_closed.is_set():
                self._looker = threading.Thread(target=self._look, name="sync-told", daemon=True)
                self._looker.start()
        try:
            return self._inner.send(request)
        finally:
            with self._lock:
                self._under_way.pop(number, None)
                self._requests.pop(number, None)

    def close(self) -> None:
        self._is_closed.set()
        self._inner.close()

    def look(self) -> None:
        """Tell of the requests that have been under way for too long."""
        now_s = self._monotonic()
        with self._lock:
            late = []
            for number, entry in self._under_way.items():
                if now_s - entry[0] >= entry[1]:
                    entry[1] *= 2
                    late.append((self._requests[number], now_s - entry[0]))
        for request, for_s in late:
            size = f", {request.n_bytes} bytes," if request.n_bytes > 100_000 else ""
            reason = f"{request.operation}{size} is under way for {for_s:.0f} s, and there is no answer yet"
            self._tell(request, TransientError(reason), None)

    def _look(self) -> None:
        while not self._is_closed.wait(LOOK_EVERY_S):
            self.look()
