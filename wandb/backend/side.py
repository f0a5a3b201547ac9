"""The backend of a process that joins another one's run: its side log begins with its first record.

Rule 1: who never records leaves nothing behind: no file, no directory, no thread.
Rule 2: while the log cannot be begun, records wait in memory, up to a bound, as they do while a log cannot be
        written (decision 0007).
"""

from __future__ import annotations

from typing import Callable, List, Optional

from wandb.backend.base import Backend
from wandb.errors import LogWriteError

MAX_EARLY_BYTES = 4 * 1024 * 1024  # of records that wait for their log to begin


class SideBackend(Backend):
    """Hands records on to a log that is opened when the first one comes.

    Args:
        open_log: Begins the log and returns where records go.  If it raises LogWriteError, the next record
            tries again.
        begun: Called once, behind the first record.
        failed: Takes the error while records can wait; None: `append` raises it, and nothing waits.
    """

    __slots__ = ("_open_log", "_begun", "_failed", "_log", "_early")

    def __init__(
        self,
        open_log: Callable[[], Backend],
        begun: Callable[[], None],
        failed: Optional[Callable[[LogWriteError], None]],
    ) -> None:
        super().__init__()
        self._open_log = open_log
        self._begun = begun
        self._failed = failed
        self._log: Optional[Backend] = None
        self._early: List[bytes] = []

    @property
    def has_records(self) -> bool:
        """Whether anything was recorded."""
        return self._log is not None or bool(self._early)

    def append(self, body: bytes) -> None:
        with self.lock:
            if self._log is not None:
                self._log.append(body)
                return
            try:
                self._begin().append(body)
            except LogWriteError as error:
                n_bytes = sum(map(len, self._early)) + len(body)
                if self._failed is None or self._log is not None or n_bytes > MAX_EARLY_BYTES:
                    raise
                self._early.append(body)
                self._failed(error)
                return
            self._begun()

    def _begin(self) -> Backend:
        """Open the log, and write what has waited for that."""
        self._log = log = self._open_log()
        early, self._early = self._early, []
        for body in early:
            log.append(body)
        return log

    def take_over(self) -> None:
        if self._log is not None:
            self._log.take_over()

    def sync(self) -> None:
        if self._log is not None:
            self._log.sync()

    def close(self) -> None:
        with self.lock:
            if self._early:
                self._begin()
            if self._log is not None:
                self._log.close()

    def forget(self) -> None:
        self._early = []
        if self._log is not None:
            self._log.forget()
