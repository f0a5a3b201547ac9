"""The log of a run directory that may take so many bytes and no more (decision 0013).

What goes first when the quota is near: console output, then system metrics, files, and last rows; what a run
is (config, definitions) goes with the rows.  What is written stays, so each kind has a share behind which it
is refused, and for the end of the run a reserve is kept.

Rule 1: no system call: the log's writer knows its end, and files are counted when they are put into the run.
        What the user writes into `run.dir` himself is not counted, nor what other processes of the run write
        after this log was begun.
Rule 2: the exit record is always written.
Rule 3: what is refused gets no number, is counted, and the log says so: at once, and then each time that as
        much has been lost again, and before the exit; so the accounts take no space worth mentioning, and a
        kill costs the account of half the losses at most.
"""

from __future__ import annotations

import os
from time import time
from typing import Optional

from wandb.backend.backlog import CONSOLE, FILES, ROWS, RUN, STATE, STATS, Loss, is_exit, rank_of
from wandb.backend.log import LogBackend, LogConfig, Report, _tell
from wandb.errors import LogError
from wandb.term import termerror

RESERVE_BYTES = 256 * 1024  # for the last records; an eighth of a small quota
SHARES = {STATE: 1.0, CONSOLE: 0.8, STATS: 0.85, FILES: 0.9, ROWS: 1.0, RUN: 1.0}  # of what is not reserved


class LimitedLogBackend(LogBackend):
    """A LogBackend with a quota.

    Args:
        quota_bytes: Of the run directory; what is beyond is given up.
    """

    __slots__ = ("_quota_bytes", "_limits", "_file_bytes", "_loss", "_n_lost", "_n_told", "_is_ending")

    def __init__(
        self, path: str, quota_bytes: int, config: Optional[LogConfig] = None, report: Report = _tell
    ) -> None:
        n_bytes = _n_bytes_of_others(path)
        super().__init__(path, config, report)
        self._quota_bytes = quota_bytes
        free = quota_bytes - min(RESERVE_BYTES, quota_bytes // 8)
        self._limits = {rank: int(share * free) for rank, share in SHARES.items()}
        self._file_bytes = n_bytes
        self._loss: Optional[Loss] = None  # since the last account of it
        self._n_lost = self._n_told = 0
        self._is_ending = False

    def append(self, body: bytes) -> None:
        with self.lock:
            if self._busy:  # it comes here again
                super().append(body)
                return
            if is_exit(body):
                self._account()
            elif not self._has_room(rank_of(body), len(body)):
                self._refuse(body)
                return
            super().append(body)

    def reserve(self, body: bytes, n_bytes: int) -> bool:
        with self.lock:
            if not self._has_room(FILES, n_bytes):
                self._refuse(body)
                return False
            self._file_bytes += n_bytes
            return True

    def ending(self) -> None:
        with self.lock:
            self._account()
            self._is_ending = True

    def _has_room(self, rank: int, n_bytes: int) -> bool:
        limit = self._quota_bytes if self._is_ending else self._limits[rank]
        return self._writer.end + self._backlog.n_bytes + self._file_bytes + n_bytes <= limit

    def _refuse(self, body: bytes) -> None:
        self._backlog.given_up.count(body)
        rank = rank_of(body)
        if rank == STATE:  # a note of what is there anyway
            return
        if rank in (CONSOLE, STATS, ROWS):
            self._limits[rank] = 0  # for good: no smaller ones in between, which would look like a series
        now_s = time()
        if self._loss is None:
            self._loss = Loss(now_s)
        self._loss.count(self._number, body, now_s)
        self._n_lost += 1
        if self._n_lost == 1:
            termerror(
                f"{self._writer.path}: the quota of the run directory ({self._quota_bytes} bytes) is nearly "
                "used up: console output is given up first, then system metrics, files, and rows last. How "
                "much, will stand in the log. Training goes on."
            )
        if self._n_lost >= 2 * self._n_told:
            self._account()

    def _account(self) -> None:
        """Write what was lost since the last time."""
        loss, self._loss = self._loss, None
        if loss is None:
            return
        self._n_told = self._n_lost
        try:
            super().append(loss.body("the quota of the run directory is used up"))
        except LogError as error:  # on_error="raise", and a disk that is full before the quota is
            self._report("log", error)


def _n_bytes_of_others(log: str) -> int:
    """Return how much stands beside a log that is about to begin: logs of other processes of the run."""
    n_bytes = 0
    try:
        with os.scandir(os.path.dirname(log)) as entries:
            for entry in entries:
                n_bytes += entry.stat().st_size if entry.is_file(follow_symlinks=False) else 0
    except OSError:
        pass  # it cannot be much: we are among the first
    return n_bytes
