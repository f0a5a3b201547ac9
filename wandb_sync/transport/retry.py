"""Trying again: the only home of tenacity.

What is worth another try, the transport underneath says (TransientError).  Here is how often and when: random
waits that double ("full jitter": many clients do not come back at the same moment), and never less than what
the server asks for.

Rule 1: only TransientError is tried again; 409 only a few times, for it more often means a run that was
        deleted than one that somebody else is just writing.
Rule 2: after `deadline_s` the last error goes up; what was not acknowledged is sent at the next sync.
Rule 3: whoever waits longer than five seconds says for what.
Rule 4: a server that has been given up on is asked once per request until it answers again: a thousand runs
        do not wait one after the other for what the first has waited for.
"""

from __future__ import annotations

import random
import threading
import time
from typing import Callable, Optional

import tenacity

from wandb.errors import RejectedError, TransientError
from wandb_sync.transport.base import Request, Response, Transport

FIRST_WAIT_S = 1.0
MAX_WAIT_S = 60.0
DEADLINE_S = 600.0  # per request; a cron job comes again, a person has long looked
TELL_AFTER_S = 5.0
CONFLICT_TRIES = 4  # fifteen seconds at most

Tell = Callable[[Request, TransientError, float], None]


class Retry:
    """Wraps a transport."""

    def __init__(
        self,
        inner: Transport,
        *,
        deadline_s: float = DEADLINE_S,
        tell: Tell = lambda request, error, wait_s: None,
        tell_after_s: float = TELL_AFTER_S,
        stop: Optional[threading.Event] = None,
        sleep: Optional[Callable[[float], None]] = None,
        monotonic: Callable[[], float] = time.monotonic,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        """Wrap `inner`.

        Args:
            deadline_s: How long one request may take with all its tries.
            tell: Called before a wait, once waiting takes `tell_after_s`; gets the wait in seconds.
            stop: Ends waits at once when set; the error in hand goes up.
            sleep, monotonic, uniform: For tests.
        """
        self._inner = inner
        self._deadline_s = deadline_s
        self._tell = tell
        self._tell_after_s = tell_after_s
        self._stop = stop or threading.Event()
        self._sleep = sleep or self._wait
        self._monotonic = monotonic
        self._uniform = uniform
        self._is_given_up = False

    def send(self, request: Request) -> Response:
        """Send, again and again if need be; see transport.base."""
        started_s = self._monotonic()
        n_conflicts = 0
        was_given_up = self._is_given_up

        def send_once() -> Response:
            nonlocal n_conflicts
            try:
                response = self._inner.send(request)
                self._is_given_up = False
                return response
            except RejectedError:
                self._is_given_up = False
                raise
            except TransientError as error:
                n_conflicts += error.status == 409
                if n_conflicts < CONFLICT_TRIES:
                    raise
                raise RejectedError(error.message, status=409, hint=error.hint) from None

        def wait_s(state: tenacity.RetryCallState) -> float:
            highest_s = min(MAX_WAIT_S, FIRST_WAIT_S * 2.0 ** min(state.attempt_number, 20))
            # "Retry-After: 0" and dates in the past are common; taken at their word they are a hot loop.
            return max(_error(state).retry_after_s or 0.0, self._uniform(0.0, highest_s))

        def is_over(state: tenacity.RetryCallState) -> bool:
            if self._stop.is_set() or was_given_up:
                return True
            return self._monotonic() - started_s + (state.upcoming_sleep or 0.0) > self._deadline_s

        def tell(state: tenacity.RetryCallState) -> None:
            next_s = state.upcoming_sleep or 0.0
            if self._monotonic() - started_s + next_s >= self._tell_after_s:
                self._tell(request, _error(state), next_s)

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(TransientError),
            wait=wait_s,
            stop=is_over,
            before_sleep=tell,
            sleep=self._sleep,
            reraise=True,
        )
        try:
            return retrying(send_once)
        except TransientError:
            self._is_given_up = not self._stop.is_set()
            raise

    def close(self) -> None:
        self._inner.close()

    def _wait(self, seconds: float) -> None:
        self._stop.wait(seconds)


def _error(state: tenacity.RetryCallState) -> TransientError:
    assert state.outcome is not None
    error = state.outcome.exception()
    assert isinstance(error, TransientError)
    return error
