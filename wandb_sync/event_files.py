"""TensorBoard's event files at sync: what a killed program had not recorded yet, and files without a run.

A program that records (`sync_tensorboard=True`) reads its event files itself, and says in its log how far
(decision 0032).  What was written after that, when it was killed, is added here as a side log of the run;
event files that no program recorded become a run of their own.

Rule 1: what was made once is not made again: a side log comes whole into its place, and an import goes on
        where its log says that it stands.
Rule 2: only the syncer that has the run's lease adds to it.
"""

from __future__ import annotations

import heapq
import hashlib
import json
import math
import os
import time
from itertools import chain
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from google.protobuf.message import DecodeError

from wandb.errors import LogError, LogWriteError, SyncError
from wandb.event_files.directory import EventDirectory, Row, event_directories, named, namespace
from wandb.event_files.values import stored
from wandb.proto import record_pb2 as pb
from wandb.transaction_log.format import LOG_SUFFIX, SIDE_MARK
from wandb.transaction_log.parser import Record
from wandb.transaction_log.reader import Reader
from wandb.transaction_log.writer import Writer
from wandb.version import __version__
from wandb_sync.lease import Lease
from wandb_sync.record_kind import kind_of

SIDE_ID = "tfevents"  # of the side log that is added; a random one has digits too
DEFAULT_PROJECT = "uncategorized"  # as wandb.init()
_FOOTER = pb.Record.FOOTER_FIELD_NUMBER
_HISTORY = pb.Record.HISTORY_FIELD_NUMBER
_EXIT = pb.Record.EXIT_FIELD_NUMBER
_LAST_S = 4e9  # what a hostile file says may be no date at all
_HASH_DIGITS = 20  # of a media file's name; as the SDK


class Watched(NamedTuple):
    """What a log says of one directory: what stands before its tags, and how far each file is recorded."""

    path: str
    root: str
    above: Optional[str]
    ends: Dict[str, int]


class Told(NamedTuple):
    """What a log says of event files, where its rows end, and whether they are followed by an exit record."""

    directories: Dict[str, Watched]
    next_step: int
    is_over: bool = False


def told(log: Path) -> Told:
    """Return what a log says of TensorBoard's directories.

    Raises:
        LogError: It cannot be read.
    """
    found: Dict[str, Watched] = {}
    last_row = b""
    place: Optional[pb.TBRecord] = None  # that counts if a row follows
    is_over = False
    with Reader(log) as reader:
        for event in reader.events():
            if not isinstance(event, Record):
                continue
            kind = kind_of(event.payload)
            if kind == _HISTORY:
                last_row = event.payload
                if place is not None:
                    found[place.log_dir].ends[place.file] = place.end
                place, is_over = None, False
            elif kind == _EXIT:
                is_over = True
            elif kind == _FOOTER:
                try:
                    footer = pb.Record.FromString(event.payload).footer
                except DecodeError:
                    continue
                if not footer.HasField("event_files"):
                    continue
                said = footer.event_files
                known = found.get(said.log_dir, Watched(said.log_dir, said.root_dir, None, {}))
                above = said.namespace if said.file or said.HasField("namespace") else known.above
                found[said.log_dir] = known._replace(above=above)
                place = said if said.file else place
    return Told(found, _step_behind(last_row), is_over)


def _step_behind(row: bytes) -> int:
    for item in pb.Record.FromString(row).history.item if row else ():
        if item.key == "_step" or list(item.nested_key) == ["_step"]:
            try:
                return int(json.loads(item.value_json)) + 1
            except (ValueError, TypeError):
                return 0
    return 0


def complete(log: Path, run: pb.RunRecord, zero_s: float) -> bool:
    """Add what a killed program's writers have written and its log does not have; False if that is nothing.

    Args:
        run: The log's run record.
        zero_s: When its `_runtime` was 0, in seconds since the epoch.

    Raises:
        LogError: The log cannot be read.
        SyncError: The side log cannot be written.
    """
    path = Path(f"{log}{SIDE_MARK}{SIDE_ID}")
    if path.exists():
        return False
    known = told(log)
    if not known.directories:
        return False
    here = [_within_reach(one, log.parent / "files") for one in known.directories.values()]
    rows = _rows(here, run.start_time.seconds, run.writer.host or run.host)
    first = next(rows, None)
    if first is None:
        return False
    begin = pb.RunRecord(run_id=run.run_id, project=run.project, start_time=run.start_time)
    begin.writer.CopyFrom(run.writer)
    begin.writer.side, begin.writer.id, begin.writer.runtime_zero = True, SIDE_ID, zero_s
    scratch = Path(f"{path}.partial")  # no side log's name
    scratch.unlink(missing_ok=True)
    try:
        with _Recorder(Writer.create(scratch), log.parent / "files", zero_s, known.next_step) as recorder:
            recorder.begin(begin)
            for above, directory, row in chain([first], rows):
                recorder.row(above, directory, row)
            recorder.end()
        os.replace(scratch, path)
    except (OSError, LogWriteError) as error:
        scratch.unlink(missing_ok=True)
        raise SyncError(
            f"{path}: what TensorBoard's writers had written last cannot be added: {error}",
            hint="the directory of the run must be writable",
        ) from error
    return True


def _within_reach(one: Watched, files_dir: Path) -> Watched:
    """Return a directory that is not here, of a run that was carried over, as what the run has kept of it."""
    kept = files_dir / (one.above or os.path.basename(one.path))
    return one._replace(path=str(kept)) if not os.path.isdir(one.path) and kept.is_dir() else one


def import_directory(top: str, place: Path, project: str = "", run_id: str = "") -> Optional[Path]:
    """Make a run of the event files at and below a directory, or add what is new to the one made before.

    Args:
        top: The directory, or one event file.
        place: Where run directories are.
        project, run_id: Of the run.  Default: "uncategorized", and an id that follows from the path.

    Returns:
        The log; None if there are no event files.

    Raises:
        SyncError: It cannot be written.
        LogError: The log of an earlier import cannot be read.
    """
    top = os.path.realpath(top)
    if not os.path.isdir(top):
        top = os.path.dirname(top)
    directories = event_directories(top)
    if not directories:
        return None
    run_id = run_id or "tb" + hashlib.sha256(os.fsencode(top)).hexdigest()[:8]
    place.mkdir(parents=True, exist_ok=True)
    try:
        with Lease(place / f".{run_id}.import"):
            return _import(top, directories, place, project or DEFAULT_PROJECT, run_id)
    except (OSError, LogWriteError) as error:
        raise SyncError(f"{top}: its event files cannot be imported: {error}") from error


def _import(top: str, directories: Sequence[str], place: Path, project: str, run_id: str) -> Path:
    before = sorted(place.glob(f"offline-run-*-{run_id}/run-{run_id}{LOG_SUFFIX}"))
    known = told(before[0]) if before else Told({}, 0)
    watched = [
        known.directories.get(path, Watched(path, top, namespace(path, top, [path]), {}))
        for path in directories
    ]
    rows = _rows(watched, 0, "")
    first = next(rows, None)
    if before and first is None and known.is_over:
        return before[0]
    first_s = first[2].at_s if first is not None else time.time()
    if before:
        log, writer, zero_s = before[0], Writer.append_to(before[0]), _zero_s(before[0])
    else:
        stamp = time.strftime("%Y%m%d_%H%M%S", time.localtime(max(0.0, min(first_s, _LAST_S))))
        directory = place / f"offline-run-{stamp}-{run_id}"
        (directory / "files").mkdir(parents=True, exist_ok=True)
        log, zero_s = directory / f"run-{run_id}{LOG_SUFFIX}", first_s
        writer = Writer.create(log)
    with _Recorder(writer, log.parent / "files", zero_s, known.next_step) as recorder:
        if not before:
            run = pb.RunRecord(run_id=run_id, project=project)
            run.start_time.FromNanoseconds(int(max(0.0, min(first_s, _LAST_S)) * 1e9))
            run.writer.runtime_zero = first_s
            run.telemetry.feature.sync_tfevents = True
            recorder.begin(run)
        for one in watched:
            if one.path not in known.directories:
                recorder.directory(one)
        for above, path, row in chain([first] if first is not None else [], rows):
            recorder.row(above, path, row)
        recorder.end()
    return log


def _zero_s(log: Path) -> float:
    with Reader(log) as reader:
        for event in reader.events():
            record = pb.Record.FromString(event.payload) if isinstance(event, Record) else None
            if record is not None and record.HasField("run"):
                return float(record.run.writer.runtime_zero)
    raise LogError(f"{log}: does not say which run it is")


def _rows(directories: Sequence[Watched], since_s: int, host: str) -> Iterator[Tuple[str, str, Row]]:
    """Yield (what stands before the tags, directory, row) of all directories, in order of time."""
    others = [one.path for one in directories]
    for _, number, _, row in heapq.merge(
        *(_timed(n, one, since_s, host) for n, one in enumerate(directories))
    ):
        one = directories[number]
        above = one.above if one.above is not None else namespace(one.path, one.root, others)
        yield above, one.path, row


def _timed(number: int, one: Watched, since_s: int, host: str) -> Iterator[Tuple[float, int, int, Row]]:
    files = EventDirectory(one.path, since_s=since_s, host=host, ends=one.ends)
    files.new_files()
    latest_s = -math.inf
    for place, row in enumerate(files.rows(is_end=True)):
        latest_s = max(latest_s, row.at_s)
        yield latest_s, number, place, row


class _Recorder:
    """Writes records of event files into a log.  Leaving it closes the log."""

    def __init__(self, writer: Writer, files_dir: Path, zero_s: float, next_step: int) -> None:
        self._writer = writer
        self._files_dir = files_dir
        self._zero_s = zero_s
        self._step = next_step

    def __enter__(self) -> _Recorder:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.sync()
        self._writer.close()

    def begin(self, run: pb.RunRecord) -> None:
        header = pb.HeaderRecord()
        header.version_info.producer = f"wandb-ng/{__version__}"
        header.version_info.min_consumer = "0.10.0"
        self._write(pb.Record(header=header))
        self._write(pb.Record(run=run))

    def directory(self, one: Watched) -> None:
        said = pb.TBRecord(log_dir=one.path, root_dir=one.root)
        said.namespace = one.above or ""
        self._write(pb.Record(footer=pb.FooterRecord(event_files=said)))

    def row(self, above: str, directory: str, row: Row) -> None:
        values, charts = stored(named(row, above), self._put)
        for key, chart in charts.items():
            config = pb.ConfigRecord()
            config.update.add(nested_key=["_wandb", "visualize", key], value_json=_json(chart))
            self._write(pb.Record(config=config))
        said = pb.TBRecord(log_dir=directory, file=row.file, end=row.end)
        said.namespace = above
        self._write(pb.Record(footer=pb.FooterRecord(event_files=said)))
        history = pb.HistoryRecord()
        history.step.num = self._step
        # In the order in which the SDK writes them: who reads a log by its bytes finds the time at the end.
        own = {"_step": self._step, "_runtime": max(0.0, row.at_s - self._zero_s)}
        at = values.pop("_timestamp")
        for key, value in {**values, **own, "_timestamp": at}.items():
            if isinstance(value, dict):
                for inner, part in value.items():
                    history.item.add(nested_key=[key, inner], value_json=_json(part))
            else:
                history.item.add(key=key, value_json=_json(value))
        self._write(pb.Record(history=history))
        self._step += 1

    def end(self) -> None:
        self._write(pb.Record(exit=pb.RunExitRecord(exit_code=0)))

    def _put(self, content: bytes, folder: str, key: str, extension: str) -> Mapping[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        name = "".join(char if char.isalnum() or char in "-_" else "_" for char in key)[:100]
        path = f"media/{folder}/{name}_{self._step}_{digest[:_HASH_DIGITS]}{extension}"
        target = self._files_dir / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        files = pb.FilesRecord()
        files.files.add(path=path)
        self._write(pb.Record(files=files))
        return {"path": path, "sha256": digest, "size": len(content)}

    def _write(self, record: pb.Record) -> None:
        self._writer.write(record.SerializeToString())


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def with_imports(paths: Sequence[str], place: Path, project: str, wanted: Optional[bool]) -> List[str]:
    """Return the paths, with the runs made of event files in the place of directories that have no others.

    Args:
        place: Where run directories are.
        wanted: True: also where there are other runs; False: nowhere.

    Raises:
        As `import_directory`.
    """
    found: List[str] = []
    for path in paths:
        is_only_source = wanted is not False and _has_only_events(path)
        if not is_only_source:
            found.append(path)
        log = import_directory(path, place, project) if is_only_source or wanted else None
        if log is not None:
            found.append(str(log.parent))
    return found


def _has_only_events(path: str) -> bool:
    """Say whether a path is an event file, or a directory with such and without logs of runs."""
    if os.path.isfile(path):
        return ".tfevents." in os.path.basename(path)
    has_events = False
    for _, _, names in os.walk(path):
        if any(name.endswith((LOG_SUFFIX, LOG_SUFFIX + ".zst")) for name in names):
            return False
        has_events = has_events or any(".tfevents." in name for name in names)
    return has_events
