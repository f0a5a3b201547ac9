"""Is anybody still writing this log?

A log without an exit record was cut short by a kill, or its run goes on.  Which of them decides whether the
server is told that the run has ended, so a wrong "ended" is worse than a late one.

Rule 1: a writer that is known to be dead (wandb-ng notes its process in the run record) has ended, at once.
Rule 2: a writer that is known to be alive has not, however long it is silent.
Rule 3: of other writers (other hosts, logs of other clients) the last change of the log decides.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Optional, Tuple

from wandb.proto.record_pb2 import RunRecord
from wandb.processes import Life, ProcessId, life_of
from wandb.transaction_log.log_file import on_disk, status
from wandb.transaction_log.reader import read_records
from wandb_sync.record_kind import is_end
from wandb_sync.segments import run_record

ASSUME_DEAD_AFTER_S = 300.0  # wandb flushes every 15 s and samples the machine as often; clusters have lags
POLL_EVERY_S = 1.0  # how often a followed log is looked at: see `log_stamp`


def is_over(log: Path) -> bool:
    """Whether nobody will write to this log any more, by its exit record or by `has_ended`.

    Raises:
        LogError: It cannot be read.
    """
    if has_ended(log, run_record(log), ASSUME_DEAD_AFTER_S, time.time()):
        return True
    return any(is_end(record.payload) for record in read_records(log))


def has_ended(log: Path, run: Optional[RunRecord], assume_dead_after_s: float, now_s: float) -> bool:
    """Whether nobody will write to this log any more; the log has no exit record.

    Args:
        now_s: Seconds since the epoch; compared with the log's time of change.
    """
    life = writer_life(run)
    if life is not Life.UNKNOWN:
        return life is Life.DEAD
    try:
        return now_s - status(log).st_mtime >= assume_dead_after_s
    except OSError:
        return True


def log_stamp(log: Path) -> Tuple[int, ...]:
    """Return what changes when a log does: file system, file, size, time of change.

    It is opened for that: a network file system asks its server then, and else answers from memory for up to
    a minute.

    Raises:
        OSError: There is no such log.
    """
    fd = os.open(on_disk(log), os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    try:
        found = os.fstat(fd)
    finally:
        os.close(fd)
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def writer_life(run: Optional[RunRecord]) -> Life:
    """Return what is known of the process that writes a run's log."""
    if run is None or not run.HasField("writer"):
        return Life.UNKNOWN
    writer = run.writer
    ours = (writer.host, writer.boot_id, writer.pid, writer.pid_start_ticks, writer.pid_namespace)
    return life_of(ProcessId(*ours))
