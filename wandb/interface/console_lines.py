"""How many lines console output makes on the server, counted piece by piece.

The syncer has the terminal (wandb_sync/console.py) that makes lines of pieces.  Whoever goes on with a run
has to know how many lines it already has, without reading all that was ever printed; so the recorder counts.

Rule 1: the count is never below what the terminal makes of the same pieces; a test holds the two together.
Rule 2: it is equal unless the cursor is moved: a line that is written over is counted again.
"""

from __future__ import annotations

import re
from typing import List

MAX_LINE_CHARS = 4096  # where the terminal breaks a line

_CONTROL = re.compile(r"[\r\b]|\x1b\[(\d{0,9})([ABK])")
_UNFINISHED = re.compile(r"\x1b(?:\[\d*)?\Z")  # may become a control sequence with the next piece


class ConsoleLines:
    """Counts the lines of both streams of one run.

    Attributes:
        n_lines: So far.
    """

    __slots__ = ("n_lines", "_waiting", "_column", "_unfinished")

    def __init__(self) -> None:
        self.n_lines = 0
        self._waiting: List[int] = [1, 1]  # lines that come into being with the next character, by stream
        self._column: List[int] = [0, 0]
        self._unfinished: List[str] = ["", ""]

    @property
    def at_most(self) -> int:
        """How many lines there will be, counting those that the next characters bring into being.

        Whoever goes on counting without knowing what waits begins here.
        """
        return self.n_lines + sum(max(0, waiting - 1) for waiting in self._waiting)

    def add(self, stream: int, text: str) -> None:
        """Count a piece of output; `stream` is 0 or 1, as in OutputRawRecord."""
        text = self._unfinished[stream] + text
        cut = _UNFINISHED.search(text)
        self._unfinished[stream] = cut.group() if cut else ""
        if cut:
            text = text[: cut.start()]
        for number, line in enumerate(text.split("\n")):
            if number:
                self._waiting[stream] += 1
                self._column[stream] = 0
            if line.isprintable():
                self._add_characters(stream, len(line))
            else:
                self._add_controlled(stream, line)

    def add_lines(self, text: str) -> None:
        """Count finished lines that are no terminal output."""
        self.n_lines += (text[:-1] if text.endswith("\n") else text).count("\n") + 1

    def _add_controlled(self, stream: int, line: str) -> None:
        at = 0
        for control in _CONTROL.finditer(line):
            self._add_characters(stream, control.start() - at)
            at = control.end()
            if control.group() == "\r":
                self._column[stream] = 0
            elif control.group(2) == "B":
                self._waiting[stream] += 1  # the terminal goes down to the line behind its last one at most
        self._add_characters(stream, len(line) - at)

    def _add_characters(self, stream: int, n_chars: int) -> None:
        if n_chars:
            column = self._column[stream] + n_chars
            n_breaks = (column - 1) // MAX_LINE_CHARS
            self.n_lines += self._waiting[stream] + n_breaks
            self._waiting[stream] = 0
            self._column[stream] = column - n_breaks * MAX_LINE_CHARS
