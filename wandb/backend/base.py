"""The port between a run and where its records go."""

from __future__ import annotations

from _thread import RLock  # `threading` has the same one, and 3 ms of import
from collections import deque
from typing import Deque

from wandb.backend.backlog import GivenUp
from wandb.errors import LogWriteError
from wandb.interface.records import numbered


class Backend:
    """Takes record bodies from any thread, numbers them and hands them on, one at a time and in order.

    A body may arrive while another one is being written by the same thread: a signal handler, a finaliser or
    our own console capture can run between any two bytecodes.  Such a body waits until the record in hand is
    whole.

    Subclasses implement `_write` and `close`.

    Attributes:
        lock: Held while a record is written; a run holds it over everything that must stay in order with it.
        broken: Why nothing is taken any more; empty while all is well.
        given_up: How many lines that were appended will never be in the log.
    """

    __slots__ = ("lock", "broken", "given_up", "_busy", "_number", "_waiting")

    def __init__(self) -> None:
        self.lock = RLock()
        self.broken = ""
        self.given_up = GivenUp()
        self._busy = False
        self._number = 0
        self._waiting: Deque[bytes] = deque()

    def append(self, body: bytes) -> None:
        """Write one record; when this returns, it is where the backend keeps its records.

        Args:
            body: A serialized Record without its number.

        Raises:
            LogWriteError: The record could not be written; the log is readable up to the record before.  A
                backend that bridges such a time does not raise.
        """
        with self.lock:
            if self._busy:
                self._waiting.append(body)
                return
            self._busy = True
            self._number = number = self._number + 1
            payload = numbered(number, body)
            try:
                self._write(payload)
            except LogWriteError as error:
                self._not_written(payload, error)
            finally:
                self._busy = False
            while self._waiting:
                self.append(self._waiting.popleft())

    def is_held_by_caller(self) -> bool:
        """Whether the calling thread holds the lock; it does in a signal handler that broke into a call."""
        return bool(self.lock._is_owned())  # type: ignore[attr-defined]  # threading.Condition asks it too

    def take_over(self) -> None:
        """Forget the record in hand, from a signal handler that will not return to it.

        The handler runs on the thread that was writing; what the write left in the file is found by the log's
        writer.  Bodies that were waiting are written now.
        """
        with self.lock:
            self._busy = False
            while self._waiting:
                self.append(self._waiting.popleft())

    def opened(self) -> None:
        """Hear that the first records of the run are there."""

    def reserve(self, body: bytes, n_bytes: int) -> bool:
        """Take `n_bytes` of the run directory's quota for a file; False, and it is counted as lost, if they
        are not there.

        Args:
            body: The record of the file, which is not written here.
        """
        return True

    def ending(self) -> None:
        """Hear that only the last records of the run come now; they may take what was kept back for them."""

    def sync(self) -> None:
        """Make everything written so far survive a power cut."""

    def close(self) -> None:
        """Release what is held.  Idempotent."""

    def is_complete(self) -> bool:
        """Say, after `close`, whether all that was appended is in its place and nobody is at it any more."""
        return True

    def forget(self) -> None:
        """Let go in a forked child, without the lock: nobody may be there to release it."""

    def _write(self, payload: bytes) -> None:
        raise NotImplementedError

    def _not_written(self, payload: bytes, error: LogWriteError) -> None:
        """Take a record that `_write` did not; raises the error, or keeps the record for later."""
        raise error
