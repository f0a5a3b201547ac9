"""One budget of requests for everything that this process sends.

Two things hold requests back: a number of requests per second that the user allows, and what the server says
about its own limit (RateLimit-Remaining / RateLimit-Reset, or Retry-After with 429).  A server that refuses
one run's request is left alone by all runs.

Rule 1: nothing is dropped or reordered here; a request waits, then goes.
Rule 2: whoever waits longer than five seconds says for what.
"""

from __future__ import annotations

import threading
import time
from typing import Callable, Optional

from wandb.errors import TransientError
from wandb_sync.transport.base import Request, Response, Transport

MAX_PAUSE_S = 300.0  # however long the server says
TELL_AFTER_S = 5.0

Tell = Callable[[Request, TransientError, float], None]


class Throttle:
    """Wraps a transport."""

    def __init__(
        self,
        inner: Transport,
        *,
        requests_per_s: Optional[float] = None,
        burst: int = 10,
        sleep: Callable[[float], object] = time.sleep,
        tell: Tell = lambda request, error, wait_s: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Wrap `inner`; without `requests_per_s` only the server's word counts."""
        self._inner = inner
        self._rate = requests_per_s
        self._burst = burst
        self._sleep = sleep
        self._tell = tell
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._tokens = float(burst)
        self._filled_s = monotonic()
        self._quiet_until_s = 0.0

    def send(self, request: Request) -> Response:
        """Wait for the budget, then send; see transport.base."""
        wait_s = self._reserve_s()
        if wait_s >= TELL_AFTER_S:
            held_back = TransientError(f"{request.operation}: is held back by the limit of requests")
            self._tell(request, held_back, wait_s)
        if wait_s > 0:
            self._sleep(wait_s)
        try:
            response = self._inner.send(request)
        except TransientError as error:
            if error.status == 429 and error.retry_after_s:
                self._be_quiet(error.retry_after_s)
            raise
        if response.headers.get("ratelimit-remaining", "").strip() == "0":
            self._be_quiet(_seconds(response.headers.get("ratelimit-reset", "")))
        return response

    def close(self) -> None:
        self._inner.close()

    def _reserve_s(self) -> float:
        """Take a token, on credit if there is none; return how long to wait for it."""
        with self._lock:
            now_s = self._monotonic()
            wait_s = max(0.0, self._quiet_until_s - now_s)
            if self._rate:
                self._tokens = min(self._burst, self._tokens + (now_s - self._filled_s) * self._rate)
                self._filled_s = now_s
                self._tokens -= 1.0
                wait_s = max(wait_s, -self._tokens / self._rate)
            return wait_s

    def _be_quiet(self, seconds: float) -> None:
        with self._lock:
            until_s = self._monotonic() + min(seconds, MAX_PAUSE_S)
            self._quiet_until_s = max(self._quiet_until_s, until_s)


def _seconds(text: str) -> float:
    try:
        return max(0.0, float(text))
    except ValueError:
        return 0.0
