"""Writes a log from a thread, so that a file system which does not answer holds the caller for a stated time.

    caller: append ── put ──> backlog ──> thread: write(2), as long as it takes
            └── waits until the thread has nothing left to do, but not longer than `timeout_s`

Rule 1: as long as all is well the caller waits for its own record; what `log()` promises is kept.
Rule 2: in trouble (`trouble` is set) nobody waits; the thread tries on, and ends the trouble when nothing
        waits any more.
Rule 3: the mutex guards the backlog and the flags, for some microseconds.  It is never held over a write, and
        the thread never wants another lock: whoever waits for the thread may hold any.
Rule 4: the thread tells nobody anything; callers find what happened in `trouble`.
"""

from __future__ import annotations

import errno
from _thread import RLock, allocate_lock, start_new_thread
from typing import Any, Callable, Optional

from wandb.backend.backlog import Backlog, Entry
from wandb.errors import LogError, LogWriteError
from wandb.transaction_log.writer import Writer


class _Waiter:
    """A caller that waits, and what it is told."""

    __slots__ = ("lock", "trouble")

    def __init__(self) -> None:
        self.lock = allocate_lock()
        self.lock.acquire()
        self.trouble: Optional[LogError] = None


class WriterThread:
    """The one writer of a log, behind a backlog.

    Args:
        writer: The log; the thread closes it.
        backlog: Where records wait.
        retry_s: Seconds between two attempts while the log cannot be written.
        keeps: Whether a record that could not be written waits for the next attempt; otherwise it is gone.
        before_close: Called in the thread.

    Attributes:
        trouble: Why records wait; None while all is well.
        in_flight: What the thread is just writing.
        closed: Whether the log is.
        sync_each: Whether a record has to be on the disk before it counts as written.
    """

    def __init__(
        self,
        writer: Writer,
        backlog: Backlog,
        *,
        retry_s: float,
        keeps: bool,
        before_close: Callable[[], None],
    ) -> None:
        self.trouble: Optional[LogError] = None
        self.in_flight: Optional[Entry] = None
        self._writer = writer
        self._backlog = backlog
        self._retry_s = retry_s
        self.sync_each = False
        self._keeps = keeps
        self._before_close = before_close
        self._mutex = RLock()
        self._bell: Any = None  # a lock; releasing it wakes the thread
        self._waiter: Optional[_Waiter] = None
        self._sync_due = False
        self._sync_failure: Optional[LogError] = None
        self._close_due = False
        self.closed = False

    def start(self) -> bool:
        """Begin; False if no thread can be had."""
        try:
            start_new_thread(self._run, ())
        except RuntimeError:
            return False
        return True

    def put(self, number: int, payload: bytes) -> None:
        """Let a record be written behind all others; does not wait."""
        with self._mutex:
            self._backlog.add(number, payload)

    def wait(self, timeout_s: float) -> Optional[LogError]:
        """Wait until nothing is left to do; return what went wrong, None if nothing did.

        That the time is over is a trouble too.
        """
        waiter = _Waiter()
        with self._mutex:
            self._waiter = waiter
            self._ring()
        if not waiter.lock.acquire(timeout=timeout_s):
            with self._mutex:
                if self._waiter is waiter:  # else it has just been told
                    self._waiter = None
                    if self.trouble is None:
                        self.trouble = self._no_answer(timeout_s)
                    return self.trouble
        return waiter.trouble

    def sync(self, timeout_s: float) -> Optional[LogError]:
        """Have everything written so far on the disk; as `wait`."""
        self._sync_due = True
        return self.wait(timeout_s)

    def close(self, timeout_s: float, *, sync: bool) -> Optional[LogError]:
        """Write what waits, or try to once more, and close the log; as `wait`.

        If the time does not suffice, the thread does it when it can, provided that the process still lives.
        """
        self._sync_due = sync
        self._close_due = True
        return self.wait(timeout_s)

    def take_over(self) -> None:
        """Free the mutex, in a signal handler that broke into one of our calls and will not return to it."""
        while self._mutex._is_owned():  # type: ignore[attr-defined]  # threading.Condition asks it too
            self._mutex.release()

    def _no_answer(self, timeout_s: float) -> LogError:
        reason = f"the file system has not answered for {timeout_s:g} s"
        error = LogWriteError(f"{self._writer.path}: {reason}", hint="it is written when it does")
        error.__cause__ = TimeoutError(errno.ETIMEDOUT, reason)
        return error

    def _ring(self) -> None:
        bell, self._bell = self._bell, None
        if bell is not None:
            bell.release()

    # ---- in the thread

    def _run(self) -> None:
        while not self.closed:
            with self._mutex:
                self.in_flight = entry = self._backlog.take()
                sync, self._sync_due = entry is None and self._sync_due, entry is not None and self._sync_due
                close = entry is None and not sync and self._close_due
                if entry is None and not sync and not close:
                    self._settle(None)
                    bell = self._new_bell()
            if entry is not None:
                self._write(entry)
            elif sync:
                self._sync()
            elif close:
                self._close(None)
            else:
                bell.acquire()

    def _write(self, entry: Entry) -> None:
        try:
            self._writer.write(entry.payload)
            if self.sync_each:
                self._sync_due = True  # once nothing waits: one sync for all that have come meanwhile
            return
        except LogError as error:
            trouble = error
        except Exception as error:  # a bug of ours: it must not end the thread, nor come back with the record
            trouble = LogError(f"{self._writer.path}: a record was not written: {error!r}")
        kept = self._keeps and isinstance(trouble, LogWriteError)
        with self._mutex:
            if kept:
                self._backlog.put_back(entry)
            self.in_flight = None
            if not self._close_due:
                self._settle(trouble)
            bell = self._new_bell()
        if self._close_due:
            self._close(trouble)
        elif kept:
            bell.acquire(timeout=self._retry_s)

    def _sync(self) -> None:
        try:
            self._writer.sync()
        except LogError as error:
            self._sync_failure = error

    def _close(self, trouble: Optional[LogError]) -> None:
        self._before_close()
        try:
            self._writer.close()
        except LogError as error:
            trouble = trouble or error
        with self._mutex:
            self.closed = True
            self._settle(trouble)

    def _new_bell(self) -> Any:
        self._bell = bell = allocate_lock()
        bell.acquire()
        return bell

    def _settle(self, trouble: Optional[LogError]) -> None:
        """Say how it stands, and wake whoever waits to hear it."""
        self.trouble = trouble
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.trouble = trouble or self._sync_failure
            self._sync_failure = None
            waiter.lock.release()
