"""The backend that records: the run's transaction log, and what happens when it cannot be written.

    all is well      local disk: write(2) from the caller's thread   remote one: from a thread, caller waits
    it fails         the record waits in memory, the user is told once, and so do all that follow
    it works again   they are written, in order, and an account of those that had become too many

Rule 1: while all is well on a local disk nothing stands between `append` and `Writer.write`.
Rule 2: whatever the disk does, `append` returns within `write_timeout_s`, and does not raise unless
        `raises` is set.  A local disk that neither answers nor fails is the one thing that nothing helps.
Rule 3: nothing is told twice: one message when the trouble begins, one when the first record is given up, and
        at the end what is missing from the log without its saying so.

Decision records: 0006 (durability), 0007 (bridging, and the writer thread).
"""

from __future__ import annotations

import os
from functools import partial
from time import monotonic, time
from typing import Callable, Optional, Tuple

from wandb.backend.backlog import Backlog, Loss
from wandb.backend.base import Backend
from wandb.file_systems import may_hang
from wandb.backend.interval_sync import IntervalSync
from wandb.backend.writer_thread import WriterThread
from wandb.errors import LogError, LogWriteError
from wandb.term import termerror
from wandb.transaction_log.writer import Writer, check_size

PROCESS, INTERVAL, RECORD = "process", "interval", "record"
DRAIN_S = 0.02  # how long one `append` may be held up by records that have waited
MAX_BACKLOG_BYTES = 32 * 1024 * 1024  # 70,000 rows of 10 scalars
RETRY_S = 1.0
SYNC_INTERVAL_S = 1.0
WRITE_TIMEOUT_S = 5.0

Report = Callable[[str, BaseException], None]


def _tell(call: str, error: BaseException) -> None:
    termerror(f"{call}: {error}")


class LogConfig:
    """How a log is written.

    Attributes:
        durability: PROCESS, INTERVAL or RECORD: what a record survives when `append` has returned.
        sync_interval_s: Seconds between two syncs, for INTERVAL.
        backlog_bytes: Memory for records that cannot be written.
        retry_s: Seconds between two attempts to write them.
        write_timeout_s: How long a caller waits for a remote file system.
        thread: Whether a thread writes; None: where the file system may hang.
        raises: Let what the disk refuses raise, instead of bridging it.
        directories: Those with new entries, beside the log's own; synced with it.
    """

    __slots__ = (
        "durability",
        "sync_interval_s",
        "backlog_bytes",
        "retry_s",
        "write_timeout_s",
        "thread",
        "raises",
        "directories",
    )

    def __init__(
        self,
        durability: str = PROCESS,
        *,
        sync_interval_s: float = SYNC_INTERVAL_S,
        backlog_bytes: int = MAX_BACKLOG_BYTES,
        retry_s: float = RETRY_S,
        write_timeout_s: float = WRITE_TIMEOUT_S,
        thread: Optional[bool] = None,
        raises: bool = False,
        directories: Tuple[str, ...] = (),
    ) -> None:
        self.durability = durability
        self.sync_interval_s = sync_interval_s
        self.backlog_bytes = backlog_bytes
        self.retry_s = retry_s
        self.write_timeout_s = write_timeout_s
        self.thread = thread
        self.raises = raises
        self.directories = directories


class LogBackend(Backend):
    """Appends every record to the log of a run directory.

    Args:
        path: The log, which must not exist yet.
        report: Takes troubles that are bridged, and the name of the call that they concern.

    Raises:
        LogWriteError: The file exists already, or cannot be created.
    """

    __slots__ = (
        "_writer",
        "_write",
        "_write_well",
        "_config",
        "_report",
        "_backlog",
        "_thread",
        "_interval_sync",
        "_retry_at_s",
        "_told_loss",
        "_closed",
    )

    def __init__(self, path: str, config: Optional[LogConfig] = None, report: Report = _tell) -> None:
        super().__init__()
        self._config = config = config or LogConfig()
        self._report = report
        self._writer = Writer.create(path, config.directories)
        self._backlog = Backlog(config.backlog_bytes)
        self._interval_sync: Optional[IntervalSync] = None
        self._retry_at_s = 0.0
        self._told_loss = False
        self._closed = False
        self._thread = self._start_thread() if _wants_thread(path, config) else None
        # What `_write` is while all is well; the writer's own saves a call per record.
        self._write_well: Callable[[bytes], object] = (
            self._writer.write if self._thread is None else self._write_in_thread
        )
        self._write = self._write_well  # type: ignore[assignment,method-assign]

    def opened(self) -> None:
        """Keep the word of the class of durability from here on, and for what is written already.

        The first records of a run are one thing, and need one sync and not one each.
        """
        if self._config.durability == INTERVAL:
            failed = partial(self._report, "log")
            self._interval_sync = IntervalSync(self._writer, self._config.sync_interval_s, failed)
            self._interval_sync.start()
        elif self._config.durability == RECORD:
            try:
                self.sync()
            except LogError as error:
                self._report("init", error)
            if self._thread is not None:
                self._thread.sync_each = True
                return
            self._write_well = self._write_and_sync
            if self._write != self._write_later:
                self._write = self._write_well  # type: ignore[method-assign]

    def sync(self) -> None:
        """Make everything written so far survive a power cut; what waits is not written yet.

        Raises:
            LogWriteError: The disk refused, or the remote file system did not answer in time.
        """
        with self.lock:
            if self._thread is None:
                self._writer.sync()
                return
            trouble = self._thread.sync(self._config.write_timeout_s)
            if trouble is not None:
                raise trouble

    def close(self) -> None:
        """Write what waits, if that is possible now; tell what is missing; close the log.

        Raises:
            LogWriteError: The log does not have all of it, and `raises` is set.
        """
        with self.lock:
            if self._closed:
                return
            self._closed = True
            sync = self._config.durability != PROCESS
            if self._thread is None:
                self._drain(None)
                trouble = self._close_writer(sync)
            else:
                trouble = self._thread.close(self._config.write_timeout_s, sync=sync)
            # Which refuses from now on.
            self._write = self._writer.write  # type: ignore[assignment,method-assign]
            self._tell_missing(trouble)

    def forget(self) -> None:
        self._closed = True
        self._writer.close()

    def take_over(self) -> None:
        if self._thread is not None:
            self._thread.take_over()
        super().take_over()

    # ---- writing, by the state of things

    def _write_and_sync(self, payload: bytes) -> None:
        self._writer.write(payload)
        try:
            self._writer.sync()
        except LogWriteError as error:
            # The record is in the log, and a second time would be once too often.
            if self._config.raises:
                raise
            self._report("log", error)

    def _write_in_thread(self, payload: bytes) -> None:
        thread = self._thread
        assert thread is not None
        check_size(payload)
        trouble = thread.trouble
        if trouble is None:
            thread.put(self._number, payload)
            trouble = thread.wait(self._config.write_timeout_s)
            if trouble is not None and not self._config.raises:
                self._begin_bridging(trouble)
        elif not self._config.raises:
            thread.put(self._number, payload)
            self._tell_loss()
        if trouble is not None and self._config.raises:
            raise trouble

    def _write_later(self, payload: bytes) -> None:
        check_size(payload)
        self._backlog.add(self._number, payload)
        self._tell_loss()
        now_s = monotonic()
        if now_s >= self._retry_at_s:
            self._drain(now_s + DRAIN_S)

    def _not_written(self, payload: bytes, error: LogWriteError) -> None:
        if self._config.raises:
            raise error
        self._write = self._write_later  # type: ignore[method-assign]
        self._retry_at_s = monotonic() + self._config.retry_s
        self._backlog.add(self._number, payload)
        self._begin_bridging(error)

    def _drain(self, until_s: Optional[float]) -> None:
        """Write what waits, in order, until it fails or the time is over; then it is the next call's turn."""
        while True:
            entry = self._backlog.take()
            if entry is None:
                self._write = self._write_well  # type: ignore[assignment,method-assign]
                return
            try:
                self._writer.write(entry.payload)
            except LogError:  # the same trouble still, or another one
                self._backlog.put_back(entry)
                self._retry_at_s = monotonic() + self._config.retry_s
                return
            if until_s is not None and monotonic() > until_s:
                return

    # ---- the thread, the end, and what is told

    def _start_thread(self) -> Optional[WriterThread]:
        thread = WriterThread(
            self._writer,
            self._backlog,
            retry_s=self._config.retry_s,
            keeps=not self._config.raises,
            before_close=self._stop_interval_sync,
        )
        return thread if thread.start() else None

    def _close_writer(self, sync: bool) -> Optional[LogError]:
        """Close the log from this thread; return what went wrong."""
        self._stop_interval_sync()
        trouble: Optional[LogError] = None
        for step in (self._writer.sync, self._writer.close) if sync else (self._writer.close,):
            try:
                step()
            except LogError as error:
                trouble = trouble or error
        return trouble

    def _stop_interval_sync(self) -> None:
        if self._interval_sync is not None:
            self._interval_sync.stop()

    def _begin_bridging(self, error: LogError) -> None:
        self._backlog.reason = str(getattr(error.__cause__, "strerror", None) or error.message)
        self._report("log", error)
        self._tell_loss()

    def _tell_loss(self) -> None:
        if self._backlog.has_given_up and not self._told_loss:
            self._told_loss = True
            termerror(
                f"{self._writer.path} cannot be written for so long that not all records fit into memory "
                f"({self._config.backlog_bytes} bytes): console output is given up first, then system "
                "metrics, files, and rows last. How much, will stand in the log."
            )

    def _tell_missing(self, trouble: Optional[LogError]) -> None:
        missing = self._backlog.account()
        entry = self._thread.in_flight if self._thread is not None else None
        if entry is not None and entry.loss is None:
            missing = missing or Loss(time())
            missing.count(entry.number, entry.payload, time())
        if missing is None:
            if trouble is not None:
                self._report("finish", trouble)
            return
        text = f"{self._writer.path} lacks what could not be written ({self._backlog.reason}): {missing}"
        if self._thread is not None and not self._thread.closed:
            text += ". It is written should that work before the process ends."
        if self._config.raises:
            raise LogWriteError(text)
        termerror(text)


def _wants_thread(path: str, config: LogConfig) -> bool:
    return may_hang(os.path.dirname(path)) if config.thread is None else config.thread
