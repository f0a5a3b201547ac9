"""Several logs of one run -> one sequence of records.

A run that several processes record has a main log and side logs (decision 0010).  Their records are laid in
order of time, by what the records say themselves, so that the order is the same whenever and however often
the logs are read.

Rule 1: a log's own records keep their order.  A record without a time has that of the one before it.
Rule 2: rows are laid by `_runtime`, which is the recorder's; `_timestamp` may be the user's.
Rule 3: while somebody may still write, only what is older than the caller says comes out; what is newer may
        not be all yet.
"""

from __future__ import annotations

import heapq
import math
from typing import Any, Iterator, List, Optional, Sequence, Tuple

from google.protobuf.message import DecodeError

from wandb.proto.record_pb2 import Record as RecordMessage
from wandb.transaction_log.parser import Event, Record
from wandb.transaction_log.reader import Reader
from wandb_sync.record_kind import FOOTER, HISTORY, OUTPUT, STATS, is_end, kind_of

# HistoryItem or SummaryItem: key (field 1) "_runtime", then the tag of value_json (16).  No text of the
# user's holds the two last bytes: they are no UTF-8 there.
_RUNTIME = b"\n\x08_runtime\x82\x01"


class Part:
    """One of the logs.

    Args:
        reader: Stands where the records begin.
        since_s: When `_runtime` was 0, in seconds since the epoch.
        limit: Records that end behind it do not count; 0 for none.
        id: Of the side log; "" of the main log.
    """

    def __init__(self, reader: Reader, since_s: float, *, id: str = "", limit: int = 0) -> None:
        self.id = id
        self.reader = reader
        self.time_s = -math.inf
        self._since_s = since_s
        self._limit = limit
        self._events: Optional[Iterator[Event]] = None
        self._head: Optional[Event] = None

    def has_next(self) -> bool:
        """Say whether there is an event; `time_s` is its time then."""
        if self._head is None:
            if self._events is None:
                self._events = self.reader.events()
            self._head = next(self._events, None)
            if self._head is None:
                self._events = None  # what is written from now on comes with the next call
                return False
            if isinstance(self._head, Record):
                self.time_s = max(self.time_s, self._time_of(self._head.payload))
        return not 0 < self._limit < self._head.end

    def take(self) -> Event:
        event, self._head = self._head, None
        assert event is not None
        return event

    def has_exit(self, offset: int) -> bool:
        """Say whether the process has ended in order, by what stands behind `offset`."""
        with Reader(self.reader.path, offset) as reader:
            return any(isinstance(event, Record) and is_end(event.payload) for event in reader.events())

    def _time_of(self, payload: bytes) -> float:
        kind = kind_of(payload)
        if kind in (HISTORY, FOOTER):
            at = payload.rfind(_RUNTIME)
            if at >= 0:
                begin = at + len(_RUNTIME) + 1
                try:
                    return self._since_s + float(payload[begin : begin + payload[begin - 1]])
                except (ValueError, IndexError):
                    return -math.inf
        elif kind in (STATS, OUTPUT):
            try:
                record = RecordMessage.FromString(payload)
            except DecodeError:
                return -math.inf
            written = record.stats.timestamp if kind == STATS else record.output_raw.timestamp
            return seconds(written)
        return -math.inf


def join(parts: Sequence[Part], until_s: float) -> Iterator[Tuple[Part, Event]]:
    """Yield the events of all parts in order of time, up to `until_s`.

    Call it again for what has come since.
    """
    waiting: List[Tuple[float, int]] = []
    for number, part in enumerate(parts):
        if part.has_next():
            heapq.heappush(waiting, (part.time_s, number))
    while waiting and waiting[0][0] <= until_s:
        part = parts[waiting[0][1]]
        yield part, part.take()
        if part.has_next():
            heapq.heapreplace(waiting, (part.time_s, waiting[0][1]))
        else:
            heapq.heappop(waiting)


def seconds(timestamp: Any) -> float:
    """Return a protobuf Timestamp as seconds since the epoch."""
    return float(timestamp.seconds + timestamp.nanos / 1e9)
