"""Work on files that a file system may hold up for ever, done by a thread that nobody waits for long.

As the log's writer thread (decision 0007): the caller waits for its own piece of work, at most `timeout_s`;
once that was too long nobody waits, until all that was left behind is done.
"""

from __future__ import annotations

import errno
from _thread import allocate_lock
from collections import deque
from typing import Callable, Deque, List, Optional, TypeVar

from wandb.internal import threads

MAX_WAITING = 10_000  # pieces; each is a few hundred bytes of memory
SLOW_BYTES_PER_S = 10_000_000  # what a file system takes that is slow, but does not hang

Work = Callable[[], None]
Result = TypeVar("Result")


class _Piece:
    """What is to be done, and for whom."""

    __slots__ = ("work", "failed", "done", "error", "is_alone")

    def __init__(self, work: Work, failed: Callable[[Exception], None]) -> None:
        self.work = work
        self.failed = failed
        self.done = allocate_lock()
        self.done.acquire()
        self.error: Optional[Exception] = None
        self.is_alone = False  # nobody waits any more


class BoundedWork:
    """Does pieces of work, one at a time and in order.

    Args:
        timeout_s: How long a caller waits; None: no thread, callers do their work themselves.
    """

    def __init__(self, timeout_s: Optional[float]) -> None:
        self._timeout_s = timeout_s
        self._mutex = allocate_lock()
        self._waiting: Deque[_Piece] = deque()
        self._is_running = False
        self._is_late = False

    @property
    def n_waiting(self) -> int:
        """How many pieces are not done yet."""
        return len(self._waiting)

    def do(self, work: Work, failed: Callable[[Exception], None], extra_s: float = 0.0) -> None:
        """Do it, or let it be done later.

        Args:
            failed: Told, in the thread, if it fails when nobody waits any more.
            extra_s: How much longer than others it may take.

        Raises:
            TimeoutError: It takes too long; the thread goes on with it.  Raised once, until all is done.
            OSError: Too much waits; it will not be done.
            Exception: What it raised itself.
        """
        if self._timeout_s is None:
            return work()
        piece = _Piece(work, failed)
        with self._mutex:
            if len(self._waiting) >= MAX_WAITING:
                raise OSError(errno.EBUSY, "the file system does not answer, and too much waits for it")
            self._waiting.append(piece)
            piece.is_alone = self._is_late
            is_running, self._is_running = self._is_running, True
        if not is_running and not threads.start(self._run):
            with self._mutex:
                self._is_running = False
                self._waiting.remove(piece)
            return work()
        if piece.is_alone:
            return
        if not piece.done.acquire(timeout=self._timeout_s + extra_s):
            with self._mutex:
                if not piece.done.acquire(blocking=False):  # else it has just come to its end
                    piece.is_alone = self._is_late = True
                    raise TimeoutError(
                        errno.ETIMEDOUT,
                        f"no answer of the file system for {self._timeout_s:g} s; done when there is one",
                    )
        if piece.error is not None:
            raise piece.error

    def do_in_time(self, work: Callable[[], Result], n_bytes: int) -> Result:
        """Do what is of no use later, and return what it returns.

        Args:
            n_bytes: How much it writes; a slow file system is given the time for that.

        Raises:
            TimeoutError: It takes too long, or what was begun before does.  What has begun goes on.
            Exception: What it raised itself.
        """
        if self._timeout_s is None:
            return work()
        done: List[Result] = []
        if not self._is_late:
            try:
                self.do(lambda: done.append(work()), _forget, n_bytes / SLOW_BYTES_PER_S)
            except TimeoutError:
                pass  # said below, for nothing of it is done later
        if not done:
            raise TimeoutError(errno.ETIMEDOUT, "the file system does not answer")
        return done[0]

    def _run(self) -> None:
        while True:
            with self._mutex:
                if not self._waiting:
                    self._is_running = False
                    return
                piece = self._waiting[0]
            try:
                piece.work()
            except Exception as error:
                piece.error = error
            with self._mutex:
                self._is_late = self._is_late and len(self._waiting) > 1
                self._waiting.popleft()
                is_alone = piece.is_alone
                piece.done.release()
            if is_alone and piece.error is not None:
                piece.failed(piece.error)


def _forget(error: Exception) -> None:
    """Whoever wanted the work was told already that it is not done."""
