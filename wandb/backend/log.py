"""The backend that records: the run's transaction log."""

from __future__ import annotations

from wandb.backend.base import Backend
from wandb.transaction_log.writer import Writer


class LogBackend(Backend):
    """Appends every record to the log of a run directory; see `Writer` for what an error leaves behind."""

    __slots__ = ("_writer", "_write")

    def __init__(self, path: str) -> None:
        """Create the log.

        Raises:
            LogWriteError: The file exists already, or cannot be created.
        """
        super().__init__()
        self._writer = Writer.create(path)
        self._write = self._writer.write  # type: ignore[assignment,method-assign]  # saves a call per record

    def sync(self) -> None:
        with self.lock:
            self._writer.sync()

    def close(self) -> None:
        with self.lock:
            self._writer.close()

    def forget(self) -> None:
        self._writer.close()
