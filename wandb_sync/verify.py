"""Is everything on the server?  Compares a run's log, its receipt, and what the server holds.

The log is played to nobody, as a dry run does, which gives what has to be there; then the server is asked
what it has.  Every difference is a finding; no finding is a proof.

Rule 1: nothing is written, here or there.
Rule 2: what cannot be compared is said, not passed over: a server that is away, a run whose beginning only
        the server knows.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import math
import time
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from wandb.errors import AuthenticationError, Error, RejectedError, SyncError, TransientError
from wandb.proto.record_pb2 import FilesItem
from wandb.transaction_log.parser import Record
from wandb.transaction_log.reader import Reader
import wandb_sync.protocol as protocol
from wandb_sync.artifact_protocol import COMMITTED, artifact_by_id, read_by_id
from wandb_sync.batching import CONSOLE, EVENTS, HISTORY
from wandb_sync.checkpoint import Destination
from wandb_sync.discover import Log, sidecars
from wandb_sync.files import CONFIG, METADATA, SUMMARY, from_disk
from wandb_sync.follow import ASSUME_DEAD_AFTER_S, has_ended
from wandb_sync.receipts import differs, read_receipts
from wandb_sync.join import Part, join
from wandb_sync.segments import Peek, peek, run_of, run_record
from wandb_sync.session import Place, Session, Steps, Target, Wishes
from wandb_sync.sides import sides_of, zero_s
from wandb_sync.transport.base import Transport
from wandb_sync.transport.dry_run import DryRun

EXIT_DIFFERENT = 3
_NOTHING = {HISTORY: 0, EVENTS: 0, CONSOLE: 0}


class Finding(NamedTuple):
    """One difference.

    Attributes:
        what: Which thing, in stable words: "receipt", "history lines", "last step", "summary", "state",
            "file <path>", "log", "run".
        here, there: What it is here, and what the server or the receipt says.
    """

    what: str
    here: Any
    there: Any

    def __str__(self) -> str:
        return f"{self.what}: {self.here} here, {self.there} there"


class Verified(NamedTuple):
    """What was found of one log.

    Attributes:
        findings: Differences; none: everything that was compared is the same.
        notes: What could not be compared, and why.
        has_receipt: Whether there is a receipt for the very bytes that are here.
        was_asked: Whether the server has answered.
        exit_code: 0, or 3 if there are findings, or why the server could not be asked.
    """

    log: Log
    findings: List[Finding]
    notes: List[str]
    has_receipt: bool = False
    was_asked: bool = False
    exit_code: int = 0
    url: str = ""


class Wanted(NamedTuple):
    """What a log says has to be on the server."""

    lines: Dict[str, int]
    last_step: Optional[int]
    summary: Dict[str, Any]
    files: Sequence[str]
    exit_code: Optional[int]
    lost_bytes: int
    n_artifacts: int


def verify(
    logs: Sequence[Log],
    transport: Optional[Transport],
    base_url: str,
    *,
    target: Target = Target(),
    state_dir: Optional[Path] = None,
) -> List[Verified]:
    """Verify logs.

    Args:
        transport: To the server; None: only what is here is compared.
        target: Where the runs were uploaded to, if not to where the logs say.
    """
    firsts: Dict[Log, Optional[Peek]] = {}
    for log in logs:
        try:
            firsts[log] = peek(log.path)
        except Error:
            firsts[log] = None
    last: Dict[Tuple[str, ...], Log] = {}
    for log, first in firsts.items():
        if first is not None:
            known = last.get(first[:3])
            before = firsts[known] if known is not None else None
            if before is None or (first.n_before, first.started_s) >= (before.n_before, before.started_s):
                last[first[:3]] = log
    found = []
    for log, first in firsts.items():
        is_last = first is not None and last[first[:3]] == log
        found.append(_Verification(log, first, is_last, transport, base_url, target, state_dir).run())
    return found


class _Verification:
    """Of one log."""

    def __init__(
        self,
        log: Log,
        first: Optional[Peek],
        is_last: bool,
        transport: Optional[Transport],
        base_url: str,
        target: Target,
        state_dir: Optional[Path],
    ) -> None:
        self._log = log
        self._first = first
        self._is_last = is_last
        self._transport = transport
        self._base_url = base_url
        self._target = target
        self._cars = sidecars(log, state_dir)
        self._findings: List[Finding] = []
        self._notes: List[str] = []

    def run(self) -> Verified:
        if self._first is None:
            self._notes.append("the log does not say which run it is")
            return Verified(
                self._log, [Finding("log", "says nothing of a run", "-")], self._notes, exit_code=3
            )
        receipt = self._receipt()
        has_receipt = receipt is not None and not differs(self._log, receipt)
        was_asked = False
        exit_code = 0
        try:
            wanted = self._wanted()
        except (Error, OSError) as error:
            return Verified(
                self._log, [Finding("log", str(error), "-")], self._notes, has_receipt, exit_code=3
            )
        if wanted.lost_bytes:
            self._findings.append(Finding("log", f"{wanted.lost_bytes} bytes are damaged", "-"))
        if self._transport is None:
            self._notes.append("the server was not asked")
        else:
            try:
                self._ask(wanted, receipt)
                was_asked = True
            except AuthenticationError as error:
                self._notes.append(f"the server was not asked: {error}")
                exit_code = error.exit_code
            except RejectedError as error:
                was_asked = True
                self._findings.append(Finding("run", "is here", f"is not: {error}"))
            except TransientError as error:
                self._notes.append(f"the server cannot be reached: {error}")
                exit_code = error.exit_code
        if self._findings:
            exit_code = EXIT_DIFFERENT
        url = str((receipt or {}).get("url") or "")
        return Verified(self._log, self._findings, self._notes, has_receipt, was_asked, exit_code, url)

    def _receipt(self) -> Optional[Dict[str, Any]]:
        """Return the receipt for the server; notes what is wrong with it."""
        assert self._first is not None
        run_id = self._target.run_id or self._first.run_id
        key = Destination(self._base_url, self._target.entity, self._target.project, run_id).key
        receipts = read_receipts(self._cars.receipt)
        # One that was asked for by another name of the same place will do.
        alike = [kept for kept in receipts if kept.split("|")[0] == key.split("|")[0]]
        receipt = receipts.get(key) or (receipts[alike[0]] if len(alike) == 1 else None)
        if receipt is None:
            self._notes.append(f"there is no receipt of {self._base_url}")
            return None
        difference = differs(self._log, receipt)
        if difference:
            self._findings.append(Finding("receipt", difference, "another state was given a receipt"))
        return receipt  # type: ignore[no-any-return]

    # ---- what has to be there

    def _wanted(self) -> Wanted:
        """Play the log, and its side logs, to nobody."""
        session = Session(self._target, Wishes(), previous=Place((), 0, _NOTHING, _NOTHING))
        nobody = DryRun()
        lost_bytes = 0
        is_known = True
        segments = run_of(self._log)
        number = next(n for n, segment in enumerate(segments) if segment.log.path == self._log.path)
        sides = {side.id: side for side in sides_of(segments, number)}
        with Reader(self._log.path) as reader:
            first = run_record(self._log.path)
            parts = [Part(reader, zero_s(first) if first is not None else 0.0)]
            for side in sides.values():
                parts.append(Part(Reader(side.path, keeps_open=False), zero_s(side.run), id=side.id))
            for part, event in join(parts, math.inf):
                if not isinstance(event, Record):
                    lost_bytes += event.n_bytes
                    session.skip(event.end, part.id)
                    continue
                if not session.add(event.payload, event.end, part.id):
                    continue
                if session.wants_position:
                    is_known = session.knows_its_place
                    _drive(session.locate(), nobody)
                else:
                    self._flush(session, nobody)
            losses = [part.reader.loss_at_end() for part in parts]
            lost_bytes += sum(loss.n_bytes for loss in losses if loss is not None)
        if session.run is None:
            raise SyncError(f"{self._log.shown}: does not say which run it is")
        if session.exit_code is not None or has_ended(
            self._log.path, session.run, ASSUME_DEAD_AFTER_S, time.time()
        ):
            session.end(1)
        self._flush(session, nobody)
        if not is_known:
            self._notes.append(
                "where the run's lines begin is known to the server only: they are not counted"
            )
        summary = json.loads(session.summary.text())
        step = summary.get("_step")
        # What a process of a shared run has saved in a directory of its own is not looked for.
        beside = [s for id, s in session.sides.items() if sides[id].path.parent == self._log.directory]
        names = [
            path
            for source in (session.main, *beside)
            for path, policy in source.files.items()
            if session.exit_code is not None or policy in (FilesItem.NOW, FilesItem.LIVE)
        ]
        return Wanted(
            session.n_lines if is_known else {},
            # Each process has steps of its own; the server's last one is that of the last row.
            int(step) if isinstance(step, (int, float)) and is_known and not sides else None,
            summary,
            names,
            session.exit_code,
            lost_bytes,
            len(session.artifacts),
        )

    def _flush(self, session: Session, nobody: DryRun) -> None:
        if session.bucket is None:
            _drive(session.open(), nobody)
        session.structured_console = False
        _drive(session.flush(), nobody)

    # ---- what is there

    def _ask(self, wanted: Wanted, receipt: Optional[Dict[str, Any]]) -> None:
        assert self._transport is not None and self._first is not None
        entity, project, run_id = self._where(receipt)
        status = protocol.read_resume_status(
            self._transport.send(protocol.run_resume_status(entity, project, run_id))
        )
        if status is None:
            self._findings.append(Finding("run", "is here", "is not"))
            return
        there = {HISTORY: status.n_history, EVENTS: status.n_events, CONSOLE: status.n_console}
        for stream, name in ((HISTORY, "history lines"), (EVENTS, "event lines"), (CONSOLE, "console lines")):
            if stream not in wanted.lines:
                continue
            n_here, n_there = wanted.lines[stream], there[stream]
            # Console lines can be fewer than were begun; and an earlier segment knows its own end only.
            if n_there < n_here or (self._is_last and stream != CONSOLE and n_there != n_here):
                self._findings.append(Finding(name, n_here, n_there))
        if self._is_last:
            self._compare_end(wanted, status)
        state, stored = self._stored(entity, project, run_id)
        if self._is_last:
            self._compare_state(wanted, state)
        self._compare_files(wanted, stored)
        if wanted.n_artifacts:
            self._compare_artifacts(wanted, receipt)

    def _where(self, receipt: Optional[Dict[str, Any]]) -> Tuple[str, str, str]:
        """Return entity, project and id as the server calls them, as far as they are known."""
        assert self._first is not None
        first, target = self._first, self._target
        entity, project = target.entity or first.entity, target.project or first.project
        if not entity or not project:
            parts = str((receipt or {}).get("url") or "").rsplit("/", 4)
            if len(parts) == 5 and parts[3] == "runs":
                entity, project = entity or parts[1], project or parts[2]
        return entity, project or "uncategorized", target.run_id or first.run_id

    def _compare_end(self, wanted: Wanted, status: protocol.ResumeStatus) -> None:
        if wanted.last_step is not None and wanted.last_step != status.last_step:
            self._findings.append(Finding("last step", wanted.last_step, status.last_step))
        keys = [key for key in wanted.summary if not key.startswith("_")]
        differ = [key for key in keys if not _is_same(wanted.summary[key], status.summary.get(key))]
        for key in differ[:3]:
            here, there = wanted.summary[key], status.summary.get(key, "nothing")
            self._findings.append(Finding(f"summary {key}", _short(here), _short(there)))
        if len(differ) > 3:
            self._findings.append(Finding("summary", f"{len(differ)} keys differ", "-"))

    def _stored(self, entity: str, project: str, run_id: str) -> Tuple[str, Dict[str, protocol.StoredFile]]:
        assert self._transport is not None
        stored: Dict[str, protocol.StoredFile] = {}
        after, state = "", ""
        while True:
            request = protocol.run_files(entity, project, run_id, after)
            page = protocol.read_files(self._transport.send(request))
            stored.update(page.files)
            state = page.state
            if not page.after or page.after == after:
                return state, stored
            after = page.after

    def _compare_state(self, wanted: Wanted, state: str) -> None:
        if wanted.exit_code is None:
            return
        good = ("finished",) if wanted.exit_code == 0 else ("failed", "crashed", "killed", "preempted")
        if state not in good:
            self._findings.append(Finding("state", f"ended with exit code {wanted.exit_code}", state))

    def _compare_files(self, wanted: Wanted, stored: Dict[str, protocol.StoredFile]) -> None:
        sources, missing = from_disk(self._log.files_dir, wanted.files)
        for source in sources:
            there = stored.get(source.path)
            what = f"file {source.path}"
            if there is None:
                self._findings.append(Finding(what, f"{source.stamp[0]} bytes", "nothing"))
            elif there.n_bytes != source.stamp[0]:
                self._findings.append(Finding(what, f"{source.stamp[0]} bytes", f"{there.n_bytes} bytes"))
            elif there.md5 and there.md5 != _md5(self._log.files_dir / source.path):
                self._findings.append(Finding(what, "other bytes", f"md5 {there.md5}"))
        for gone in missing:
            if gone.path not in stored and gone.path not in (CONFIG, METADATA, SUMMARY, CONSOLE):
                self._findings.append(Finding(f"file {gone.path}", gone.reason, "nothing"))
        if self._is_last and wanted.exit_code is not None:
            for path in (CONFIG, SUMMARY):
                if path not in stored:
                    self._findings.append(Finding(f"file {path}", "made of the log", "nothing"))

    def _compare_artifacts(self, wanted: Wanted, receipt: Optional[Dict[str, Any]]) -> None:
        """Ask for what the receipt says has arrived; an artifact's name there is the server's business."""
        assert self._transport is not None
        arrived = (receipt or {}).get("artifacts") or []
        if len(arrived) < wanted.n_artifacts:
            self._notes.append(
                f"{wanted.n_artifacts - len(arrived)} artifacts have no receipt to compare with"
            )
        for kept in arrived:
            there = read_by_id(self._transport.send(artifact_by_id(str(kept["id"]))))
            what = f"artifact {kept['name']}"
            if there is None or there.state != COMMITTED:
                self._findings.append(Finding(what, "has arrived", there.state if there else "nothing"))
            elif kept["digest"] and there.digest != kept["digest"]:
                self._findings.append(Finding(what, f"digest {kept['digest']}", f"digest {there.digest}"))


def _drive(steps: Steps, transport: Transport) -> None:
    response = None
    with contextlib.suppress(StopIteration):
        while True:
            response = transport.send(steps.send(response))  # type: ignore[arg-type]  # None starts it


def _is_same(here: Any, there: Any) -> bool:
    return here == there or json.dumps(here, sort_keys=True) == json.dumps(there, sort_keys=True)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _md5(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with open(path, "rb") as file:
        for piece in iter(lambda: file.read(1 << 20), b""):
            digest.update(piece)
    return base64.b64encode(digest.digest()).decode()


def exit_code_of(found: Sequence[Verified]) -> int:
    """Return what a script is to be told: 0: nothing differs; 3: something does; else why nobody knows."""
    codes = {one.exit_code for one in found} - {0}
    if EXIT_DIFFERENT in codes:
        return EXIT_DIFFERENT
    return max(codes, default=0)
