"""The backend of a process that joins another one's run: its side log begins with its first record.

Rule: who never records leaves nothing behind: no file, no directory, no thread.
"""

from __future__ import annotations

from typing import Callable, Optional

from wandb.backend.base import Backend


class SideBackend(Backend):
    """Hands records on to a log that is opened when the first one comes.

    Args:
        open_log: Begins the log and returns where records go.  What it raises, `append` raises; the next
            record tries again.
        begun: Called once, behind the first record.
    """

    __slots__ = ("_open_log", "_begun", "_log")

    def __init__(self, open_log: Callable[[], Backend], begun: Callable[[], None]) -> None:
        super().__init__()
        self._open_log = open_log
        self._begun = begun
        self._log: Optional[Backend] = None

    @property
    def is_open(self) -> bool:
        """Whether anything was recorded."""
        return self._log is not None

    def append(self, body: bytes) -> None:
        with self.lock:
            if self._log is not None:
                self._log.append(body)
                return
            self._log = self._open_log()
            self._log.append(body)
            self._begun()

    def take_over(self) -> None:
        if self._log is not None:
            self._log.take_over()

    def sync(self) -> None:
        if self._log is not None:
            self._log.sync()

    def close(self) -> None:
        if self._log is not None:
            self._log.close()

    def forget(self) -> None:
        if self._log is not None:
            self._log.forget()
