"""A thread that has the log on the disk every so often, so that the machine's end costs a second and not all.

It also gives the log a new time of change when nothing was written for a while: by that a syncer on another
host, which cannot look for our process, tells a run that is silent from one that was killed.

Rule: it holds no lock that a call of the user's may want: on a slow disk a sync takes seconds.
"""

from __future__ import annotations

import os
from _thread import allocate_lock, start_new_thread
from contextlib import suppress
from time import monotonic
from typing import Callable

from wandb.errors import LogError
from wandb.transaction_log.writer import Writer

START_DELAY_S = 0.1  # until init() has returned
HEARTBEAT_S = 60.0  # a syncer takes a log for a dead one's after five minutes


class IntervalSync:
    """Syncs one log in a daemon thread, if something was written since the last time.

    Args:
        writer: Must not be closed before `stop` has returned.
        interval_s: Seconds between the end of one sync and the beginning of the next.  The first one comes
            sooner, for the directories and the run's first records.
        failed: Told, in the thread, that the disk refused; the thread goes on.
    """

    def __init__(self, writer: Writer, interval_s: float, failed: Callable[[LogError], None]) -> None:
        self._writer = writer
        self._interval_s = interval_s
        self._failed = failed
        self._synced = 0  # what `writer.end` was then
        self._changed_s = monotonic()
        self._stopped = False
        self._stop = allocate_lock()
        self._syncing = allocate_lock()

    def start(self) -> bool:
        """Begin; False if no thread can be had."""
        self._stop.acquire()
        try:
            start_new_thread(self._run, ())
        except RuntimeError:
            return False
        return True

    def stop(self) -> None:
        """End, once a sync that is under way is over.  Idempotent."""
        if self._stopped:
            return
        self._stopped = True
        self._stop.release()
        self._syncing.acquire()

    def _run(self) -> None:
        pause_s = min(START_DELAY_S, self._interval_s)
        while not self._stop.acquire(timeout=pause_s):
            with self._syncing:
                if self._stopped:
                    return
                self._sync()
            pause_s = self._interval_s

    def _sync(self) -> None:
        end = self._writer.end
        now_s = monotonic()
        try:
            if end != self._synced:
                self._writer.sync()
                self._changed_s = now_s
            elif now_s - self._changed_s >= HEARTBEAT_S:
                self._changed_s = now_s
                with suppress(OSError):  # the log was moved or removed
                    os.utime(self._writer.path)
            self._synced = end
        except LogError as error:
            self._failed(error)
