"""One budget for everything that is sent to a server: requests, bytes, and how much in all.

Requests are held back by a number per second that the user allows, and by what the server says about its own
limit (RateLimit-Remaining with RateLimit-Reset, or Retry-After with 429 and 503); bytes by a rate that may
change with the time of the day.  A server that refuses one run's request is left alone by all runs, of all
processes of this host (shared.py).

Rule 1: nothing is dropped or reordered here; a request waits, then goes.
Rule 2: whoever waits longer than five seconds says for what.
Rule 3: what is to be sent at most is never exceeded: the request that would do that is not sent, and the sync
        ends.
"""

from __future__ import annotations

import datetime
import threading
import time
from typing import Callable, Optional

from wandb.errors import Interrupted, TransientError
from wandb_sync.outcomes import EXIT_LIMIT
from wandb_sync.transport.base import Request, Response, Transport
from wandb_sync.transport.shared import Shared
from wandb_sync.transport.stoppable import Stop

MAX_PAUSE_S = 300.0  # however long the server says
TELL_AFTER_S = 5.0
PIECES_PER_S = (
    4.0  # in which a body goes out under a rate; time-outs of servers and proxies count from the last
)
SMALLEST_PIECE_BYTES = 512
MAX_WAITING = 1000  # requests that may stand in line, of all processes

Tell = Callable[[Request, TransientError, float], None]

_NEXT_REQUEST_S, _QUIET_UNTIL_S, _NEXT_BYTE_S = range(3)  # of the shared numbers, all of the monotonic clock
N_SHARED = 3


class Throttle:
    """Wraps a transport."""

    def __init__(
        self,
        inner: Transport,
        *,
        requests_per_s: Optional[float] = None,
        burst: int = 10,
        allowance: Optional[Allowance] = None,
        shared: Optional[Shared] = None,
        sleep: Callable[[float], object] = time.sleep,
        tell: Tell = lambda request, error, wait_s: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Wrap `inner`; without `requests_per_s` only the server's word counts.

        Args:
            burst: Requests that may go at once after a pause.
            allowance: How much may be sent in all.
            shared: The budget of all processes; None: this one's own.
        """
        self._inner = inner
        self._interval_s = 1.0 / requests_per_s if requests_per_s else 0.0
        self._burst = burst
        self._allowance = allowance
        self._shared = shared or Shared(None, N_SHARED)
        self._sleep = sleep
        self._tell = tell
        self._monotonic = monotonic

    def send(self, request: Request) -> Response:
        """Wait for the budget, then send; see transport.base.

        Raises:
            Interrupted: What may be sent in all is used up.
        """
        wait_s = self._reserve_s()
        if wait_s >= TELL_AFTER_S:
            held_back = TransientError(f"{request.operation}: is held back by the limit of requests")
            self._tell(request, held_back, wait_s)
        if wait_s > 0:
            self._sleep(wait_s)
        if self._allowance is not None:
            self._allowance.take(request)
        try:
            response = self._inner.send(request)
        except TransientError as error:
            if error.status in (429, 503) and error.retry_after_s:
                self._be_quiet(error.retry_after_s)
            raise
        if response.headers.get("ratelimit-remaining", "").strip() == "0":
            self._be_quiet(_seconds(response.headers.get("ratelimit-reset", "")))
        return response

    def close(self) -> None:
        self._inner.close()

    def _reserve_s(self) -> float:
        """Take the next free place, and return how long it is until then."""
        with self._shared.held() as numbers:
            now_s = self._monotonic()
            quiet_until_s = _sane(numbers[_QUIET_UNTIL_S], now_s, MAX_PAUSE_S)
            wait_s = max(0.0, quiet_until_s - now_s)
            if self._interval_s:
                most_s = MAX_PAUSE_S + MAX_WAITING * self._interval_s
                free_s = max(now_s, _sane(numbers[_NEXT_REQUEST_S], now_s, most_s))
                wait_s = max(wait_s, free_s - (self._burst - 1) * self._interval_s - now_s)
                numbers[_NEXT_REQUEST_S] = free_s + self._interval_s
            return wait_s

    def _be_quiet(self, seconds: float) -> None:
        with self._shared.held() as numbers:
            now_s = self._monotonic()
            until_s = now_s + min(seconds, MAX_PAUSE_S)
            numbers[_QUIET_UNTIL_S] = max(_sane(numbers[_QUIET_UNTIL_S], now_s, MAX_PAUSE_S), until_s)


class Pace:
    """Holds bytes back, so that all processes together send no more per second than is allowed now."""

    def __init__(
        self,
        bytes_per_s: Callable[[datetime.datetime], Optional[float]],
        *,
        shared: Optional[Shared] = None,
        sleep: Callable[[float], object] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
        local_time: Callable[[], datetime.datetime] = datetime.datetime.now,
    ) -> None:
        """Prepare.

        Args:
            bytes_per_s: The limit at a local time; None: there is none then.
            shared: As of the throttle.
        """
        self._bytes_per_s = bytes_per_s
        self._shared = shared or Shared(None, N_SHARED)
        self._sleep = sleep
        self._monotonic = monotonic
        self._local_time = local_time

    def piece(self, wanted: int) -> int:
        """Wait until the next piece of a body may go; return its size in bytes, at most `wanted`."""
        rate = self._bytes_per_s(self._local_time())
        if rate is None:
            return wanted
        n_bytes = min(wanted, max(SMALLEST_PIECE_BYTES, int(rate / PIECES_PER_S)))
        with self._shared.held() as numbers:
            now_s = self._monotonic()
            most_s = MAX_PAUSE_S + MAX_WAITING * n_bytes / rate
            free_s = max(now_s, _sane(numbers[_NEXT_BYTE_S], now_s, most_s))
            numbers[_NEXT_BYTE_S] = free_s + n_bytes / rate
        if free_s > now_s:
            self._sleep(free_s - now_s)
        return n_bytes


class Allowance:
    """How many bytes may be sent in all, by all processes of this sync."""

    def __init__(self, max_n_bytes: int, stop: threading.Event, shared: Optional[Shared] = None) -> None:
        """Prepare.

        Args:
            stop: Set when it is used up.
            shared: The count of all processes; None: of this one.
        """
        self._max_n_bytes = max_n_bytes
        self._stop = stop
        self._shared = shared or Shared(None, 1)

    def take(self, request: Request) -> None:
        """Take the bytes of a request.

        Raises:
            Interrupted: There are not so many left; the sync is stopped.
        """
        with self._shared.held() as numbers:
            if numbers[0] + request.n_bytes <= self._max_n_bytes:
                numbers[0] += request.n_bytes
                return
        if isinstance(self._stop, Stop):
            self._stop.because(EXIT_LIMIT)
        self._stop.set()
        raise Interrupted(f"{request.operation}: --max-transfer is reached")


def _sane(at_s: float, now_s: float, most_s: float) -> float:
    """Return a time that was kept, unless it is of a clock that has begun anew: the host was started."""
    return at_s if at_s <= now_s + most_s else now_s


def _seconds(text: str) -> float:
    try:
        return max(0.0, float(text))
    except ValueError:
        return 0.0
