"""The upload of one run: a log and its session, checkpoint, lease and files, held together.

`visit` brings everything that the log holds now to the server.  A batch sync visits once; following a live
run is visiting it again and again.

Rule 1: the checkpoint is written after the acknowledgement, never before.
Rule 2: whatever goes wrong ends this visit only; what was acknowledged until then is in the checkpoint.
Rule 3: "synced" needs a receipt, and a receipt needs: the exit record seen, every line and file acknowledged,
        nothing lost, nothing left out.
Rule 4: a run's side logs go with its main log: all of them are read, and the run has ended when all have.
Rule 5: a segment that another one follows has ended, wherever its process is; it is read as far as the later
        one says, brings its lines to their places, and leaves the last word on the run to the last segment.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import threading
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from wandb.errors import (
    CheckpointMismatch,
    CheckpointUnreadable,
    CommError,
    Error,
    Interrupted,
    LeaseHeld,
    LogError,
    LogShrank,
    RejectedError,
    SyncError,
)
from wandb.file_systems import may_hang
from wandb.processes import Life
from wandb.proto.record_pb2 import FilesItem
from wandb.transaction_log.log_file import size
from wandb.transaction_log.parser import Event, Lost, Record
from wandb.transaction_log.reader import Reader
from wandb.transaction_log.side_logs import side_logs
import wandb_sync.event_files as event_files
import wandb_sync.files as files
import wandb_sync.protocol as protocol
import wandb_sync.refusal as refusal
from wandb_sync.artifacts import ArtifactQueue, ArtifactUpload, Result, is_final
from wandb_sync.batching import BatchSize
from wandb_sync.bundle import Bundle, bundle_path
from wandb_sync.checkpoint import (
    Checkpoint,
    CheckpointFile,
    Destination,
    Identity,
    identify,
    replace_file,
)
from wandb_sync.discover import Log, Sidecars, sidecars
from wandb_sync.follow import ASSUME_DEAD_AFTER_S, has_ended, log_stamp, writer_life
from wandb_sync.join import Part, join
from wandb_sync.lease import Lease
from wandb_sync.noted import Noted
from wandb_sync.outcomes import Emit, Outcome, Status
from wandb_sync.printed import fill, output_log
from wandb_sync.receipts import checksum, read_receipts, write_receipts
from wandb_sync.segments import Peek, peek, run_record, started_s
from wandb_sync.sides import Side, belongs, side_at, zero_s
from wandb_sync.session import Place, Session, Steps, Target, Wishes
from wandb_sync.transcript import Transcript
from wandb_sync.transport.base import Transport
from wandb_sync.transport.stoppable import Stoppable

EXIT_CODE_OF_KILLED = (
    1  # what the server is told of a process that has left no exit record; wandb does the same
)
HEARTBEAT_S = 30.0  # of silence, until the server is told that the run goes on; as wandb
FILES_EVERY_S = 5.0  # how often the files of a followed run are looked at; wandb collects them as long
ARTIFACT_WAIT_S = 1.0  # how often it is looked what else there is to do while artifacts are on their way
SHARED_FILES_S = 10.0  # how long a syncer to another destination may take for what is a moment's work
SAVE_FILES_EVERY_S = 1.0  # while many files are uploaded; a kill costs what arrived since
LARGE_FILES_BYTES = 32 << 20  # of one run, of which not all workers of a watch may upload the like
LITTLE_FILES, LITTLE_BYTES = 8, 1 << 18  # what is uploaded in one round, in no time
MAX_NEW_IDS = 5  # for a run that somebody deletes again and again
# How long a record may be on its way into a side log while another process writes a later one: slow disks,
# clocks of other hosts.  What takes longer comes behind the later one, and is not lost.
SETTLED_AFTER_S = 10.0
SETTLED_HERE_AFTER_S = 2.0  # where all of them are processes of this host, and the disk is its own
_LAST_EVENTS = "part of what was written for TensorBoard last"
MAX_LOST_KEPT = 100  # damaged pieces listed in the checkpoint; more are counted


class RunOptions(NamedTuple):
    """How a run is synced.

    Attributes:
        finish: Whether a log without exit record counts as ended whatever its writer does.
        assume_dead_after_s: When a log that is not written to counts as ended, if nothing else is known.
        include_synced: Whether a run that was synced before is uploaded once more, from its begin.
        mark: Whether the `.synced` marker is written.
        state_dir: Where the syncer's own files go; None: beside the log.
        dry_run: Whether nothing is to be written, not even beside the log.
        on_deleted: What becomes of a run that was deleted on the server: "fail", "skip" or "new-id".
        failed: Whether only runs are wanted that the server has refused before.
        all_destinations: Keys of all destinations that the log is to arrive at before it is marked; none:
            this one.
    """

    target: Target = Target()
    wishes: Wishes = Wishes()
    finish: bool = False
    assume_dead_after_s: float = ASSUME_DEAD_AFTER_S
    include_synced: bool = False
    mark: bool = True
    state_dir: Optional[Path] = None
    dry_run: bool = False
    on_deleted: str = "fail"
    failed: bool = False
    all_destinations: Tuple[str, ...] = ()


class Others(NamedTuple):
    """The other segments of the run that are here, as far as the upload of one has to know them.

    Attributes:
        before, after: Their logs, in order.
        read_until: How much of the log in hand was there when the segment behind it began, in bytes; 0 if
            that one is not here.
    """

    before: Sequence[Log] = ()
    after: Sequence[Log] = ()
    read_until: int = 0


class _StartAgain(Exception):
    """The server does not have what the checkpoint says it has."""


class _Deleted(RejectedError):
    """The server does not know the run any more, and nobody wants it to be made again."""


class RunSync:
    """One run.  Not safe for threads.

    Attributes:
        options: How it is synced.
        others: The other segments of the run; may be exchanged at any time, by any thread.
        is_behind: Whether the last visit has left something for the next one, to give others a turn.
    """

    def __init__(
        self,
        log: Log,
        transport: Transport,
        base_url: str,
        options: RunOptions,
        *,
        structured_console: Callable[[], bool],
        emit: Emit,
        first: Optional[Peek] = None,
        others: Others = Others(),
        leases: Optional[List[Lease]] = None,
        batch: Optional[BatchSize] = None,
        large_files: Optional[threading.Semaphore] = None,
        stop: Optional[threading.Event] = None,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        """Prepare; nothing is read or sent.

        Args:
            structured_console: Asks the server (once for all runs) how it wants console lines.
            emit: Gets what happens, by event name.
            first: What the log's first records say, if somebody has looked already.
            others: The other segments of the run.
            leases: Where the lease is entered while it is held, to be renewed.
            batch: What is known of the size of posts.
            large_files: How many runs may upload large files at a time; None: all.
            stop: Ends the visit when set, after the request that is under way.
        """
        self.log = log
        self._stop = stop or threading.Event()
        self._transport = Stoppable(transport, self._stop)
        self._base_url = base_url
        self.options = options
        self._structured_console = structured_console
        self._emit = emit
        self._leases = leases if leases is not None else []
        self._now_s = now_s
        self._cars: Sidecars = sidecars(log, options.state_dir)
        self._held: List[Lease] = []
        self._again = False  # from the begin, whatever the checkpoint says
        self._first = first
        self._target = options.target
        self._refused: Optional[refusal.Refusal] = None
        self._was_looked_up = False  # what the server has refused
        self.others = others
        self.is_behind = False
        self._stamp: Tuple[int, ...] = ()  # of the log, when it was last visited
        self._batch = batch or BatchSize()
        self._large_files = large_files
        self._bundles: Dict[str, Bundle] = {}  # by log
        self._reset()

    def _reset(self) -> None:
        self._session: Optional[Session] = None
        self._sides: Dict[str, Side] = {}  # those that are read
        self._identities: Dict[str, Any] = {}  # of all that were ever read
        self._all_said = True  # nobody writes to any of them
        self._parts: List[Part] = []
        self._reader: Optional[Reader] = None
        self._checkpoints: Optional[CheckpointFile] = None
        self._transcript: Optional[Transcript] = None
        self._is_open = False
        self._kept: Optional[Checkpoint] = None
        self._files_saved_s = 0.0
        self._n_rows_before = 0  # that were uploaded by an earlier sync
        self._uploaded: Dict[str, Any] = {}
        self._missing: Dict[str, str] = {}
        self._artifacts: Dict[str, Any] = {}  # that have arrived, by their place in the log
        self._failed_artifacts: Dict[str, Any] = {}
        self._queue: Optional[ArtifactQueue] = None
        self._was_begun = False  # by an earlier sync
        self._lost: List[List[Any]] = []
        self._unreported: List[str] = []
        self._spoke_s = time.monotonic()  # when the server heard of the run last
        self._files_due_s = 0.0
        self._has_told_stop = False

    @property
    def says_where_it_begins(self) -> bool:
        """Whether its lines have their places whatever became of the segments before."""
        return self._first is not None and bool(self._first.previous)

    def close(self) -> None:
        """Release the log and the lease.  Idempotent."""
        self._close_log()
        held, self._held = self._held, []
        for lease in held:
            self._leases.remove(lease)
            lease.release()

    def _close_log(self) -> None:
        if self._reader is not None:
            self._reader.close()
        for part in self._parts:
            part.reader.close()
        if self._transcript is not None:
            self._transcript.close()
        if self._queue is not None:
            self._queue.close()
        self._reset()

    def has_news(self) -> bool:
        """Say whether a visit is worth while: the log has changed, or its writer died.  A few system calls.

        Raises:
            OSError: The log is gone.
        """
        if log_stamp(self.log.path) != self._stamp or self._parts:
            return True  # what side logs hold comes when it has settled
        if self._queue is not None and self._queue.has_results:
            return True
        run = self._session.run if self._session is not None else None
        return writer_life(run) is Life.DEAD

    def visit(self, slice_s: float = math.inf) -> Outcome:
        """Bring everything that the log holds now to the server.

        Args:
            slice_s: After how many seconds the rest is left to the next visit (`is_behind`).

        Raises:
            Error: As the transport, the log, the lease or the checkpoint say; `close` it then.
        """
        self.is_behind = False
        stamp = log_stamp(self.log.path)
        if self._stamp and stamp[:2] != self._stamp[:2]:
            self._close_log()  # a newer copy is in its place; the checkpoint says how much of it is uploaded
        self._stamp = stamp
        self._first = self._first or peek(self.log.path)
        if self._first is None:
            return Outcome(self.log, Status.EMPTY, "the log does not say which run it is")
        if self._session is None:
            refused = self._look_up_refusal()
            if refused is not None:
                return refused
            if not self.options.include_synced and self._is_shorter_than_before():
                reason = "the machine has lost the end of the log after it was uploaded"
                return Outcome(self.log, Status.UPLOADED, f"{reason}; the run goes on in the next segment")
            done = self._done_before()
            if done is None:
                self._take_lease()
                done = self._done_before()  # another syncer may have been about to be ready
            if done is not None and self.options.include_synced:
                self._again = True
            elif done is not None:
                return done
            self._take_lease()
        while True:
            try:
                return self._visit(time.monotonic() + slice_s)
            except _StartAgain:
                self._again = True
            except RejectedError as error:
                if error.status == 413 and self._batch.can_shrink:
                    self._batch.too_large()
                    self._emit("smaller_batches", {"log": self.log.shown, "n_bytes": self._batch.n_bytes})
                else:
                    skipped = self._refuse(error)
                    if skipped is not None:
                        return skipped
            self._close_log()

    # ---- what the server has refused

    @property
    def _refusal_path(self) -> Path:
        """The place of the refusal, under the id that the log has, or that the user gave."""
        target = self.options.target
        return self._destination_of(target).file(self._cars.refused)

    def _look_up_refusal(self) -> Optional[Outcome]:
        """See what the server said before; return an outcome if that is not to be asked again."""
        if self._was_looked_up:
            return None
        self._was_looked_up = True
        self._refused = found = refusal.read(self._refusal_path)
        if found is not None and found.goes_on_as:
            self._target = self._target._replace(run_id=found.goes_on_as)
            if not self.options.failed:
                return None
        if self.options.failed and (found is None or found.goes_on_as):
            return Outcome(self.log, Status.SKIPPED, "was not refused")
        options = self.options
        is_listed = options.failed and options.dry_run
        is_wanted = options.failed or options.include_synced or self.log.is_named
        if found is None or (is_wanted and not is_listed):
            return None
        said = f"{found.reason} ({found.when}, {found.n_tries} times)"
        if found.was_deleted and options.on_deleted == "skip":
            return Outcome(self.log, Status.SKIPPED, f"deleted on the server: {said}")
        if found.was_deleted and options.on_deleted == "new-id":
            return None
        return Outcome(self.log, Status.REFUSED, said, RejectedError.exit_code)

    def _refuse(self, error: RejectedError) -> Optional[Outcome]:
        """Keep what the server said; return an outcome if that is none to be told as a failure.

        Returns:
            None: the run is to be uploaded under a new id.

        Raises:
            RejectedError: The error, as it came.
        """
        if self.options.dry_run or not refusal.is_for_good(error):
            raise error
        is_deleted = isinstance(error, _Deleted) or refusal.was_deleted(error, is_open=self._is_open)
        n_tries = self._refused.n_tries + 1 if self._refused is not None else 1
        key = self._destination_of(self.options.target).key
        said = refusal.Refusal(key, error.message, error.status, n_tries, self._now_s(), is_deleted)
        if is_deleted and self.options.on_deleted == "new-id" and n_tries <= MAX_NEW_IDS:
            again = "" if n_tries == 1 else f"-{n_tries}"
            base = self.options.target.run_id or (self._first.run_id if self._first else "")
            said = said._replace(goes_on_as=f"{base}-again{again}")
            self._target = self._target._replace(run_id=said.goes_on_as)
            self._emit("run_deleted", {"log": self.log.shown, "goes_on_as": said.goes_on_as})
        self._refused = said
        with contextlib.suppress(SyncError):  # a disk that is full must not hide what the server said
            refusal.write(self._refusal_path, said)
        if said.goes_on_as:
            return None
        if is_deleted and self.options.on_deleted == "skip":
            return Outcome(self.log, Status.SKIPPED, f"deleted on the server: {error.message}")
        raise error

    def _arrived(self) -> None:
        """Forget what the server had refused, now that it has taken the run."""
        if self._refused is not None and not self._refused.goes_on_as and not self.options.dry_run:
            refusal.forget(self._refusal_path)
            self._refused = None

    # ---- is there anything to do

    @property
    def _destination(self) -> Destination:
        assert self._first is not None
        return self._destination_of(self._target)

    def _destination_of(self, target: Target) -> Destination:
        assert self._first is not None
        return Destination(self._base_url, target.entity, target.project, target.run_id or self._first.run_id)

    def _done_before(self) -> Optional[Outcome]:
        """Return an outcome if it is known without a request that there is nothing to do."""
        with contextlib.suppress(LogError, CheckpointMismatch):
            entry = CheckpointFile(self._cars.checkpoint, self._destination).load(self.log.path)
            if entry is not None:
                if not entry.is_complete or entry.identity.offset < self._whole_records_end(entry.identity):
                    return None
                if entry.session.get("step_policy") != self.options.wishes.step_policy:
                    return None
                if any(self._has_grown(side, entry) for side in self._find_sides().values()):
                    return None
                if _has_unnoted_artifacts(entry) or self._is_worth_another_try(entry):
                    return None
                if any(
                    path in files.MADE
                    or files.is_there(self.log.files_dir, path, self._bundle_of(self.log.path))
                    for path in entry.missing
                ):
                    return None
                if entry.lacks:
                    reason = "nothing new; still: " + "; ".join(entry.lacks)
                    return Outcome(self.log, Status.UNCHANGED, reason, exit_code=3)
                return Outcome(self.log, Status.UNCHANGED, "everything was uploaded before")
        if self._is_marked_by_others():
            return Outcome(
                self.log, Status.SKIPPED, "marked as synced by wandb; --include-synced uploads it again"
            )
        return None

    def _is_shorter_than_before(self) -> bool:
        """Whether the log has lost some of what was uploaded, and the run goes on behind what it still has.

        That is what a power cut leaves of a run that was followed while it was recorded.

        Raises:
            LogShrank: It has, and nobody goes on: a log that was cut has lost its exit record, and would end
                a run as killed that is finished.
        """
        try:
            CheckpointFile(self._cars.checkpoint, self._destination).load(self.log.path)
        except LogShrank:
            if not 0 < self.others.read_until <= size(self.log.path):
                raise
            return True
        except CheckpointMismatch:
            pass  # another log: it is uploaded from its begin
        return False

    def _is_marked_by_others(self) -> bool:
        """Whether there is a marker, where the syncer's files are or beside the log, and no receipt."""
        beside = sidecars(self.log)
        if self._cars.receipt.exists() or beside.receipt.exists():
            return False
        return self._cars.synced.exists() or beside.synced.exists()

    def _has_grown(self, side: Side, entry: Checkpoint) -> bool:
        """Say whether a side log has records that were not uploaded."""
        known = entry.sides.get(side.id)
        with Reader(side.path, known["offset"] if known else 0) as reader:
            return any(True for _ in reader.events())

    def _whole_records_end(self, identity: Identity) -> int:
        """Return where the log's last whole record ends, without reading what was read before."""
        with Reader(self.log.path, identity.offset) as reader:
            for event in reader.events():
                if self._is_beyond(event.end):
                    return identity.offset
            return reader.position

    def _take_lease(self) -> None:
        """Take the lease for the destination.

        With a state directory also the one beside the log, where others look for it.
        """
        if self._held or self.options.dry_run:
            return
        shared = sidecars(self.log).lease
        Lease(shared).check()  # of an older syncer, which has one for all destinations
        beside = Lease(self._destination.file(shared))
        mine = Lease(self._destination.file(self._cars.lease))
        if beside.path != mine.path:
            if os.access(self.log.directory, os.W_OK):
                self._hold(beside)
            else:
                beside.check()
        self._hold(mine)

    def _hold(self, lease: Lease) -> None:
        lease.acquire()
        self._held.append(lease)
        self._leases.append(lease)

    # ---- the visit

    def _visit(self, until_s: float) -> Outcome:
        if self._session is None:
            self._begin()
            self._n_rows_before = self._session.n_rows if self._session else 0
        session, reader = self._session, self._reader
        assert session is not None and reader is not None
        session.is_last = not self.others.after
        for side, event in self._events(session, reader):
            if self._stop.is_set():
                raise Interrupted(f"{self.log.shown}: was read to byte {session.offset}")
            if isinstance(event, Record):
                is_time = session.add(event.payload, event.end, side)
                if is_time and session.wants_position:
                    self._locate(session)
                elif is_time:
                    self._push(session)
                    if time.monotonic() > until_s:
                        self.is_behind = True
                        return self._outcome(session, Status.RUNNING, "there is more to upload")
            else:
                self._note_loss(session, event, side)
        if session.run is None:
            return Outcome(self.log, Status.EMPTY, "the log does not say which run it is")
        ended = session.exit_code is not None or self.options.finish
        if not ended and self.others.read_until:
            missing = self.others.read_until - session.offset
            if missing > 0 and size(self.log.path) < self.others.read_until:
                reason = f"{missing} bytes of the log are not here, as the segment that follows it says"
                self._push(session)
                return self._outcome(session, Status.RUNNING, reason)
            ended = True
        if not ended:
            ended = has_ended(self.log.path, session.run, self.options.assume_dead_after_s, self._now_s())
        if ended and self._parts and not self._all_said:
            ended = False  # a process that has side logs is at work
        if not ended:
            self._follow(session)
            return self._outcome(session, Status.RUNNING, "the run goes on")
        if session.exit_code is None and self._add_last_events(session):
            return self._visit(until_s)  # there is a side log that was not there before
        with self._turn_for_files(session, final=True) as is_our_turn:
            if is_our_turn:
                return self._finish(session, reader)
        self._push(session)
        return self._outcome(session, Status.RUNNING, "its files wait for those of other runs")

    def _add_last_events(self, session: Session) -> bool:
        """Add what a killed program has written for TensorBoard and not recorded; False if that is nothing.

        Not if a later segment has places for its lines already, and not while the program may be alive.
        """
        run = session.run
        if run is None or self.options.dry_run or self.others.after or writer_life(run) is Life.ALIVE:
            return False
        try:
            return event_files.complete(self.log.path, run, zero_s(run))
        except SyncError:  # a directory that cannot be written to must not keep the rest back
            session.not_uploaded[_LAST_EVENTS] = 1
            return False

    def _follow(self, session: Session) -> None:
        """Bring what a run that goes on has by now, and nothing if that is nothing."""
        is_kept = self._kept is not None and self._kept.identity.offset == session.offset
        if not self._is_open or not is_kept or session.is_waiting:
            self._push(session)  # before the files: trouble with one must not keep the rows back
        if time.monotonic() >= self._files_due_s:
            with self._turn_for_files(session, final=False) as is_our_turn:
                if is_our_turn:
                    self._upload_files(session, final=False)
            self._files_due_s = time.monotonic() + FILES_EVERY_S
        self._upload_artifacts(session)
        if self._unreported:
            self._push(session)
        if time.monotonic() - self._spoke_s >= HEARTBEAT_S:
            self._drive(session.keep_alive())
            self._progress(session)
        if session.is_asked_to_stop and not self._has_told_stop:
            self._has_told_stop = True
            self._emit("stop_asked", {"log": self.log.shown})

    def _events(self, session: Session, reader: Reader) -> Iterator[Tuple[str, Event]]:
        """Yield what the logs of the run say now, each event with the id of its side log."""
        self._open_sides(session)
        if not self._parts:
            for event in reader.events():
                if self._is_beyond(event.end):
                    return
                yield "", event
            return
        for part, event in join(self._parts, self._now_s() - self._settled_after_s(session)):
            yield part.id, event
        self._all_said = (
            self.options.finish
            or self.others.read_until > 0
            or all([self._has_ended(part, session) for part in self._parts])
        )
        if self._all_said:
            for part, event in join(self._parts, math.inf):
                yield part.id, event

    def _settled_after_s(self, session: Session) -> float:
        """Return how long a record may be on its way into one of the logs."""
        runs = [session.run or run_record(self.log.path), *(side.run for side in self._sides.values())]
        is_here = all(writer_life(run) is not Life.UNKNOWN for run in runs)
        return SETTLED_HERE_AFTER_S if is_here and not may_hang(str(self.log.directory)) else SETTLED_AFTER_S

    def _open_sides(self, session: Session) -> None:
        """Read the side logs that have come since from here on too."""
        known = {part.id for part in self._parts}
        if self._is_closed_to_sides:
            return
        assert self._reader is not None
        fresh = [side for side in self._find_sides().values() if side.id not in known]
        if not fresh:
            return
        if not self._parts:
            first = run_record(self.log.path)
            assert first is not None
            limit = self.others.read_until
            self._parts.append(Part(self._reader, zero_s(first), limit=limit))
        for side in fresh:
            source = session.side(side.id)
            self._sides[side.id] = side
            reader = Reader(side.path, source.offset, keeps_open=False)
            self._parts.append(Part(reader, zero_s(side.run), id=side.id))

    @property
    def _is_closed_to_sides(self) -> bool:
        """Whether the lines behind those that were uploaded are those of the segment that follows."""
        return bool(self.others.after and self._kept is not None and self._kept.is_complete)

    def _find_sides(self) -> Dict[str, Side]:
        """Return the side logs of this segment that are here, by their ids."""
        found: Dict[str, Side] = {}
        assert self._first is not None
        for path in map(Path, side_logs(self.log.path, is_shared=self._first.is_shared)):
            side = side_at(path)
            if side is not None and belongs(side, self.log, self._first, self._begins_s()):
                found[side.id] = side
        return found

    def _begins_s(self) -> Iterator[float]:
        """Yield when the segments of the run were begun, this one first."""
        assert self._first is not None
        yield self._first.started_s
        for other in (*self.others.before, *self.others.after):
            record = run_record(other.path)
            if record is not None:
                yield started_s(record)

    def _has_ended(self, part: Part, session: Session) -> bool:
        """Say whether nobody writes to one of the logs any more."""
        source = session.side(part.id) if part.id else session.main
        run = self._sides[part.id].run if part.id else session.run
        if source.exit_code is not None or part.has_exit(source.offset):
            return True
        path = Path(part.reader.path)
        return has_ended(path, run, self.options.assume_dead_after_s, self._now_s())

    def _begin(self) -> None:
        """Restore the session from the checkpoint, or begin at the begin."""
        self._checkpoints = CheckpointFile(self._cars.checkpoint, self._destination)
        if self._checkpoints.was_damaged:
            self._emit("checkpoint_discarded", {"log": self.log.shown, "reason": "it is damaged"})
        entry: Optional[Checkpoint] = None
        try:
            entry = None if self._again else self._checkpoints.load(self.log.path)
        except CheckpointMismatch as error:
            self._emit("checkpoint_discarded", {"log": self.log.shown, "reason": error.message})
        if entry is not None and _has_unnoted_artifacts(entry):
            entry = None
        self._was_begun = entry is not None or self._again
        target, wishes = self._target, self.options.wishes
        policy = entry.session.get("step_policy", wishes.step_policy) if entry is not None else ""
        if entry is not None and policy != wishes.step_policy:
            if policy == "keep" and entry.session["n_late"]:
                raise SyncError(
                    f"{self.log.shown}: was uploaded with --step-policy keep; what that has added would stay",
                    hint="say keep again, or upload it as another run with --id",
                )
            entry = None  # rows go to other places now
        self._kept = entry
        if entry is None:
            self._checkpoints.discard()
        if entry is None or not entry.session:
            session = Session(
                target,
                wishes,
                starting_step=_starting_step(self._cars.syncstate),
                batch_bytes=self._batch.n_bytes,
                previous=self._previous_place(),
            )
        else:
            session = Session.restore(entry.session, target, wishes, batch_bytes=self._batch.n_bytes)
        if entry is not None:
            self._uploaded, self._missing = dict(entry.files), dict(entry.missing)
            self._unreported = list(entry.unreported)
            self._lost = list(entry.lost)
            self._artifacts = dict(entry.artifacts)
            session.artifacts = [noted for noted in session.artifacts if noted.key not in self._artifacts]
            self._identities = dict(entry.sides)
            for side in self._find_sides().values():
                identity = entry.sides.get(side.id)
                if identity is not None and identify(side.path, identity["offset"]) != Identity(**identity):
                    reason = f"{side.path.name} is not the log that it was written for"
                    self._emit("checkpoint_discarded", {"log": self.log.shown, "reason": reason})
                    raise _StartAgain
        self._transcript = Transcript()
        if session.console.n_lines:
            ends = {side.id: side.offset for side in (session.main, *session.sides.values())}
            sides = list(self._find_sides().values())
            fill(self.log, self._transcript, sides, ends)
        session.console.on_final = self._transcript.add
        self._session = session
        self._reader = Reader(self.log.path, session.offset)
        self._emit(
            "run_started",
            {"log": self.log.shown, "offset": session.offset, "n_bytes": size(self.log.path)},
        )

    def _previous_place(self) -> Optional[Place]:
        """Return where the segment before this one stands on the server, by its checkpoint."""
        entry = self._checkpoint_of(self.others.before[-1]) if self.others.before else None
        if entry is None or not entry.is_complete:
            return None
        return Place(*entry.session["place"])

    def _is_beyond(self, end: int) -> bool:
        """Say whether an event ends behind what the segment that follows knows of this log."""
        return 0 < self.others.read_until < end

    def _push(self, session: Session) -> None:
        """Send what was added, then keep the state."""
        self._open_for_lines(session)
        self._drive(session.flush(self._unreported))
        session.batch_bytes = self._batch.n_bytes
        self._unreported = []
        self._save(session, is_complete=False)
        self._progress(session)

    def _locate(self, session: Session) -> None:
        """Ask the server where the run goes on; `open` waits for the rest of what the log says of it."""
        self._check_lease()
        self._drive(session.locate())
        self._keep_syncstate(session)

    def _open_for_lines(self, session: Session) -> None:
        self._check_lease()
        self._open(session)
        if session.wants_console_form:
            session.structured_console = self._structured_console()

    def _open(self, session: Session) -> None:
        if session.wants_position:
            self._locate(session)
        if self._is_open or session.run is None:
            return
        before = session.bucket
        if before is not None and self.options.on_deleted == "skip" and not self.options.dry_run:
            where = (before.entity, before.project, before.name)
            answer = self._transport.send(protocol.run_resume_status(*where))
            if protocol.read_resume_status(answer) is None:
                raise _Deleted(f"the server does not know run {before.name} any more", status=404)
        self._drive(session.open())
        self._is_open = True
        now = session.bucket
        assert now is not None
        is_another = before is not None and (now.inserted or now[:4] != before[:4])
        if is_another and not self.options.dry_run:  # which has no server that could know the run
            self._emit(
                "checkpoint_discarded", {"log": self.log.shown, "reason": "the server has another run"}
            )
            raise _StartAgain
        if not self.options.dry_run:
            told = {"log": self.log.shown, "url": self._url(session), "name": now.display_name}
            self._emit("run_opened", {**told, "entity": now.entity, "project": now.project})

    def _finish(self, session: Session, reader: Reader) -> Outcome:
        sources = (session.main, *session.sides.values())
        is_open = any(source.exit_code is None for source in sources)
        in_one_post = not is_open and self._is_little(session)
        if in_one_post:
            self._open_for_lines(session)
        else:
            # Before the files: trouble with one must not keep the rows back.  And should a log without exit
            # record grow after all, the state from before its end is what to go on from.
            self._push(session)
        before_end = json.loads(json.dumps(session.state())) if is_open else None
        loss = reader.loss_at_end() if reader.at_end else None
        if loss is not None:
            self._lost.append([loss.offset, loss.n_bytes, loss.reason])
        session.end(EXIT_CODE_OF_KILLED)
        try:
            self._upload_files(session, final=True)
        except CommError:
            if in_one_post:
                with contextlib.suppress(CommError):
                    self._push(session)
            raise
        self._upload_all_artifacts(session)
        self._check_lease()
        self._drive(session.finish(self._unreported, self._later_exit_code()))
        self._unreported = []
        lacks = self._lacks(session)
        if loss is not None:
            self._lost.pop()  # it is found again by whoever reads the tail again
        if before_end is not None:
            before_end["place"] = list(session.place)
        self._save(session, is_complete=True, state=before_end, lacks=lacks)
        if self._failed_artifacts:
            self._keep_failure()
        else:
            self._arrived()
        self._progress(session)
        return self._judge(session, lacks)

    def _is_little(self, session: Session) -> bool:
        """Whether what is left of a run is so little that its lines may wait for its files: a post less."""
        if self.others.before or self.others.after:
            return False  # whose console text is a file of any size
        if session.artifacts or self._queue is not None:
            return False  # what may take hours
        sources = (session.main, *session.sides.values())
        if sum(len(source.files) for source in sources) > LITTLE_FILES:
            return False
        on_disk, _ = self._files_on_disk(session, final=True)
        return session.waiting_bytes + _n_bytes(on_disk) <= LITTLE_BYTES

    def _judge(self, session: Session, lacks: List[str]) -> Outcome:
        """Say what became of a run that has ended; write the receipt if nothing is missing."""
        if lacks:
            return self._outcome(session, Status.INCOMPLETE, "; ".join(lacks), exit_code=3)
        if not self.options.wishes.console:
            return self._outcome(session, Status.UPLOADED, "without its console output: --skip-console")
        notes = (
            [f"{session.n_late} rows whose step goes back were left out"] if self._n_left_out(session) else []
        )
        if session.n_late and session.sides and self.options.wishes.step_policy == "rewind":
            kept = "were kept: of several processes, nothing is taken back"
            notes.append(f"{session.n_late} rows whose step goes back {kept}")
        if session.exit_code is None and not self.others.after:
            notes.insert(0, "the process was killed: there is no exit record")
            return self._outcome(session, Status.UPLOADED, "; ".join(notes))
        if not self.options.dry_run:
            self._write_receipt(session)
        return self._outcome(session, Status.SYNCED, "; ".join(notes))

    def _n_left_out(self, session: Session) -> int:
        return session.n_late if self.options.wishes.step_policy == "drop" else 0

    def _lacks(self, session: Session) -> List[str]:
        """Return what is missing on the server, in words."""
        lacks: List[str] = []
        if self._lost:
            n_bytes = sum(lost[1] for lost in self._lost)
            lacks.append(f"{n_bytes} bytes of the log are damaged, in {len(self._lost)} places")
        if session.n_unreadable:
            lacks.append(f"{session.n_unreadable} records could not be understood")
        if session.n_dropped:
            lacks.append(f"{session.n_dropped} lines were longer than the server takes")
        for name, count in session.not_uploaded.items():
            lacks.append(f"{count} {name} cannot be uploaded yet")
        for path, reason in sorted(self._missing.items())[:3]:
            lacks.append(f"file {path}: {reason}")
        if len(self._missing) > 3:
            lacks.append(f"and {len(self._missing) - 3} more files")
        for failed in list(self._failed_artifacts.values())[:3]:
            lacks.append(f"artifact {failed['name']}: {failed['reason']}")
        if len(self._failed_artifacts) > 3:
            lacks.append(f"and {len(self._failed_artifacts) - 3} more artifacts")
        if session.n_lost:
            lacks.append(
                f"{session.n_lost} records were given up when they were recorded: the disk was full or gone, "
                "or the quota used up"
            )
        n_beside = self._n_left_beside(session)
        if n_beside:
            lacks.append(
                f"{n_beside} records of side logs came after the run had gone on in another segment; "
                "--include-synced uploads the segments once more, all of them in order"
            )
        n_behind = self._n_overtaken()
        if n_behind:
            lacks.append(
                f"{n_behind} records were written after another process had begun to go on with the run; "
                "--id uploads this log as a run of its own"
            )
        return lacks

    def _n_left_beside(self, session: Session) -> int:
        """Count the records of side logs that came too late: this segment has no place for them."""
        if not self._is_closed_to_sides:
            return 0
        n_records = 0
        for side in self._find_sides().values():
            offset = session.sides[side.id].offset if side.id in session.sides else 0
            with Reader(side.path, offset) as reader:
                n_records += sum(isinstance(event, Record) for event in reader.events())
        return n_records

    def _n_overtaken(self) -> int:
        """Count the records from after the segment that follows had begun: two wrote one run at once."""
        if not self.others.read_until:
            return 0
        with Reader(self.log.path, self.others.read_until) as reader:
            return sum(isinstance(event, Record) for event in reader.events())

    def _later_exit_code(self) -> Optional[int]:
        """Return how the run has ended, if its last segment was uploaded before this one."""
        entry = self._checkpoint_of(self.others.after[-1]) if self.others.after else None
        if entry is None or not entry.is_complete:
            return None
        code = entry.session["exit_code"]
        return EXIT_CODE_OF_KILLED if code is None else int(code)

    def _checkpoint_of(self, log: Log) -> Optional[Checkpoint]:
        """Return what is known of another segment's upload."""
        with contextlib.suppress(LogError, CheckpointMismatch, CheckpointUnreadable):
            shared = sidecars(log, self.options.state_dir).checkpoint
            return CheckpointFile(shared, self._destination).load(log.path)
        return None

    # ---- files

    @contextlib.contextmanager
    def _turn_for_files(self, session: Session, *, final: bool) -> Iterator[bool]:
        """Yield whether files may be uploaded now: large ones take long, and leave room for other runs."""
        turns = self._large_files
        if turns is None or _n_bytes(self._files_on_disk(session, final=final)[0]) < LARGE_FILES_BYTES:
            yield True
            return
        is_our_turn = turns.acquire(blocking=False)
        try:
            yield is_our_turn
        finally:
            if is_our_turn:
                turns.release()

    def _files_on_disk(
        self, session: Session, *, final: bool
    ) -> Tuple[List[files.Source], List[files.Missing]]:
        """Return the files that are to be uploaded and have not arrived, and those that cannot be."""
        sources: List[files.Source] = []
        missing: List[files.Missing] = []
        for source in (*session.sides.values(), session.main):
            wanted = [
                path
                for path, policy in source.files.items()
                if final or policy in (FilesItem.NOW, FilesItem.LIVE)
            ]
            log = self._sides[source.id].path if source.id in self._sides else self.log.path
            present, absent = files.from_disk(log.parent / "files", wanted, self._bundle_of(log))
            sources, missing = sources + files.changed(present, self._uploaded), missing + absent
        return sources, missing

    def _upload_files(self, session: Session, *, final: bool) -> None:
        sources, missing = self._files_on_disk(session, final=final)
        assert self._transcript is not None
        with contextlib.ExitStack() as stack:
            if final:
                self._missing = {}
            if final and not self.others.after:
                sources += files.from_session(session)
            if final and (not self.others.after or self._later_exit_code() is not None):
                before, after = self.others.before, self.others.after
                text = output_log(before, self.log, self._transcript, session.console.live_lines(), after)
                sources += stack.enter_context(text)
            sources = files.changed(list(files.by_path(sources).values()), self._uploaded)
            self._missing.update({file.path: file.reason for file in missing} if final else {})
            if not sources:
                return
            self._open(session)
            assert session.bucket is not None
            self._files_saved_s = time.monotonic()
            try:
                refused = files.upload(self._transport, session.bucket, sources, self._file_arrived)
            except BaseException:
                self._save_files()
                raise
        self._missing.update({file.path: file.reason for file in refused})

    def _bundle_of(self, log: Path) -> Bundle:
        """Return where the files of a log are that do not lie by themselves."""
        path = bundle_path(log)
        return self._bundles.setdefault(path, Bundle(path))

    def _file_arrived(self, source: files.Source) -> None:
        self._uploaded[source.path] = source.stamp
        self._unreported.append(source.path)
        if time.monotonic() - self._files_saved_s > SAVE_FILES_EVERY_S:
            self._save_files()
        if not self.options.dry_run:
            self._emit("file_uploaded", {"log": self.log.shown, "path": source.path})

    # ---- artifacts

    def _upload_artifacts(self, session: Session) -> None:
        """Begin with what was noted since, and take in what has arrived; the rest goes on meanwhile."""
        if self.options.dry_run or not session.artifacts:
            return
        self._open(session)
        if self._queue is None:
            self._queue = ArtifactQueue(self._artifact_upload)
        self._queue.add(session.artifacts)
        self._take_in(session, self._queue.results())

    def _upload_all_artifacts(self, session: Session) -> None:
        """Upload those that are left, and wait for them; meanwhile the server hears that the run goes on."""
        self._upload_artifacts(session)
        while self._queue is not None and self._queue.n_open:
            self._check_lease()
            self._take_in(session, self._queue.results(wait_s=ARTIFACT_WAIT_S))
            if self._stop.is_set():
                raise Interrupted(f"{self.log.shown}: {self._queue.n_open} artifacts are left")
            if time.monotonic() - self._spoke_s >= HEARTBEAT_S:
                self._drive(session.keep_alive())
                self._progress(session)

    def _artifact_upload(self, noted: Noted, is_coming: Callable[[str], bool]) -> ArtifactUpload:
        """Prepare the upload of one artifact; called in the queue's threads."""
        assert self._session is not None and self._session.bucket is not None
        log = self._sides[noted.side].path if noted.side else self.log.path
        assert self._queue is not None
        return ArtifactUpload(
            Stoppable(self._transport, self._queue.closed),
            self._session.bucket,
            noted,
            log,
            ask_first=self._was_begun,
            is_coming=is_coming,
        )

    def _take_in(self, session: Session, results: Iterator[Result]) -> None:
        """Keep what has become of artifacts.

        Raises:
            Error: One did not arrive for a reason that may pass; what has is kept.
        """
        trouble: Optional[Error] = None
        for noted, version, error in results:
            told: Dict[str, Any] = {"log": self.log.shown, "name": noted.name, "client_id": noted.client_id}
            if version is not None:
                answer = {"id": version.id, "version": version.version, "digest": version.digest}
                self._artifacts[noted.key] = {"name": noted.name, **answer}
                self._failed_artifacts.pop(noted.key, None)
                session.artifacts.remove(noted)
                self._emit("artifact_uploaded", {**told, **answer})
            elif error is not None and is_final(error):
                self._failed_artifacts[noted.key] = {"name": noted.name, "reason": error.message}
                self._emit("artifact_failed", {**told, "reason": error.message})
            else:
                trouble = error
                continue
            self._save_files()
        if trouble is not None:
            raise trouble

    def _keep_failure(self) -> None:
        """Put the run on the list of what is not tried again unless somebody asks for it; see refusal.py."""
        if self.options.dry_run:
            return
        first = next(iter(self._failed_artifacts.values()))
        key = self._destination_of(self.options.target).key
        n_tries = self._refused.n_tries + 1 if self._refused is not None else 1
        reason = f"artifact {first['name']}: {first['reason']}"
        goes_on_as = self._refused.goes_on_as if self._refused is not None else ""
        self._refused = refusal.Refusal(key, reason, 200, n_tries, self._now_s(), False, goes_on_as)
        with contextlib.suppress(SyncError):
            refusal.write(self._refusal_path, self._refused)

    def _is_worth_another_try(self, entry: Checkpoint) -> bool:
        """Whether there are artifacts that could not be uploaded, and somebody asks for them."""
        return bool(entry.failed_artifacts) and (self.options.failed or self.log.is_named)

    # ---- what is kept

    def _save(
        self,
        session: Session,
        *,
        is_complete: bool,
        state: Optional[Dict[str, Any]] = None,
        lacks: Sequence[str] = (),
    ) -> None:
        if self.options.dry_run:
            return
        assert self._checkpoints is not None
        self._check_lease()
        for side in self._sides.values():
            self._identities[side.id] = self._identified(side, session.side(side.id).offset)
        self._kept = Checkpoint(
            identity=identify(self.log.path, session.offset),
            session=state or json.loads(json.dumps(session.state())),
            files=self._uploaded,
            unreported=self._unreported,
            missing=self._missing,
            lost=self._lost[:MAX_LOST_KEPT],
            lacks=list(lacks),
            is_complete=is_complete,
            sides=self._identities,
            artifacts=self._artifacts,
            failed_artifacts=self._failed_artifacts,
        )
        self._checkpoints.save(self._kept)

    def _identified(self, side: Side, offset: int) -> Dict[str, Any]:
        known = self._identities.get(side.id)
        return known if known and known["offset"] == offset else identify(side.path, offset)._asdict()

    def _save_files(self) -> None:
        """Keep which files and artifacts have arrived, beside the last state of the session.

        Rows may wait to be sent.
        """
        self._files_saved_s = time.monotonic()
        if self.options.dry_run or not (self._uploaded or self._artifacts or self._failed_artifacts):
            return
        assert self._checkpoints is not None
        nothing = Checkpoint(identify(self.log.path, 0), {}, {}, [], {}, [], [], False)
        self._kept = (self._kept or nothing)._replace(
            files=self._uploaded,
            unreported=self._unreported,
            artifacts=self._artifacts,
            failed_artifacts=self._failed_artifacts,
        )
        self._checkpoints.save(self._kept)

    def _write_receipt(self, session: Session) -> None:
        log = {"name": self.log.path.name, "offset": session.offset, **checksum(self.log.path)}
        sides = {
            side.path.name: {"offset": session.side(side.id).offset, **checksum(side.path)}
            for side in self._sides.values()
        }
        receipt = {
            "url": self._url(session),
            "log": log,
            "sides": sides,
            "n_lines": session.n_lines,
            "files": self._uploaded,
            "artifacts": list(self._artifacts.values()),
            "exit_code": session.exit_code,
            "synced_at": self._now_s(),
        }
        with self._shared_files():
            receipts = {**read_receipts(self._cars.receipt), self._destination.key: receipt}
            write_receipts(self._cars.receipt, receipts)
            if self.options.mark and all(key in receipts for key in self.options.all_destinations):
                self._cars.synced.touch()

    @contextlib.contextmanager
    def _shared_files(self) -> Iterator[None]:
        """Keep the files that all destinations share to ourselves, for a moment."""
        until_s = time.monotonic() + SHARED_FILES_S
        while True:
            try:
                with Lease(self._cars.lease):
                    yield
                return
            except LeaseHeld:
                if time.monotonic() > until_s:
                    raise
            self._stop.wait(0.05)

    def _keep_syncstate(self, session: Session) -> None:
        """Write where the run went on, as wandb does and reads it."""
        if session.place.notes and not self.options.dry_run:
            state = {
                "starting_step": session.starting_step,
                "starting_runtime": int(session.runtime_s * 1000),
            }
            replace_file(self._cars.syncstate, json.dumps(state).encode())

    # ---- small parts

    def _drive(self, steps: Steps) -> None:
        response = None
        try:
            while True:
                request = steps.send(response)  # type: ignore[arg-type]  # None starts it
                response = self._transport.send(request)
                self._spoke_s = time.monotonic()
                if request.operation == protocol.FILE_STREAM:
                    self._batch.took(request.n_bytes, response.took_s)
        except StopIteration:
            pass

    def _check_lease(self) -> None:
        if any(lease.is_lost for lease in self._held):
            raise LeaseHeld(f"{self.log.shown}: another syncer has taken the run over")

    def _note_loss(self, session: Session, lost: Lost, side: str) -> None:
        session.skip(lost.end, side)
        self._lost.append([lost.offset, lost.n_bytes, lost.reason])
        shown = str(self._sides[side].path) if side else self.log.shown
        self._emit(
            "log_damaged",
            {"log": shown, "offset": lost.offset, "n_bytes": lost.n_bytes, "reason": lost.reason},
        )

    def _progress(self, session: Session) -> None:
        n_bytes = size(self.log.path)
        self._emit("progress", {"log": self.log.shown, "offset": session.offset, "n_bytes": n_bytes})

    def _url(self, session: Session) -> str:
        bucket = session.bucket
        if bucket is None:
            return ""
        app_url = self._base_url.replace("https://api.wandb.ai", "https://wandb.ai")
        return f"{app_url}/{bucket.entity}/{bucket.project}/runs/{bucket.name}"

    def _outcome(self, session: Session, status: Status, reason: str = "", exit_code: int = 0) -> Outcome:
        counts = {
            "rows": session.n_rows,
            "files": len(self._uploaded),
            "console_lines": session.console.n_lines,
        }
        if self._artifacts:
            counts["artifacts"] = len(self._artifacts)
        if self.options.dry_run:
            counts["rows"] -= self._n_rows_before
            return Outcome(self.log, Status.PLANNED, reason, exit_code, counts=counts)
        if status is Status.RUNNING:
            exit_code = 3
        return Outcome(self.log, status, reason, exit_code, self._url(session), counts)


def _has_unnoted_artifacts(entry: Checkpoint) -> bool:
    """Whether it was written by a version that passed artifacts over."""
    passed_over = entry.session.get("not_uploaded", {})
    return "artifacts" in passed_over or "used artifacts" in passed_over


def _n_bytes(sources: Sequence[files.Source]) -> int:
    return sum(len(s.body) if isinstance(s.body, bytes) else s.body.n_bytes for s in sources)


def _starting_step(syncstate: Path) -> Optional[int]:
    try:
        return int(json.loads(syncstate.read_bytes())["starting_step"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
