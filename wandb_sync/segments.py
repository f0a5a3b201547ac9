"""Which logs are one run, and in what order.

A job that is requeued records its run in several run directories beside each other.  Each of our logs names
the one before it (RunRecord.segment, decision 0008); those of other clients only say that they go on.

Rule 1: a segment is read as far as the one behind it knew of it: what was written later was overtaken.
Rule 2: a log that goes on with nothing begins its run anew.  Earlier recordings under the same id are not a
        part of it.
"""

from __future__ import annotations

import contextlib
import glob
from pathlib import Path
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from google.protobuf.message import DecodeError

from wandb.errors import LogError
from wandb.proto import record_pb2
from wandb.transaction_log.log_file import plain_name
from wandb.transaction_log.parser import Lost, Record
from wandb.transaction_log.reader import Reader
from wandb_sync.discover import Log
from wandb_sync.join import seconds
from wandb_sync.session import OUR_PRODUCER

FIRST_RECORDS = 10  # the run record is among them


class Peek(NamedTuple):
    """What the first records of a log say."""

    run_id: str
    entity: str
    project: str
    started_s: float
    is_ours: bool
    previous: str = ""  # the segment before, as SegmentInfo has it
    previous_end: int = 0
    n_before: int = 0  # rows of earlier segments
    is_rewound: bool = False  # it begins behind a step of the run itself
    rewound_to: float = 0.0  # that step
    resumes: bool = False  # it goes on with what the server has, or with the log before
    is_shared: bool = False  # other processes have run directories of their own

    @property
    def begins_anew(self) -> bool:
        """Whether nothing that was recorded before belongs to its run."""
        return not (self.previous or self.is_rewound or self.resumes)


NOTHING = Peek("", "", "", 0.0, False)


class Segment(NamedTuple):
    """One log of a run.

    Attributes:
        log: The file.
        first: What its first records say.
        read_until: How much of it belongs to the run, in bytes; 0: all that is there.
        lacks: Names of segments in front of it that are not here.
    """

    log: Log
    first: Peek
    read_until: int = 0
    lacks: str = ""


def _first_run(log: Path) -> Tuple[Optional[record_pb2.RunRecord], bool]:
    """Return the first run record of a log, if it is where it belongs, and whether the log is ours.

    Raises:
        LogError: The log cannot be read.
    """
    is_ours = False
    with Reader(log) as reader:
        for number, event in enumerate(reader.events()):
            if number > FIRST_RECORDS:
                break
            if not isinstance(event, Record):
                continue
            record = record_pb2.Record()
            with contextlib.suppress(DecodeError):
                record.ParseFromString(event.payload)
            if record.HasField("header"):
                is_ours = record.header.version_info.producer.startswith(OUR_PRODUCER)
            if record.HasField("run"):
                return record.run, is_ours
    return None, is_ours


def run_record(log: Path) -> Optional[record_pb2.RunRecord]:
    """Return the first run record of a log; None if there is none among its first records.

    Raises:
        LogError: The log cannot be read.
    """
    return _first_run(log)[0]


def peek(log: Path) -> Optional[Peek]:
    """Return what the first records of a log say; None if there is no run record among them.

    Raises:
        LogError: The log cannot be read.
    """
    run, is_ours = _first_run(log)
    if run is None:
        return None
    who = (run.run_id, run.entity, run.project)
    behind = (run.segment.previous, run.segment.previous_end, run.segment.begin.history)
    is_rewound = run.HasField("branch_point") and run.branch_point.run == run.run_id
    resumes = run.resume or run.resumed
    return Peek(
        *who, started_s(run), is_ours, *behind, is_rewound, run.branch_point.value, resumes, run.writer.shared
    )


def started_s(run: record_pb2.RunRecord) -> float:
    """Return when a log was begun, in seconds since the epoch."""
    return seconds(run.start_time)


def is_damaged(log: Path) -> bool:
    """Say whether the begin of a log cannot be read though something stands there."""
    with Reader(log) as reader:
        for number, event in enumerate(reader.events()):
            if isinstance(event, Lost):
                return True
            if number > FIRST_RECORDS:
                break
        return reader.loss_at_end() is not None


def segment_name(log: Log) -> str:
    """Return a log's name as SegmentInfo.previous has it."""
    return f"{log.directory.name}/{log.path.name}"


def is_same_run(one: Peek, other: Peek) -> bool:
    """Say whether two logs are of one run; who it belongs to may have been said by one of them only."""
    entities = {one.entity, other.entity} - {""}
    return (one.run_id, one.project) == (other.run_id, other.project) and len(entities) < 2


def entities_said_later(firsts: Mapping[Log, Peek]) -> Dict[Log, str]:
    """Return who the logs belong to that do not say it, and that one follows which does."""
    follows = predecessors(firsts)
    found: Dict[Log, str] = {}
    for log in sorted(follows, key=lambda log: firsts[log].started_s, reverse=True):
        before = follows[log]
        entity = firsts[log].entity or found.get(log, "")
        if entity and not firsts[before].entity and is_same_run(firsts[before], firsts[log]):
            found[before] = entity
    return found


def predecessors(firsts: Mapping[Log, Peek]) -> Dict[Log, Log]:
    """Return the log that each one follows, for those whose is here.

    Jobs that began in the same second, each with a directory of its own, have logs of one name: the one
    beside a log is meant then.
    """
    by_name: Dict[str, List[Log]] = {}
    for log in firsts:
        by_name.setdefault(segment_name(log), []).append(log)
    found = {}
    for log, first in firsts.items():
        named = by_name.get(first.previous, [])
        beside = [other for other in named if other.directory.parent == log.directory.parent]
        if named:
            found[log] = (beside or named)[-1]
    return found


def place(log: Log, firsts: Mapping[Log, Peek]) -> Tuple[float, int, float, str]:
    """Return what sorts the segments of a run: since when it was rewound last, rows before, begin."""
    follows = predecessors(firsts)
    root, seen = log, {log}
    while (before := follows.get(root)) is not None and before not in seen:
        seen.add(before)
        root = before
    rewound_s = firsts[root].started_s if firsts[root].is_rewound else 0.0
    return (rewound_s, firsts[log].n_before, firsts[log].started_s, str(log.path))


def run_of(log: Log) -> List[Segment]:
    """Return all segments of the run that a log belongs to, as far as they lie beside it, in order.

    Raises:
        LogError: The log cannot be read.  Others that cannot be are passed over.
    """
    first = peek(log.path)
    if first is None:
        return [Segment(log, NOTHING)]
    firsts = {log: first}
    beside = log.directory.parent.glob(f"*/{glob.escape(log.path.name)}*")
    for path in sorted({Path(plain_name(path)) for path in beside}):
        real = path.parent.resolve() / path.name
        if path.name != log.path.name:
            continue
        if any(real == other.path for other in firsts):
            continue
        with contextlib.suppress(LogError):
            other = peek(real)
            if other is not None and is_same_run(other, first):
                firsts[Log(real, str(path))] = other
    return in_order(next(group for group in recordings(firsts) if log in group), firsts)


def recordings(firsts: Mapping[Log, Peek]) -> List[List[Log]]:
    """Return logs under one id as the recordings that they are (rule 2), the earliest first."""
    follows = predecessors(firsts)
    group_of: Dict[Log, List[Log]] = {}
    groups: List[List[Log]] = []
    waiting = sorted(firsts, key=lambda log: (firsts[log].started_s, str(log.path)))
    for log in waiting:
        before = follows.get(log)
        known = group_of.get(before) if before is not None else None
        if known is None and not firsts[log].begins_anew and groups:
            known = groups[-1]
        if known is None:
            groups.append(known := [])
        known.append(log)
        group_of[log] = known
    return groups


def in_order(logs: Sequence[Log], firsts: Mapping[Log, Peek]) -> List[Segment]:
    """Return the logs of one recording as segments, in the order of their lines."""
    mine = {log: firsts[log] for log in logs}
    ordered = sorted(logs, key=lambda log: place(log, mine))
    follows = predecessors(mine)
    ends = {follows[log]: firsts[log].previous_end for log in ordered if log in follows}
    found = []
    for log in ordered:
        first = firsts[log]
        lacks = first.previous if log not in follows else ""
        found.append(Segment(log, first, ends.get(log, 0), lacks))
    return found
