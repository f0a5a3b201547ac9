"""The earlier segments of a run: the directory of runs is the registry.

Every segment is a run directory of its own with the run's id in its name, so what is there is what was
recorded: also by another node of a shared file system, also by a process that was killed, and without a file
that could be lost, locked or out of date.

Rule 1: nothing here writes.
Rule 2: a log is read from its end.  The recorder notes from time to time what the run has come to (RunState),
        so that a log of gigabytes costs as much as its last 64 KiB.  Logs of other clients
        have no such notes; they are read whole.
Rule 3: what cannot be read is passed over: a damaged log must not keep a job from starting.
"""

from __future__ import annotations

import os
import re
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Set, Tuple

from wandb.errors import LogError, PackageMissing
from wandb.interface.wire import decode
from wandb.processes import Life, ProcessId, life_of
from wandb.transaction_log.format import BLOCK_BYTES, LOG_SUFFIX, SIDE_MARK
from wandb.transaction_log.log_file import on_disk, open_log, plain_name
from wandb.transaction_log.parser import Parser, Record
from wandb.transaction_log.reader import Reader

FIRST_RECORDS = 10  # the run record is among them; after damage it may be missing
LOOK_BACK_BYTES = 3 * BLOCK_BYTES  # at first; the notes are about that far apart
MAYBE_ALIVE_S = 600.0  # a log that was written to so lately may have a writer on another host


class Segment(NamedTuple):
    """One log of a run.

    Attributes:
        log: Its path.
        run: The fields of its first run record.
    """

    log: str
    run: Dict[str, Any]

    @property
    def name(self) -> str:
        """The log relative to the directory of runs, as SegmentInfo.previous has it."""
        directory, log = os.path.split(self.log)
        return f"{os.path.basename(directory)}/{log}"

    @property
    def started_s(self) -> float:
        """When it began, in seconds since the epoch."""
        start: Dict[str, int] = self.run.get("start_time", {})
        return start.get("seconds", 0) + start.get("nanos", 0) / 1e9

    def life(self) -> Life:
        """Say whether its writer is still at work."""
        writer = self.run.get("writer", {})
        return life_of(
            ProcessId(
                writer.get("host", ""),
                writer.get("boot_id", ""),
                writer.get("pid", 0),
                writer.get("pid_start_ticks", 0),
                writer.get("pid_namespace", ""),
            )
        )


def directories(wandb_dir: str, run_id: str) -> List[str]:
    """Return the names of a run's directories, and of those that are about to be: they have no log yet.

    The log tells whose a directory is: "...-x-1" may be the second of "x" or the first of "x-1".
    """
    pattern = re.compile(rf"(?:offline-)?run-\d{{8}}_\d{{6}}-{re.escape(run_id)}(?:-\d+)?\Z")
    try:
        with os.scandir(wandb_dir) as entries:
            names = sorted(entry.name for entry in entries if pattern.match(entry.name))
    except OSError:
        return []
    return [name for name in names if has_log(wandb_dir, name, run_id) or not _has_any_log(wandb_dir, name)]


def has_log(wandb_dir: str, name: str, run_id: str) -> bool:
    """Say whether a run directory holds the log of a run."""
    return os.path.exists(on_disk(os.path.join(wandb_dir, name, f"run-{run_id}.wandb")))


def _has_any_log(wandb_dir: str, name: str) -> bool:
    try:
        entries = os.listdir(os.path.join(wandb_dir, name))
        return any(plain_name(entry).endswith(LOG_SUFFIX) or SIDE_MARK in entry for entry in entries)
    except OSError:  # it was taken away again
        return True


def find(wandb_dir: str, run_id: str) -> List[Segment]:
    """Return the segments of a run, in the order in which they follow each other.

    Args:
        wandb_dir: The directory of runs.

    Raises:
        PackageMissing: One is compressed: who does not know it would begin in the middle of the others.
    """
    found = []
    for name in directories(wandb_dir, run_id):
        log = os.path.join(wandb_dir, name, f"run-{run_id}.wandb")
        run = run_record(log)
        if run is not None and run.get("run_id") == run_id:
            found.append(Segment(log, run))
    return _in_order(found)


def last_state(log: str) -> Tuple[Dict[str, Any], int]:
    """Return the last RunState of a log, and where its record ends; ({}, 0) if there is none.

    Raises:
        LogError: The log cannot be read.
    """
    try:
        with open_log(log) as file:
            size = file.size()
            look_back = LOOK_BACK_BYTES
            while True:
                begin = max(0, size - look_back) // BLOCK_BYTES * BLOCK_BYTES
                # Parsing from a border is sound: what reaches over it is told as a loss, and passed over.
                parser = Parser(begin)
                parser.feed(file.read_at(begin, size - begin))
                found: Tuple[Dict[str, Any], int] = ({}, 0)
                for event in parser.events():
                    if isinstance(event, Record) and _FOOTER in event.payload[:12]:
                        state = _decoded(event.payload).get("footer", {}).get("state")
                        found = (state, event.end) if state is not None else found
                if found[1] or begin == 0:
                    return found
                look_back *= 4
    except OSError as error:
        raise LogError(f"{log}: cannot be read: {error.strerror}") from error


def records(log: str, offset: int) -> Iterator[Tuple[Dict[str, Any], int]]:
    """Yield the records of a log behind `offset`, each with its end; damage is passed over.

    Raises:
        LogError: The log cannot be read.
    """
    with Reader(log, offset) as reader:
        for event in reader.events():
            if isinstance(event, Record):
                yield _decoded(event.payload), event.end


_FOOTER = b"\xb2\x01"  # the tag of Record.footer; what else begins so is decoded in vain


def _decoded(payload: bytes) -> Dict[str, Any]:
    try:
        return decode("Record", payload)
    except ValueError:
        return {}


def run_record(log: str) -> Optional[Dict[str, Any]]:
    """Return the fields of a log's first run record; None if it has none that can be read."""
    try:
        for number, (record, _) in enumerate(records(log, 0)):
            if "run" in record:
                return dict(record["run"])
            if number > FIRST_RECORDS:
                break
    except PackageMissing:
        raise
    except LogError:
        pass
    return None


def _in_order(segments: List[Segment]) -> List[Segment]:
    """Return segments so that each stands behind the one it follows; those that follow none, by time."""
    waiting = sorted(segments, key=lambda segment: (segment.started_s, segment.name))
    names = {segment.name for segment in segments}
    ordered: List[Segment] = []
    placed: Set[str] = set()
    while waiting:
        for segment in waiting:
            previous = segment.run.get("segment", {}).get("previous", "")
            if previous not in names or previous in placed:
                break
        else:
            segment = waiting[0]  # they follow each other in a circle: somebody has made that up
        waiting.remove(segment)
        ordered.append(segment)
        placed.add(segment.name)
    return ordered
