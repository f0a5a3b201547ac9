"""The side logs of a run's segments: what its other processes record (decision 0010), read with the main log.

Rule: the records of all are laid in order of time by join.py, as the syncer does it.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Dict, List, NamedTuple, Sequence

from wandb.errors import LogError
from wandb.proto import record_pb2 as pb
from wandb.transaction_log.side_logs import side_logs
from wandb_sync.segments import Segment, run_record


class Side(NamedTuple):
    """A side log, and its first run record."""

    path: Path
    run: pb.RunRecord

    @property
    def id(self) -> str:
        return self.run.writer.id


def sides_of(segments: Sequence[Segment], number: int) -> List[Side]:
    """Return the side logs of one of a run's segments: those beside it, or begun nearest to it."""
    segment = segments[number]
    found: Dict[str, Side] = {}
    for path in map(Path, side_logs(segment.log.path, is_shared=segment.first.is_shared)):
        with contextlib.suppress(LogError):
            run = run_record(path)
            if run is None or not run.writer.side or run.run_id != segment.first.run_id:
                continue
            began_s = started_s(run)
            nearest = min(segments, key=lambda other: abs(other.first.started_s - began_s))
            if path.parent == segment.log.directory or nearest == segment:
                found[run.writer.id] = Side(path, run)
    return list(found.values())


def started_s(run: pb.RunRecord) -> float:
    """Return when a log was begun, in seconds since the epoch."""
    return float(run.start_time.seconds + run.start_time.nanos / 1e9)


def zero_s(run: pb.RunRecord) -> float:
    """Return when `_runtime` was 0 in a log, in seconds since the epoch."""
    return run.writer.runtime_zero or started_s(run) - run.runtime
