"""The side logs of a run's segments: what its other processes record (decision 0010), read with the main log.

Rule: the records of all are laid in order of time by join.py, as the syncer does it.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Dict, Iterable, List, NamedTuple, Optional, Sequence

from wandb.errors import LogError
from wandb.proto import record_pb2 as pb
from wandb.transaction_log.side_logs import side_logs
from wandb_sync.discover import Log
from wandb_sync.segments import Peek, Segment, run_record, started_s


class Side(NamedTuple):
    """A side log, and its first run record."""

    path: Path
    run: pb.RunRecord

    @property
    def id(self) -> str:
        return self.run.writer.id


def side_at(path: Path) -> Optional[Side]:
    """Return the side log at a path; None if it does not say that it is one.

    Raises:
        LogError: It cannot be read.
    """
    run = run_record(path)
    return Side(path, run) if run is not None and run.writer.side else None


def belongs(side: Side, log: Log, first: Peek, begins_s: Iterable[float]) -> bool:
    """Say whether a side log belongs to a segment: beside it, or begun nearest to it.

    Args:
        log, first: The segment's main log, and what its first records say.
        begins_s: When the segments of the run were begun, this one among them; asked for if need be only.
    """
    if (side.run.run_id, side.run.project) != (first.run_id, first.project):
        return False
    if side.path.parent == log.directory:
        return True
    began_s = started_s(side.run)
    return min(begins_s, key=lambda begin_s: abs(begin_s - began_s)) == first.started_s


def sides_of(segments: Sequence[Segment], number: int) -> List[Side]:
    """Return the side logs of one of a run's segments; those that cannot be read are passed over."""
    log, first = segments[number].log, segments[number].first
    found: Dict[str, Side] = {}
    for path in map(Path, side_logs(log.path, is_shared=first.is_shared)):
        with contextlib.suppress(LogError):
            side = side_at(path)
            if side is not None and belongs(side, log, first, (its.first.started_s for its in segments)):
                found[side.id] = side
    return list(found.values())


def zero_s(run: pb.RunRecord) -> float:
    """Return when `_runtime` was 0 in a log, in seconds since the epoch."""
    return run.writer.runtime_zero or started_s(run) - run.runtime
