"""An end to sending: the last request is answered, no other one begins.

It stands on top of all transports, so that whoever sends, in whatever thread, is stopped at the same place:
between two requests, where everything that was acknowledged is known.
"""

from __future__ import annotations

import threading

from wandb.errors import Interrupted, TransientError
from wandb_sync.transport.base import Request, Response, Transport


class Stop(threading.Event):
    """An event that says why: the exit code of whoever is stopped by it.

    Attributes:
        exit_code: 130 for a Ctrl-C, 143 for SIGTERM, 8 for a limit that was reached.
    """

    exit_code = Interrupted.exit_code

    def because(self, exit_code: int) -> None:
        """Set it; the first reason counts."""
        if not self.is_set():
            self.exit_code = exit_code
        self.set()


class Stoppable:
    """Wraps a transport."""

    def __init__(self, inner: Transport, stop: threading.Event) -> None:
        """Wrap `inner`, for as long as `stop` is not set."""
        self._inner = inner
        self._stop = stop

    def send(self, request: Request) -> Response:
        """Send, unless we are to stop; see transport.base.

        Raises:
            Interrupted: We are to stop: nothing was sent, or it failed and is not tried again.
        """
        if self._stop.is_set():
            raise Interrupted(f"{request.operation}: was not sent any more")
        try:
            return self._inner.send(request)
        except TransientError as error:
            if self._stop.is_set():
                raise Interrupted(error.message) from error
            raise

    def close(self) -> None:
        self._inner.close()
