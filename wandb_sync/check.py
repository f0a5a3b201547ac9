"""What is damaged in a log, or lost, and what that cost: by byte range, record number and step.

Rule: nothing here writes, and any log can be checked, also one that is being written.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Optional

from google.protobuf.message import DecodeError

from wandb.errors import BadFileHeader
from wandb.proto.record_pb2 import Record as RecordMessage
from wandb.transaction_log.format import FILE_HEADER
from wandb.transaction_log.log_file import size
from wandb.transaction_log.parser import Event, Lost
from wandb.transaction_log.reader import Reader
from wandb.transaction_log.verify import DAMAGED, FILE_HEADER_LOST, MAX_LOSSES, SOUND, TORN
from wandb_sync.record_kind import EXIT, FOOTER, HISTORY, is_end, number_and_kind


class Loss(NamedTuple):
    """A damaged piece of a log, with no whole record in it.

    Attributes:
        offset, n_bytes, reason: As of the parser; of several losses in a row the reason of the first.
        after_record, before_record: Numbers of the records around it; None where there is none, or it has no
            number.
        after_step, before_step: Steps of the last row before and of the first one behind it.
    """

    offset: int
    n_bytes: int
    reason: str
    after_record: Optional[int] = None
    before_record: Optional[int] = None
    after_step: Optional[int] = None
    before_step: Optional[int] = None

    @property
    def n_records(self) -> Optional[int]:
        """How many records are missing; None if the numbers do not tell."""
        after = 0 if self.after_record is None and self.offset <= len(FILE_HEADER) else self.after_record
        if after is None or self.before_record is None or self.before_record <= after:
            return None
        return self.before_record - after - 1

    def to_json(self) -> Dict[str, Any]:
        return {**self._asdict(), "n_records": self.n_records}


class Checked(NamedTuple):
    """What a log holds.

    Attributes:
        verdict: "sound", "torn" (all is whole but the end) or "damaged".
        n_records, n_rows: Whole ones.
        last_step: Of the last row.
        losses: The first 1000.
        n_lost: How many losses there are; `lost_bytes`: of how many bytes.
        tail_bytes: The unfinished record, or zeros, at the end.
        given_up: Records that the recorder could not keep, by its own count (the disk was full).
        has_exit: Whether the run's end was recorded.
    """

    path: str
    verdict: str
    n_bytes: int
    n_records: int
    n_rows: int
    last_step: Optional[int]
    last_record: Optional[int]
    losses: List[Loss]
    n_lost: int
    lost_bytes: int
    tail_bytes: int
    given_up: int
    has_exit: bool

    @property
    def is_whole(self) -> bool:
        """Whether everything that was recorded is there."""
        return self.verdict != DAMAGED and not self.given_up

    @property
    def n_lost_records(self) -> int:
        """How many records the damage has cost, at least."""
        return sum(1 if loss.n_records is None else loss.n_records for loss in self.losses)

    def to_json(self) -> Dict[str, Any]:
        body = self._asdict()
        body["losses"] = [loss.to_json() for loss in self.losses]
        return {**body, "n_lost_records": self.n_lost_records}


def check(path: Path) -> Checked:
    """Read a whole log; memory does not depend on its length.

    Raises:
        BadFileHeader: It is no log, and not even one record is in it.
        LogError: It cannot be read.
    """
    try:
        return _check(path, 0)
    except BadFileHeader:
        begin = len(FILE_HEADER)
        checked = _check(path, begin) if size(path) > begin else None
        if checked is None or not checked.n_records:
            raise
        return checked


def _check(path: Path, begin: int) -> Checked:
    losses: List[Loss] = [Loss(0, begin, FILE_HEADER_LOST)] if begin else []
    n_lost, lost_bytes = len(losses), begin
    n_open = len(losses)  # how many of the last losses wait to be told what follows
    n_records = n_rows = given_up = 0
    number: Optional[int] = None
    last_row: bytes = b""
    has_exit = False
    is_behind_loss = bool(losses)
    with Reader(path, begin) as reader:
        for event in _events(reader):
            if isinstance(event, Lost):
                lost_bytes += event.n_bytes
                if is_behind_loss and n_lost <= MAX_LOSSES:
                    last = losses[-1]
                    losses[-1] = last._replace(n_bytes=event.end - last.offset)
                    continue
                n_lost += 1
                is_behind_loss = True
                if len(losses) < MAX_LOSSES:
                    losses.append(Loss(*event, after_record=number, after_step=_step(last_row)))
                    n_open += 1
                continue
            n_records += 1
            is_behind_loss = False
            number, kind = number_and_kind(event.payload)
            payload = event.payload
            is_row = kind == HISTORY
            if is_row:
                n_rows += 1
                last_row = payload
            elif kind == FOOTER:
                given_up += _given_up(payload)
            elif kind == EXIT:
                has_exit = has_exit or is_end(payload)
            if n_open:
                step = _step(payload) if is_row else None
                for i in range(len(losses) - n_open, len(losses)):
                    if losses[i].before_record is None:
                        losses[i] = losses[i]._replace(before_record=number)
                    if step is not None:
                        losses[i] = losses[i]._replace(before_step=step)
                n_open = 0 if step is not None else n_open
        n_bytes = reader.position + reader.tail_bytes
        end = reader.position if reader.loss_at_end() is None else n_bytes
    tail_bytes = n_bytes - end
    verdict = DAMAGED if n_lost else TORN if tail_bytes else SOUND
    return Checked(
        os.fspath(path),
        verdict,
        n_bytes,
        n_records,
        n_rows,
        _step(last_row),
        number,
        losses,
        n_lost,
        lost_bytes,
        tail_bytes,
        given_up,
        has_exit,
    )


def _events(reader: Reader) -> Iterator[Event]:
    """Yield the events of a log, with the damage that a reader holds back while more may come."""
    yield from reader.events()
    loss = reader.loss_at_end()
    if loss is not None:
        yield loss


def _step(payload: bytes) -> Optional[int]:
    """Return the step of a row."""
    try:
        history = RecordMessage.FromString(payload).history
    except DecodeError:
        return None
    if history.HasField("step"):
        return int(history.step.num)
    for item in history.item:
        if (item.key or "/".join(item.nested_key)) == "_step":
            try:
                return int(float(item.value_json))
            except ValueError:
                return None
    return None


def _given_up(payload: bytes) -> int:
    try:
        lost = RecordMessage.FromString(payload).footer.lost
    except DecodeError:
        return 0
    return int(lost.history + lost.console + lost.stats + lost.other)
