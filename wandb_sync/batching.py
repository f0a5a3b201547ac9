"""Lines of a run that wait to be sent, and the posts that carry them.

Rule 1: a post is complete in itself: lines and the offset of the first one.  Sent twice, the server ends up
        the same.
Rule 2: offsets are ours, counted from what was acknowledged; the server is never asked for them (but for the
        first contact with a resumed run).
Rule 3: a line longer than the server takes is dropped and counted, as wandb does; the lines after it move up.
"""

from __future__ import annotations

import json
from typing import Any, List, Mapping, Optional, Sequence

from wandb_sync.console import Line, runs_of_lines

HISTORY = "wandb-history.jsonl"
EVENTS = "wandb-events.jsonl"
SUMMARY = "wandb-summary.json"
CONSOLE = "output.log"

BATCH_BYTES = (
    10 << 20
)  # of lines per post; wandb 0.31 sends a little more, for it counts before JSON's escapes
MAX_LINE_BYTES = 10_383_360  # as wandb 0.31; a longer line is refused by the server

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


SMALLEST_BATCH_BYTES = 64 << 10  # how far a server (or the proxy before it) may press us with 413
POST_S = 10.0  # how long a post should take at most: what a kill costs, and how often there is progress


class BatchSize:
    """How many bytes of lines go into a post: as many as the server takes, and as the link brings over in
    time.

    What one run has learned counts for all of them.

    Attributes:
        n_bytes: Of lines per post, about.
    """

    def __init__(self) -> None:
        """Begin with as many as a post may have."""
        self.n_bytes = self._most = BATCH_BYTES

    @property
    def can_shrink(self) -> bool:
        return self.n_bytes > SMALLEST_BATCH_BYTES

    def too_large(self) -> None:
        """Note that the server does not take posts of this size."""
        self._most = self.n_bytes = max(SMALLEST_BATCH_BYTES, self.n_bytes // 4)

    def took(self, n_bytes: int, seconds: float) -> None:
        """Note how long a post was under way; waits for better days are none of its business."""
        if seconds > POST_S:
            wanted = int(n_bytes * POST_S / seconds)
            self.n_bytes = min(self.n_bytes, max(SMALLEST_BATCH_BYTES, wanted))
        elif seconds < POST_S / 4 and n_bytes > self.n_bytes // 2:
            self.n_bytes = min(self._most, self.n_bytes * 2)


class Batch:
    """What waits.

    Attributes:
        history, events: Lines as they stand in the post: JSON strings, quotes included.
        summary: The summary's line, as text; None if the server has it.
        n_bytes: Of the lines, as they stand in the post.
        n_dropped: Lines that were too long.
    """

    __slots__ = ("history", "events", "summary", "preempting", "n_bytes", "n_dropped")

    def __init__(self) -> None:
        self.history: List[bytes] = []
        self.events: List[bytes] = []
        self.summary: Optional[str] = None
        self.preempting = False
        self.n_bytes = 0
        self.n_dropped = 0

    def add_history(self, line: str) -> bool:
        """Add a row; False if it was dropped."""
        return self._add(self.history, line)

    def add_event(self, line: str) -> bool:
        """Add a sample of system metrics; False if it was dropped."""
        return self._add(self.events, line)

    def _add(self, lines: List[bytes], line: str) -> bool:
        if len(line) > MAX_LINE_BYTES:
            self.n_dropped += 1
            return False
        quoted = _utf8(_encode(line))
        lines.append(quoted)
        self.n_bytes += len(quoted)
        return True

    def posts(
        self,
        offsets: Mapping[str, int],
        console: Sequence[Line],
        structured: bool,
        closing: Mapping[str, Any],
    ) -> List[bytes]:
        """Return the bodies to be posted, in order; none if there is nothing to say.

        Args:
            offsets: Where the first line of each stream goes; for the console, where its line number 0 goes.
            console: Lines that are new or changed, by number.
            structured: In which form the server wants console lines.
            closing: Further members of the last post: `uploaded`, `complete`, `exitcode`.

        The server takes one run of consecutive console lines per post; gaps make further posts.
        """
        runs = runs_of_lines(console)
        bodies = [_body([_console_chunk(run, offsets[CONSOLE], structured)], {}) for run in runs[:-1]]
        last = [_console_chunk(runs[-1], offsets[CONSOLE], structured)] if runs else []
        for name, lines in ((HISTORY, self.history), (EVENTS, self.events)):
            if lines:
                last.append(_chunk(name, offsets[name], lines))
        if self.summary is not None and len(self.summary) <= MAX_LINE_BYTES:
            last.append(_chunk(SUMMARY, 0, [_utf8(_encode(self.summary))]))
        members = {**({"preempting": True} if self.preempting else {}), **closing}
        if last or members:
            bodies.append(_body(last, members))
        return bodies


def _console_chunk(run: Sequence[Line], offset: int, structured: bool) -> bytes:
    return _chunk(CONSOLE, offset + run[0].number, [_utf8(_encode(line.wire(structured))) for line in run])


def _chunk(name: str, offset: int, lines: Sequence[bytes]) -> bytes:
    return b'"%b":{"offset":%d,"content":[%b]}' % (name.encode(), offset, b",".join(lines))


def _body(chunks: Sequence[bytes], members: Mapping[str, Any]) -> bytes:
    parts = [b'"files":{%b}' % b",".join(chunks)] if chunks else []
    parts += [b"%b:%b" % (_utf8(_encode(name)), _utf8(_encode(value))) for name, value in members.items()]
    return b"{%b}" % b",".join(parts)


def _utf8(text: str) -> bytes:
    # Half a surrogate pair has no UTF-8; its escape is what JSON has for it.
    return text.encode("utf-8", "backslashreplace")
