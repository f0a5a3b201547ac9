"""The upload of one run as a conversation without I/O: records in, requests out, a safe offset out.

    session = Session(Target(), Wishes())
    session.add(payload, end)         # any number of records; True: time for `locate`, or `open` and `flush`
    session.add(payload, end, side)   # those of a side log, by its id, in between
    drive(session.locate())           # only if `wants_position`: where a resumed run goes on
    drive(session.open())             # the run exists on the server from here on
    drive(session.flush())            # what was added is on the server; `state()` may be kept
    session.end(exit_code)            # the log has no more
    drive(session.finish(uploaded))   # the run is complete

`locate`, `open`, `flush` and `finish` are generators of requests; whoever drives them sends each one and
gives the answer back in.  If that fails in the middle, the session is of no more use: go on from the last
state that was kept.

Rule 1: no I/O, no clock, no thread, no randomness: the same records and answers give the same requests.
Rule 2: what a state says is true of the server: it is taken only when everything sent was acknowledged.
Rule 3: a restored session behaves as the one that was kept; it needs the log only from `offset` on.
Rule 4: every request may be sent again (transport rule 2); so a kill costs at most one batch sent twice.
Rule 5: offsets on the server are ours.  Our own logs say where their lines begin; the server is asked once,
        at the first contact with a run that goes on, whether somebody else has gone on with it (decision
        0034), and when it drops rows for us.
Rule 6: what is said of the run as a whole, its summary, config and end, is said by its last segment only.
Rule 7: a side log's records count as if the main log had them, in the order in which they are added, but for
        what the main log alone says: which run it is, and how it ended.

To add a kind of record: a method `_<field name>`; see CONTRIBUTING.md.
"""

from __future__ import annotations

import base64
from typing import Any, Dict, Generator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from google.protobuf.message import DecodeError

from wandb.errors import SyncError
from wandb.proto import record_pb2 as pb
import wandb_sync.protocol as protocol
from wandb_sync.batching import BATCH_BYTES, CONSOLE, EVENTS, HISTORY, MAX_LINE_BYTES, Batch
from wandb_sync.console import Console
from wandb_sync.json_tree import dumps, merge, put, row_tree, text_of
from wandb_sync.metrics import Metrics
from wandb_sync.noted import Noted
from wandb_sync.rows import Cut, Cutter
from wandb_sync.run_config import RunConfig
from wandb_sync.source import Source
from wandb_sync.summary import Summary
from wandb_sync.transport.base import Request, Response

STATE_VERSION = 1
OUR_PRODUCER = "wandb-ng"  # how HeaderRecord.version_info.producer begins in our own logs

Steps = Generator[Request, Response, None]

# Keys of RunConfig.notes, beside the streams: the step; when the first of the segments began that it is
# about; and how many rows these had when it was made: it holds from there on.
_STARTING_STEP, _SINCE_US, _FROM = "starting_step", "since_us", "from"
NS_PER_S = 1_000_000_000
# Kinds without a meaning of their own; what stands in TensorBoard's directories is in the log as rows.
_IGNORED = frozenset(("output", "final", "noop_link_artifact", "tbrecord"))


class Target(NamedTuple):
    """Where the run goes; what is empty is as the log says, or as the server decides."""

    entity: str = ""
    project: str = ""
    run_id: str = ""


class Wishes(NamedTuple):
    """What the user wants otherwise than the log says.

    Attributes:
        replace_tags: Old tag -> new tag.
        console: Whether console output is uploaded.
        step_policy: What becomes of late rows: "drop" (as wandb does), "keep" (they are uploaded with the
            step they have), "rewind" (the server drops what it has from that step on).
    """

    name: str = ""
    group: str = ""
    job_type: str = ""
    tags: Tuple[str, ...] = ()
    replace_tags: Mapping[str, str] = {}
    console: bool = True
    step_policy: str = "drop"


class Place(NamedTuple):
    """Where an earlier segment of the run stands on the server, and the notes that are kept there."""

    notes: Sequence[Mapping[str, int]]
    starting_step: int
    begin: Mapping[str, int]  # lines per stream
    end: Mapping[str, int]


class Session:
    """See the module.

    Attributes:
        main: The main log.
        sides: The side logs that anything was added of, by their ids.
        run: The run's parameters; None until the log has said them.
        bucket: What the server calls the run; None before `open`.
        wants_position: Whether `locate` is to be driven before anything else.
        wants_console_form: Whether `structured_console` should be known for the next `flush`.
        structured_console: Whether the server takes console lines as JSON; None: nobody has asked it yet.
        starting_step: Added to the step of every row.
        n_rows, n_records, n_unreadable: Counted since the log's begin.
        artifacts: Where the records of artifacts are; those that have been uploaded are to be taken out.
        not_uploaded: What cannot be uploaded -> how often.
        batch_bytes: Of lines per post, about; may change at any time.
        is_last: Whether no later segment of the run is known; may change until `finish`.
        n_late: Rows whose step went back.
        n_lost: Records that the recorder had to give up, by its own count.
        is_asked_to_stop: Whether the server has said, in an answer, that somebody wants the run to stop.
    """

    def __init__(
        self,
        target: Target,
        wishes: Wishes = Wishes(),
        *,
        starting_step: Optional[int] = None,
        batch_bytes: int = BATCH_BYTES,
        previous: Optional[Place] = None,
    ) -> None:
        """Begin at the begin of a log.

        Args:
            batch_bytes: Of lines per post, about.
            starting_step: For a resumed run, if somebody has asked the server for it before.
            previous: Of the segment before this one, if that is known.
        """
        self.target = target
        self.wishes = wishes
        self.is_last = True
        self._previous = previous
        self._is_behind_previous = False
        self.main = Source("")
        self.sides: Dict[str, Source] = {}
        self._source = self.main  # of the record in hand
        self.run: Optional[pb.RunRecord] = None
        self.bucket: Optional[protocol.Bucket] = None
        self.wants_position = False
        self.structured_console: Optional[bool] = None
        self.starting_step = starting_step or 0
        self.n_rows = 0
        self.n_records = 0
        self.n_unreadable = 0
        self.artifacts: List[Noted] = []
        self.not_uploaded: Dict[str, int] = {}
        self.n_late = 0
        self.n_lost = 0
        self.is_asked_to_stop = False
        self.config = RunConfig()
        self.metrics = Metrics()
        self.console = Console()
        self._summary_tree = Summary()  # without the rows that wait in _unfolded
        self._unfolded: Optional[Cut] = None
        self._cutter = Cutter()
        self.batch_bytes = batch_bytes
        self._known_starting_step = starting_step
        self._earlier_runtime_s = 0.0
        self._is_new = False  # on the server, as far as we have asked
        self._noted: Optional[str] = None  # the server's config, and where we begin
        self._resumed_id = ""  # what the server calls the run that this log goes on with
        self._is_ours = False
        self._begin: Dict[str, int] = {HISTORY: 0, EVENTS: 0, CONSOLE: 0}
        self._offsets = dict(self._begin)
        self._rewind_to: Optional[Dict[str, Any]] = None  # a row that waits for the server to drop others
        self._batch = Batch()
        self._alerts: List[pb.AlertRecord] = []
        self._final_exit_code: Optional[int] = None
        self._config_memo = (-1, "")  # how many records were added when the config was last put into text
        self._sent_config = ""
        self._sent_summary = ""
        self._run_changed = False
        self._console_bytes = 0

    # ---- records in

    @property
    def offset(self) -> int:
        """Where the last record of the main log that was added ends, in bytes."""
        return self.main.offset

    @property
    def exit_code(self) -> Optional[int]:
        """Of the process of the main log; None until an exit record was added."""
        return self.main.exit_code

    def add(self, payload: bytes, end: int, side: str = "") -> bool:
        """Take one record; `end` is its end in the log.  What cannot be read is counted and passed over.

        Args:
            side: The id of the side log it is from; "" for the main log.

        Returns:
            Whether something is to be done before more is added: `locate`, or a `flush` of what waits.
        """
        self._source = source = self.side(side) if side else self.main
        if not self._add_row_of_known_layout(payload):
            self._add_any(payload)
        self.n_records += 1
        source.offset = end
        is_full = self._batch.n_bytes + self._console_bytes >= self.batch_bytes
        return self.wants_position or is_full or self._rewind_to is not None

    def side(self, id: str) -> Source:
        """Return what is kept of a side log."""
        if id not in self.sides:
            self.sides[id] = Source(id)
        return self.sides[id]

    def _add_row_of_known_layout(self, payload: bytes) -> bool:
        if self.starting_step:
            return False
        cut = self._cutter.cut(payload)
        if cut is None or len(cut.line) > MAX_LINE_BYTES:
            return False
        batch = self._batch
        batch.history.append(cut.line)
        batch.n_bytes += len(cut.line)
        self.n_rows += 1
        self._source.pending_row = {}
        if self._is_ours and (self.metrics.shape_summary or self.sides):
            self._fold(cut.row)
        else:
            if self._unfolded is not None and self._unfolded.layout is not cut.layout:
                self._fold_rows()
            self._unfolded = cut
        return True

    def _fold_rows(self) -> None:
        """Take into the summary the last of the rows that were added since; each replaces the one before."""
        if self._unfolded is not None:
            row = self._unfolded.row
            self._unfolded = None
            self._fold(row)

    def _fold(self, row: Dict[str, Any]) -> None:
        tree = self._summary_tree.tree
        step = tree.get("_step")
        if self._is_ours:
            self._summary_tree.fold(row, self.metrics)
        else:
            tree["_step"] = row["_step"]
        if self.sides and _integer(step) > _integer(row["_step"]):
            tree["_step"] = step  # each process has steps of its own

    def _add_any(self, payload: bytes) -> None:
        try:
            record = pb.Record.FromString(payload)
            kind = record.WhichOneof("record_type")
            if kind == "history":
                self._history(record.history)
            elif kind is None:
                self.n_unreadable += 1
            elif kind not in _IGNORED:
                getattr(self, "_" + kind)(getattr(record, kind))
        except (DecodeError, ValueError, TypeError, OverflowError):
            # A value that nobody has thought of: it costs its record, not the run.
            self.n_unreadable += 1

    def skip(self, end: int, side: str = "") -> None:
        """Pass over a damaged piece of a log that ends at `end`."""
        (self.side(side) if side else self.main).offset = end

    @property
    def is_waiting(self) -> bool:
        """Whether anything waits to be sent."""
        return bool(
            self._batch.history
            or self._batch.events
            or self._batch.preempting
            or self.console.changed
            or self._alerts
            or self._run_changed
            or (self.run is not None and self.summary.text() != self._sent_summary)
            or (self.run is not None and self._config_text() != self._sent_config)
        )

    @property
    def waiting_bytes(self) -> int:
        """How many bytes of lines wait to be sent, about."""
        return self._batch.n_bytes + self._console_bytes

    @property
    def summary(self) -> Summary:
        """The summary of everything that was added."""
        self._fold_rows()
        return self._summary_tree

    @property
    def wants_console_form(self) -> bool:
        return bool(self.console.changed) and self.structured_console is None

    @property
    def n_lines(self) -> Dict[str, int]:
        """Where the server's streams end, by our count, once everything was acknowledged."""
        return {**self._offsets, CONSOLE: self._offsets[CONSOLE] + self.console.n_lines}

    @property
    def runtime_s(self) -> float:
        """How long the earlier parts of a resumed run ran, as the server knows it."""
        return self._earlier_runtime_s

    @property
    def place(self) -> Place:
        """Where this segment stands on the server, once everything was acknowledged."""
        return Place(self.config.notes, self.starting_step, self._begin, self.n_lines)

    @property
    def knows_its_place(self) -> bool:
        """Whether the log says where its lines begin, unless somebody else has gone on with the run."""
        run = self.run
        if run is None or run.resume or run.HasField("branch_point"):
            return False
        return not (run.segment.on_server or run.segment.behind_previous)

    @property
    def n_dropped(self) -> int:
        """Lines that were too long for the server."""
        return self._batch.n_dropped

    def _header(self, record: pb.HeaderRecord) -> None:
        if self._source is self.main:
            self._is_ours = record.version_info.producer.startswith(OUR_PRODUCER)

    def _run(self, record: pb.RunRecord) -> None:
        self.config.apply(record.config)
        self.config.telemetry.MergeFrom(record.telemetry)
        self.summary.apply(record.summary)
        if self._source is not self.main:
            self._run_of_side(record)
            return
        kept = pb.RunRecord()
        kept.CopyFrom(record)
        for field in ("config", "summary", "telemetry", "settings", "_info"):
            kept.ClearField(field)
        self._run_changed = self.run is not None
        if self.run is None and kept.HasField("segment"):
            self._follow(kept.segment)
        elif self.run is None and kept.branch_point.run not in ("", kept.run_id):
            self._fork(kept.branch_point)
        elif self.run is None:
            self.wants_position = kept.resume or kept.branch_point.run == kept.run_id != ""
        self.main.run = self.main.run or kept
        self.run = kept

    def _run_of_side(self, record: pb.RunRecord) -> None:
        """Take what another process says of the run: at first nothing, later what it has renamed."""
        if self._source.run is None:
            self._source.run = record
        elif self.run is not None:
            for field in ("display_name", "notes"):
                setattr(self.run, field, getattr(record, field))
            del self.run.tags[:]
            self.run.tags.extend(record.tags)
            self._run_changed = True

    def _follow(self, segment: pb.SegmentInfo) -> None:
        """Let the lines begin where those of the earlier segments end."""
        begin = segment.begin
        lines = {HISTORY: begin.history, EVENTS: begin.events, CONSOLE: begin.console}
        if self.wishes.step_policy == "keep":
            lines[HISTORY] += begin.late_history
        has_gone_back = self.wishes.step_policy == "rewind" and begin.late_history
        if segment.behind_previous or has_gone_back:
            if self._previous is None:
                raise SyncError(
                    f"how far the run has gone back is known once {segment.previous} is synced",
                    hint="sync that one first, or both together",
                )
            self.config.notes = [dict(note) for note in self._previous.notes]
            self.starting_step = self._previous.starting_step
            lines = dict(self._previous.end)
            self._is_behind_previous = True
        self.wants_position = True  # somebody may have gone on with the run elsewhere
        self._begin, self._offsets = lines, dict(lines)

    def _fork(self, origin: pb.BranchPoint) -> None:
        """Let the config say which run this one begins as a copy of, as wandb does."""
        ours = self.config.values.setdefault("_wandb", {})
        ours["branch_point"] = {"run_id": origin.run, "step": int(origin.value)}

    def _history(self, record: pb.HistoryRecord) -> None:
        row = row_tree(record.item)
        self._source.pending_row = {}
        self._cutter.learn(row)
        if self.starting_step or "_step" not in row:
            self._set_step(row, record.step.num)
        self._add_row(row)

    def _set_step(self, row: Dict[str, Any], step: int) -> None:
        step = step or _integer(row.get("_step"))
        row["_step"] = str(step + self.starting_step)

    def _add_row(self, row: Dict[str, Any]) -> None:
        self.n_rows += self._batch.add_history(text_of(row))
        self._fold_rows()
        self._fold(row)

    def _footer(self, record: pb.FooterRecord) -> None:
        """A part of a row that waits for its end; the whole comes as history, unless the log ends before."""
        if record.HasField("pending"):
            self._source.pending_step = record.pending.step.num
            merge(self._source.pending_row, row_tree(record.pending.item))
        if record.HasField("late"):
            self._late(record.late)
        if record.HasField("lost"):
            lost = record.lost
            self.n_lost += lost.history + lost.console + lost.stats + lost.other
        if record.HasField("state") and not self.n_rows and self._source is self.main:
            self.summary.go_on_from(record.state)

    def _late(self, record: pb.HistoryRecord) -> None:
        """A row whose step went back: what becomes of it is the user's wish."""
        self.n_late += 1
        policy = self.wishes.step_policy
        if policy == "drop":
            return
        row = row_tree(record.item)
        if self.starting_step or "_step" not in row:
            self._set_step(row, record.step.num)
        if policy == "keep" or self.sides:  # to go back would take the rows of other processes along
            self.n_rows += self._batch.add_history(text_of(row))
        elif _integer(row["_step"]) > _integer(self.summary.tree.get("_step")):
            self._add_row(row)  # behind the one that the server has gone back to
        else:
            self._rewind_to = row

    def _summary(self, record: pb.SummaryRecord) -> None:
        step = self.summary.tree.get("_step")
        if record.whole and self.sides:  # other processes may have said something since
            known = self.summary.tree
            said = [item for item in record.update if (item.nested_key or [item.key])[0] not in known]
            record = pb.SummaryRecord(update=said)
        self.summary.apply(record)
        if not self._is_ours:
            # The real client writes a row's summary before the row: of a run that was killed in between, the
            # row did not happen.  Its own sync takes `_step` from the rows only, too.
            if step is None:
                self.summary.tree.pop("_step", None)
            else:
                self.summary.tree["_step"] = step
        elif self.starting_step:
            for item in record.update:
                if item.key == "_step" or tuple(item.nested_key) == ("_step",):
                    step = _integer(self.summary.tree.get("_step")) + self.starting_step
                    self.summary.tree["_step"] = str(step)

    def _config(self, record: pb.ConfigRecord) -> None:
        self.config.apply(record)

    def _files(self, record: pb.FilesRecord) -> None:
        for file in record.files:
            self._source.files[file.path] = file.policy

    def _stats(self, record: pb.StatsRecord) -> None:
        at_ns = _nanoseconds(record.timestamp)
        row: Dict[str, Any] = {"_wandb": "true", "_timestamp": dumps(_seconds(at_ns))}
        run = self._source.run or self.run
        if run is not None:
            row["_runtime"] = dumps(_seconds(at_ns - _nanoseconds(run.start_time)) + run.runtime)
        for item in record.item:
            put(row, ("system." + item.key,), item.value_json)
        self._batch.add_event(text_of(row))

    def _output_raw(self, record: pb.OutputRawRecord) -> None:
        source = self._source
        source.last_at_us = _nanoseconds(record.timestamp) // 1000
        if self.wishes.console:
            self.console.write(record.output_type, record.line, source.last_at_us, source.id, source.label)
            self._console_bytes += len(record.line)

    def _output_logger(self, record: pb.OutputLoggerRecord) -> None:
        if self.wishes.console:
            at_us = self._source.last_at_us
            if not at_us and self.run is not None:
                at_us = _nanoseconds(self.run.start_time) // 1000
            self.console.write_line(record.line, at_us, self._source.label)
            self._console_bytes += len(record.line)

    def _metric(self, record: pb.MetricRecord) -> None:
        self._fold_rows()  # those before the definition do not follow it
        self.metrics.add(record)
        self.summary.redefine(record)

    def _artifact(self, record: pb.ArtifactRecord) -> None:
        self._note_artifact(record.name, record.client_id, record.sequence_client_id)

    def _use_artifact(self, record: pb.UseArtifactRecord) -> None:
        self._note_artifact(record.name)

    def _note_artifact(self, name: str, *client_ids: str) -> None:
        # As the real client tells when it is online: at which step of the run an artifact was logged; nothing
        # before there is a row.
        step = _integer(self.summary.tree.get("_step")) + 1 if self.n_rows else -1
        self.artifacts.append(
            Noted(self._source.id, self._source.offset, step, name, *(client_ids or ("", "")))
        )

    def _telemetry(self, record: pb.TelemetryRecord) -> None:
        self.config.telemetry.MergeFrom(record)

    def _environment(self, record: pb.EnvironmentRecord) -> None:
        if self._source is self.main:
            self.config.environment.MergeFrom(record)

    def _alert(self, record: pb.AlertRecord) -> None:
        self._alerts.append(record)

    def _preempting(self, record: pb.RunPreemptingRecord) -> None:
        self._batch.preempting = True

    def _exit(self, record: pb.RunExitRecord) -> None:
        if not record.not_complete:
            self._source.exit_code = record.exit_code

    # ---- requests out, answers in

    def open(self) -> Steps:
        """Make the run on the server, or find it there.

        Raises:
            SyncError: The log has not said which run it is.
        """
        response = yield self._upsert_all(self._known_run(), self._resumed_id)
        self._opened(protocol.read_bucket(response))

    def locate(self) -> Steps:
        """Ask the server where a run goes on that only it knows: step, lines, config, summary.

        Raises:
            SyncError: The server has rows that are younger than the log, and nobody knows where they began.
        """
        self.wants_position = False
        run = self._known_run()
        entity = self.target.entity or run.entity
        project = self.target.project or run.project
        where = (entity, project, self.target.run_id or run.run_id)
        if run.HasField("branch_point") and not run.HasField("segment"):
            response = yield protocol.rewind_run(*where, run.branch_point.value)
            self._begin = _lines_of(rewound := protocol.read_rewound(response))
            self._offsets = dict(self._begin)
            self._take_over(rewound)
            return
        response = yield protocol.run_resume_status(*where)
        status = protocol.read_resume_status(response)
        self._is_new = status is None
        first = run.segment.first_start_time if run.HasField("segment") else run.start_time
        since_us = _nanoseconds(first) // 1000
        notes = RunConfig.notes_on_server(status.config) if status is not None else []
        begin = self._noted_begin(status, notes, since_us)
        if status is not None and notes != RunConfig.notes_on_server(status.config):
            self._noted = RunConfig.with_notes(status.config, notes)
        self.config.notes = notes
        self.starting_step = begin[_STARTING_STEP]
        self._begin = {name: n + begin[name] for name, n in self._begin.items()}
        self._offsets = dict(self._begin)
        if status is not None and any(begin[name] for name in self._begin):  # else all that it has is ours
            self._take_over(status)

    def _noted_begin(
        self, status: Optional[protocol.ResumeStatus], notes: List[Dict[str, int]], since_us: int
    ) -> Dict[str, int]:
        """Return what is to be added to the steps and lines of this log; what is new is added to `notes`.

        Args:
            status: What the server has of the run; None: nothing.
            notes: Those of the server, in the order in which they were made.  Each says where the next line
                of somebody's segments had its place then.
            since_us: When the first of this log's segments began; tells their notes from others'.
        """
        run = self._known_run()
        is_behind = self._is_behind_previous  # then its lines are the server's, and so are its steps
        begin = {_STARTING_STEP: self.starting_step if is_behind else 0, HISTORY: 0, EVENTS: 0, CONSOLE: 0}
        n_before = run.segment.begin.history
        n_before += run.segment.begin.late_history if self.wishes.step_policy == "keep" else 0
        numbers = [
            number
            for number, note in enumerate(notes)
            if note.get(_SINCE_US) == since_us and note.get(_FROM, 0) <= n_before
        ]
        number = max(numbers, key=lambda number: (notes[number].get(_FROM, 0), number), default=-1)
        if not numbers and (run.resume or run.segment.on_server) and not is_behind:
            begin.update(self._begin_behind(status, notes, since_us) if status is not None else {})
            notes.append({**begin, _SINCE_US: since_us})
            return begin
        if numbers and not is_behind:
            begin.update({name: notes[number].get(name, 0) for name in begin})
        line = self._begin[HISTORY] + begin[HISTORY]
        if status is not None and any(
            note.get(_SINCE_US) != since_us and note.get(HISTORY, 0) + note.get(_FROM, 0) <= line
            for note in notes[number + 1 :]
        ):
            # Others have gone on with the run before this log came: it comes behind what they have brought.
            there = _lines_of(status)
            step = max(0, _next_step(status) - run.starting_step)
            begin = {_STARTING_STEP: step, **{name: there[name] - n for name, n in self._begin.items()}}
            notes.append({**begin, _SINCE_US: since_us, _FROM: n_before})
        return begin

    def _begin_behind(
        self, status: protocol.ResumeStatus, notes: Sequence[Mapping[str, int]], since_us: int
    ) -> Dict[str, int]:
        """Return where the run's first segment begins on a server that has rows of somebody else's.

        The syncer notes that in the run's config, so that it is known wherever the others are synced from.
        """
        lines = _lines_of(status)
        next_step = _next_step(status)
        if self._known_starting_step is not None:
            # An earlier upload, by another client, has begun here: what it brought is written again in its
            # place.
            lines[HISTORY] = max(0, status.n_history - max(0, next_step - self._known_starting_step))
            return {_STARTING_STEP: self._known_starting_step, **lines}
        if not notes and status.last_row_at_s * 1e6 > since_us:
            raise SyncError(
                f"the server has rows of run {self._known_run().run_id} that are younger than this log: it "
                "was uploaded before, and where its rows begin there is noted nowhere any more",
                hint="restore the log's .syncstate or .checkpoint, or upload it as another run with --id",
            )
        return {_STARTING_STEP: next_step, **lines}

    def _take_over(self, status: protocol.ResumeStatus) -> None:
        """Keep what the server knows of the run and the log does not."""
        self._resumed_id = status.id
        self._earlier_runtime_s = status.runtime_s
        self.config.merge_from_server(status.config)
        self._config_memo = (-1, "")
        for key, value in status.summary.items():
            if key not in self.summary.tree and key != "_step":
                put(self.summary.tree, (key,), dumps(value), keep_empty=True)

    def flush(self, uploaded: Sequence[str] = ()) -> Steps:
        """Send everything that was added; when this is through, the server has it and `state()` may be kept.

        Args:
            uploaded: Files that have arrived since the last time.
        """
        assert self.bucket is not None, "flush before open"
        yield from self._changed_parameters()
        yield from self._posts({"uploaded": list(uploaded)} if uploaded else {})
        if self._rewind_to is not None:
            yield from self._rewind(self._rewind_to)
        while self._alerts:
            alert = self._alerts[0]
            where = (self.bucket.entity, self.bucket.project, self.bucket.name)
            response = yield protocol.alert(*where, alert.title, alert.text, alert.level, alert.wait_duration)
            protocol.read_answer(response, "NotifyScriptableRunAlert")
            self._alerts.pop(0)

    def keep_alive(self) -> Steps:
        """Tell the server that the run goes on though nothing is new: it takes a long silence for a crash."""
        yield from self._post(b"{}")

    def end(self, exit_code: int) -> None:
        """Say that the log has no more: `exit_code` counts if the log has none of its own.

        A row that waits for its end is complete now.  Call it once, before the last files are made.
        """
        for source in sorted((self.main, *self.sides.values()), key=_pending_since):
            if source.pending_row:
                row, source.pending_row = source.pending_row, {}
                row.setdefault("_step", str(source.pending_step))
                self._set_step(row, source.pending_step)
                self._add_row(row)
        said = self._said_exit_code()
        self._final_exit_code = exit_code if said is None else said
        if self.exit_code is None:
            runtime = self.summary.tree.get("_runtime")
            if self._is_ours and isinstance(runtime, str):
                put(self.summary.tree, ("_wandb", "runtime"), str(_integer(runtime)))

    def _said_exit_code(self) -> Optional[int]:
        """Return how the run has ended: what its main log says, unless that leaves it to the others."""
        if self.run is None or not self.run.writer.keeps_state:
            return self.exit_code
        codes = [
            side.exit_code
            for side in self.sides.values()
            if side.run is not None and not side.run.writer.keeps_state and side.exit_code is not None
        ]
        return max(codes, key=bool) if codes else self.exit_code

    def finish(self, uploaded: Sequence[str] = (), later_exit_code: Optional[int] = None) -> Steps:
        """Send what is left, and that the run is complete; `end` was called before.

        Args:
            later_exit_code: Of the run's last segment, if this is an earlier one that has arrived after it.
        """
        assert self.bucket is not None and self._final_exit_code is not None, "finish before open or end"
        yield from self._changed_parameters()
        if self._alerts or self._rewind_to is not None:
            yield from self.flush()
        closing: Dict[str, Any] = {"uploaded": list(uploaded)} if uploaded else {}
        exit_code = self._final_exit_code if self.is_last else later_exit_code
        if exit_code is not None:
            closing.update(complete=True, exitcode=exit_code)
        yield from self._posts(closing)

    def _rewind(self, row: Dict[str, Any]) -> Steps:
        """Let the server drop its rows from the row's step on; then the row comes behind what is left."""
        assert self.bucket is not None
        step = _integer(row["_step"]) - 1
        where = (self.bucket.entity, self.bucket.project, self.bucket.name)
        response = yield protocol.rewind_run(*where, step)
        self._offsets[HISTORY] = protocol.read_rewound(response).n_history
        self._rewind_to = None
        self._sent_summary = ""  # the server has made one of its own
        self._add_row(row)
        yield from self._posts({})

    def _opened(self, bucket: protocol.Bucket) -> None:
        run = self._known_run()
        self.bucket = bucket._replace(
            entity=bucket.entity or self.target.entity or run.entity,
            project=bucket.project or self.target.project or run.project,
        )
        self._sent_config = self._config_text()
        self._run_changed = False

    def _upsert_all(self, run: pb.RunRecord, bucket_id: str) -> Request:
        if not self.is_last and not self._is_new:
            return protocol.upsert_bucket(
                name=self.target.run_id or run.run_id,
                project=self.target.project or run.project or None,
                entity=self.target.entity or run.entity or None,
                config=self._noted,
            )
        wishes = self.wishes
        environment = self.config.environment
        tags = [wishes.replace_tags.get(tag, tag) for tag in (wishes.tags or run.tags)]
        return protocol.upsert_bucket(
            id=bucket_id or None,
            name=self.target.run_id or run.run_id,
            project=self.target.project or run.project or None,
            entity=self.target.entity or run.entity or None,
            groupName=wishes.group or run.run_group or None,
            displayName=wishes.name or run.display_name or None,
            notes=run.notes or None,
            commit=run.git.commit or environment.git.commit or None,
            config=self._config_text(),
            host=run.host or None,
            program=environment.program or None,
            repo=run.git.remote_url or environment.git.remote_url or None,
            jobType=wishes.job_type or run.job_type or None,
            sweep=run.sweep_id or None,
            tags=tags or None,
        )

    def _changed_parameters(self) -> Steps:
        assert self.bucket is not None
        run = self._known_run()
        if not self.is_last:
            return
        if self._run_changed:
            response = yield self._upsert_all(run, self.bucket.id)
            self._opened(protocol.read_bucket(response))
            return
        text = self._config_text()
        if text != self._sent_config:
            response = yield protocol.upsert_bucket(
                name=self.bucket.name, project=self.bucket.project, entity=self.bucket.entity, config=text
            )
            protocol.read_bucket(response)
            self._sent_config = text

    def _posts(self, closing: Mapping[str, Any]) -> Steps:
        assert self.bucket is not None
        summary = self.summary.text()
        if summary != self._sent_summary and self.summary.tree and self.is_last:
            self._batch.summary = summary
        batch, self._batch = self._batch, Batch()
        self._batch.n_dropped = batch.n_dropped
        console = self.console.take_changed()
        self._console_bytes = 0
        for body in batch.posts(self._offsets, console, bool(self.structured_console), closing):
            yield from self._post(body)
        self._offsets[HISTORY] += len(batch.history)
        self._offsets[EVENTS] += len(batch.events)
        self._sent_summary = summary

    def _post(self, body: bytes) -> Steps:
        assert self.bucket is not None
        response = yield protocol.file_stream(self.bucket.entity, self.bucket.project, self.bucket.name, body)
        self.is_asked_to_stop = self.is_asked_to_stop or protocol.says_stop(response)

    def _known_run(self) -> pb.RunRecord:
        if self.run is None:
            raise SyncError("the log has no run record", hint="nothing was logged before the process ended")
        return self.run

    def _config_text(self) -> str:
        made_at, text = self._config_memo
        if made_at != self.n_records:
            text = self.config.text(self.metrics.wire())
            self._config_memo = (self.n_records, text)
        return text

    # ---- what survives

    def state(self) -> Dict[str, Any]:
        """Return all that `restore` needs to go on from `offset`, as JSON.  Nothing may wait to be sent."""
        assert not self._batch.history and not self._batch.events, "rows would be lost"
        assert self.bucket is not None and self.run is not None
        return {
            "version": STATE_VERSION,
            **self.main.state(),
            "main_run": self.main.state()["run"],
            "sides": {id: side.state() for id, side in self.sides.items()},
            "run": base64.b64encode(self.run.SerializeToString()).decode(),
            "bucket": list(self.bucket),
            "structured_console": self.structured_console,
            "starting_step": self.starting_step,
            "n_rows": self.n_rows,
            "n_records": self.n_records,
            "n_unreadable": self.n_unreadable,
            "n_dropped": self._batch.n_dropped,
            "artifacts": [list(noted) for noted in self.artifacts],
            "not_uploaded": self.not_uploaded,
            "config": self.config.state(),
            "metrics": self.metrics.state(),
            "summary": self.summary.state(),
            "console": self.console.state(),
            "is_ours": self._is_ours,
            "begin": self._begin,
            "place": list(self.place),
            "offsets": self._offsets,
            "step_policy": self.wishes.step_policy,
            "n_late": self.n_late,
            "n_lost": self.n_lost,
        }

    @classmethod
    def restore(
        cls,
        state: Mapping[str, Any],
        target: Target,
        wishes: Wishes = Wishes(),
        *,
        batch_bytes: int = BATCH_BYTES,
    ) -> Session:
        """Return the session that `state` was taken of.  `open` it again before anything is sent.

        Raises:
            SyncError: The state is of another version.
        """
        if state.get("version") != STATE_VERSION:
            raise SyncError(f"the checkpoint's state has version {state.get('version')}, not {STATE_VERSION}")
        session = cls(target, wishes, batch_bytes=batch_bytes)
        session.main = session._source = Source.restore("", {**state, "run": state.get("main_run")})
        session.sides = {id: Source.restore(id, saved) for id, saved in state.get("sides", {}).items()}
        session.run = pb.RunRecord.FromString(base64.b64decode(state["run"]))
        session.bucket = protocol.Bucket(*state["bucket"])
        session.structured_console = state["structured_console"]
        session.starting_step = state["starting_step"]
        session.n_rows = state["n_rows"]
        session.n_records = state["n_records"]
        session.n_unreadable = state["n_unreadable"]
        session.artifacts = [Noted(*noted) for noted in state.get("artifacts", ())]
        session.not_uploaded = dict(state["not_uploaded"])
        session.config = RunConfig.restore(state["config"])
        session.metrics = Metrics.restore(state["metrics"])
        session._summary_tree = Summary.restore(state["summary"])
        session.console = Console.restore(state["console"])
        session._is_ours = state["is_ours"]
        session._begin = dict(state["begin"])
        session._offsets = dict(state["offsets"])
        session.n_late = state["n_late"]
        session.n_lost = state["n_lost"]
        session._batch.n_dropped = state["n_dropped"]
        return session


def _lines_of(status: protocol.ResumeStatus) -> Dict[str, int]:
    return {HISTORY: status.n_history, EVENTS: status.n_events, CONSOLE: status.n_console}


def _next_step(status: protocol.ResumeStatus) -> int:
    return 0 if status.last_step is None or not status.n_history else status.last_step + 1


def _pending_since(source: Source) -> Tuple[float, str]:
    """Return what sorts the logs by when something was last added to the row that waits for its end."""
    try:
        return float(source.pending_row.get("_timestamp", 0)), source.id
    except (TypeError, ValueError):  # the user's own
        return 0.0, source.id


def _seconds(nanoseconds: int) -> float:
    """Return seconds, rounded as wandb rounds them."""
    whole, rest = divmod(nanoseconds, NS_PER_S)
    return whole + rest / NS_PER_S


def _nanoseconds(timestamp: Any) -> int:
    return int(timestamp.seconds) * NS_PER_S + int(timestamp.nanos)


def _integer(text: Any) -> int:
    """Return the whole part of a number's JSON text; 0 if it is none."""
    try:
        return int(text)
    except (TypeError, ValueError):
        pass
    try:
        return int(float(text))
    except (TypeError, ValueError, OverflowError):
        return 0
