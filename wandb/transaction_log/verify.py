"""Is a log sound, and what can be saved of it?  Spec: schema/log/FORMAT.md, "Damage".

Rule: the file that is examined is only read; a repaired log is always a new file.
"""

from __future__ import annotations

import os
from typing import Iterator, List, NamedTuple, Optional

from wandb.errors import BadFileHeader
from wandb.transaction_log.format import FILE_HEADER
from wandb.transaction_log.log_file import size
from wandb.transaction_log.parser import Event, Lost, Record
from wandb.transaction_log.reader import Reader
from wandb.transaction_log.writer import Writer

SOUND = "sound"  # every byte belongs to a whole record
TORN = "torn"  # all is whole but the end: the writer was killed, or is still at work
DAMAGED = "damaged"

MAX_LOSSES = 1000  # that a report lists: a log may be damaged in more places than it has records
FILE_HEADER_LOST = "file header"  # a reason of a loss, beside those of the parser


class Report(NamedTuple):
    """What a log holds.

    Attributes:
        path: The file that was read.
        n_bytes: Its length.
        n_records: Whole records.
        payload_bytes: What they hold, without framing.
        end: The end of the last whole record or loss.
        lost: The first MAX_LOSSES losses, in order.  One in front of the first record may be the file header.
        n_lost: How many losses there are, listed or not.
        lost_bytes: Bytes given up in all of them.
        tail_bytes: The unfinished record, or zeros, at the end; no damage.
    """

    path: str
    n_bytes: int
    n_records: int
    payload_bytes: int
    end: int
    lost: List[Lost]
    n_lost: int
    lost_bytes: int
    tail_bytes: int

    @property
    def verdict(self) -> str:
        """SOUND, TORN or DAMAGED."""
        return DAMAGED if self.n_lost else TORN if self.tail_bytes else SOUND


def verify(path: str | os.PathLike[str]) -> Report:
    """Read the whole log and report; memory does not depend on its length.

    Raises:
        BadFileHeader: the file is not a log, or the damage begins with its first bytes: see `repair`.
        LogError: the file cannot be read.
    """
    return _report(path, 0, None)


def repair(path: str | os.PathLike[str], out_path: str | os.PathLike[str]) -> Report:
    """Copy every whole record of the log at `path` to a new, sound log at `out_path`.

    The report is about `path`.  A damaged file header is passed over if a record follows somewhere behind it.

    Raises:
        BadFileHeader: no header and not one record: `path` is not a log.  Nothing is left at `out_path`.
        LogError: `path` cannot be read.  `out_path` holds what came before.
        LogWriteError: `out_path` exists, or cannot be written.  It holds what was written until then.
    """
    out = Writer.create(out_path)
    try:
        report: Optional[Report]
        try:
            report = _report(path, 0, out)
        except BadFileHeader:
            begin = len(FILE_HEADER)
            report = _report(path, begin, out) if size(path) > begin else None
            if report is None or not report.n_records:
                os.unlink(out.path)
                raise
            report = report._replace(
                lost=[Lost(0, begin, FILE_HEADER_LOST), *report.lost[: MAX_LOSSES - 1]],
                n_lost=report.n_lost + 1,
                lost_bytes=report.lost_bytes + begin,
            )
        out.sync()
        return report
    finally:
        out.close()


def _report(path: str | os.PathLike[str], offset: int, out: Optional[Writer]) -> Report:
    """Read the log from `offset` on, copying its records to `out` if there is one."""
    n_records = payload_bytes = n_lost = lost_bytes = end = 0
    lost: List[Lost] = []
    with Reader(path, offset) as reader:
        for event in _all_events(reader):
            if isinstance(event, Record):
                n_records += 1
                payload_bytes += len(event.payload)
                if out and event.payload:  # an empty record is no record: it has no kind
                    out.write(event.payload)
            else:
                n_lost += 1
                lost_bytes += event.n_bytes
                if n_lost <= MAX_LOSSES:
                    lost.append(event)
            end = event.end
        n_bytes = reader.position + reader.tail_bytes
        end = max(reader.position, end)
    tail_bytes = n_bytes - end
    return Report(
        os.fspath(path), n_bytes, n_records, payload_bytes, end, lost, n_lost, lost_bytes, tail_bytes
    )


def _all_events(reader: Reader) -> Iterator[Event]:
    """Yield the events of a log that nobody writes any more: damage in its last block too."""
    yield from reader.events()
    loss = reader.loss_at_end()
    if loss:
        yield loss
