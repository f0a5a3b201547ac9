"""Console output: pieces as they were written -> lines as a terminal would show them.

A progress bar rewrites its line a thousand times; the server wants the line.  So each stream of each process
has a small terminal of its own, whose last 32 lines can still change; all share the numbers of the lines.

What is understood: line feed, carriage return, backspace, cursor up and down, erase in line.  Everything else
stays in the text, colours above all: whoever shows the text interprets them.  (wandb 0.31 understands line
feed, carriage return and the cursor sequences without a number.)

Rule 1: a line gets its number when the first character is written to it, or to a line below it.
Rule 2: a line's time is that of the piece that began it, as recorded, not that of the upload.
Rule 3: nothing is cut off: what exceeds 4096 characters goes on in a further line.
"""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

LIVE_LINES = 32  # per stream, as in wandb; what scrolled out of them never changes again
MAX_LINE_CHARS = 4096  # as in wandb
STDERR, STDOUT = 0, 1  # OutputRawRecord.OutputType
FINISHED = 2  # the source of lines that are no terminal output

# A number of more digits moves no cursor; it stays text.
_CONTROL = re.compile(r"([\n\r\b]|\x1b\[[0-9]{0,9}[ABK])")
_UNFINISHED = re.compile(r"\x1b(?:\[[0-9]{0,9})?\Z")  # may become a control sequence with the next piece
_EPOCH = datetime(1970, 1, 1)
_LAST_US = (datetime(9999, 12, 31) - _EPOCH) // timedelta(microseconds=1)

Source = Tuple[str, int]  # a process and a stream; see Console.on_final

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Line:
    """One line; `number` counts from 0 within the run."""

    __slots__ = ("number", "text", "at_us", "is_error", "label")

    def __init__(self, number: int, text: str, at_us: int, is_error: bool, label: str = "") -> None:
        self.label = label  # of the process
        self.number = number
        self.text = text
        self.at_us = at_us  # microseconds since the epoch
        self.is_error = is_error

    def wire(self, structured: bool) -> str:
        """Return the line as the server wants it: JSON, or for older servers plain text."""
        at_us = min(max(0, self.at_us), _LAST_US)  # what is no time at all has to be some
        at = (_EPOCH + timedelta(microseconds=at_us)).isoformat(timespec="microseconds")
        if not structured:
            label = f"[{self.label}] " if self.label else ""
            return f"{'ERROR ' if self.is_error else ''}{at} {label}{self.text}"
        fields = {"level": "error"} if self.is_error else {}
        label_field = {"label": self.label} if self.label else {}
        return _encode({**fields, "ts": at, **label_field, "content": self.text})


class Console:
    """Both streams of a run, of each of its processes.

    Attributes:
        n_lines: Numbers given so far.
        changed: Lines that are new or different since `take_changed`, by number.
        on_final: Called with (source, line) for every line that will never change again; the numbers of one
            source grow.  A source is a process, by the id of its side log, and one of its streams.
    """

    __slots__ = ("n_lines", "changed", "on_final", "_screens")

    def __init__(self) -> None:
        self.n_lines = 0
        self.changed: Dict[int, Line] = {}
        self.on_final: Optional[Callable[[Source, Line], None]] = None
        self._screens: Dict[str, Tuple[_Screen, _Screen]] = {"": self._new_screens("", "")}

    def _new_screens(self, side_id: str, label: str) -> Tuple[_Screen, _Screen]:
        return _Screen(self, STDERR, side_id, label), _Screen(self, STDOUT, side_id, label)

    def write(self, stream: int, text: str, at_us: int, side_id: str = "", label: str = "") -> None:
        """Take a piece of output; `stream` is STDERR or STDOUT."""
        screens = self._screens.get(side_id)
        if screens is None:
            screens = self._screens[side_id] = self._new_screens(side_id, label)
        screens[stream == STDOUT].write(text, at_us, label)

    def write_line(self, text: str, at_us: int, label: str = "") -> None:
        """Take finished lines that are no terminal output; a line feed at the end ends the last one."""
        for part in text[: -1 if text.endswith("\n") else None].split("\n"):
            line = self.new_line("", at_us, False, label)
            line.text = part
            if self.on_final:
                self.on_final(("", FINISHED), line)

    def new_line(self, text: str, at_us: int, is_error: bool, label: str = "") -> Line:
        line = Line(self.n_lines, text, at_us, is_error, label)
        self.n_lines += 1
        self.changed[line.number] = line
        return line

    def take_changed(self) -> List[Line]:
        """Return the lines to be sent, by number, and forget that they were new."""
        lines = [self.changed[number] for number in sorted(self.changed)]
        self.changed = {}
        return lines

    def live_lines(self) -> List[Line]:
        """Return the lines that could still change, stderr's before stdout's."""
        return [line for screens in self._screens.values() for screen in screens for line in screen.lines]

    def state(self) -> Dict[str, Any]:
        """Return what `restore` takes; JSON.  Nothing may be waiting to be sent."""
        assert not self.changed, "lines would be lost"
        states = {side: [screen.state() for screen in both] for side, both in self._screens.items()}
        return {"n_lines": self.n_lines, "screens": states.pop(""), "sides": states}

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Console:
        console = cls()
        console.n_lines = state["n_lines"]
        for side_id, saved in {"": state["screens"], **state.get("sides", {})}.items():
            console._screens[side_id] = console._new_screens(side_id, "")
            for screen, its in zip(console._screens[side_id], saved):
                screen.restore(its)
        return console


class _Screen:
    """The terminal of one stream."""

    __slots__ = ("_console", "_stream", "_side_id", "_label", "lines", "_row", "_column", "_unfinished")

    def __init__(self, console: Console, stream: int, side_id: str, label: str) -> None:
        self._console = console
        self._stream = stream
        self._side_id = side_id
        self._label = label
        self.lines: List[Line] = []
        self._row = 0  # of the cursor; len(lines) or more while its line has no character yet
        self._column = 0
        self._unfinished = ""

    def write(self, text: str, at_us: int, label: str) -> None:
        self._label = label
        text = self._unfinished + text
        self._unfinished = ""
        cut = _UNFINISHED.search(text)
        if cut:
            self._unfinished = cut.group()
            text = text[: cut.start()]
        for number, part in enumerate(_CONTROL.split(text)):
            if number % 2 == 0:  # what stands between the controls
                self._text(part, at_us)
            elif part == "\n":
                self._row += 1
                self._column = 0
            elif part == "\r":
                self._column = 0
            elif part == "\b":
                self._column = max(0, self._column - 1)
            else:
                self._control(part[-1], part[2:-1])

    def _control(self, kind: str, argument: str) -> None:
        if kind == "A":
            self._row = max(0, self._row - int(argument or 1))
        elif kind == "B":
            self._row = max(self._row, min(len(self.lines), self._row + int(argument or 1)))
        elif self._row < len(self.lines):
            line = self.lines[self._row]
            erased = {"1": " " * self._column + line.text[self._column :], "2": ""}
            line.text = erased.get(argument, line.text[: self._column])
            self._console.changed[line.number] = line

    def _text(self, text: str, at_us: int) -> None:
        while text:
            room = MAX_LINE_CHARS - self._column
            if room <= 0:
                self._row += 1
                self._column = 0
                continue
            piece, text = text[:room], text[room:]
            line = self._line(at_us)
            before = line.text
            column = self._column
            if column == len(before):
                line.text = before + piece
            else:
                line.text = before[:column].ljust(column) + piece + before[column + len(piece) :]
            self._column = column + len(piece)
            self._console.changed[line.number] = line

    def _line(self, at_us: int) -> Line:
        """Return the line under the cursor; it and empty ones above it come into being now."""
        while self._row >= len(self.lines):
            self.lines.append(self._console.new_line("", at_us, self._stream == STDERR, self._label))
        if len(self.lines) > LIVE_LINES:
            n_gone = len(self.lines) - LIVE_LINES
            if self._console.on_final:
                for line in self.lines[:n_gone]:
                    self._console.on_final((self._side_id, self._stream), line)
            del self.lines[:n_gone]
            self._row -= n_gone
        return self.lines[self._row]

    def state(self) -> Dict[str, Any]:
        lines = [[line.number, line.text, line.at_us] for line in self.lines]
        place = {"row": self._row, "column": self._column, "unfinished": self._unfinished}
        return {"lines": lines, **place, "label": self._label}

    def restore(self, saved: Mapping[str, Any]) -> None:
        is_error = self._stream == STDERR
        self._label = saved.get("label", "")
        self.lines = [
            Line(number, text, at_us, is_error, self._label) for number, text, at_us in saved["lines"]
        ]
        self._row, self._column, self._unfinished = saved["row"], saved["column"], saved["unfinished"]


def runs_of_lines(lines: Sequence[Line]) -> List[List[Line]]:
    """Return the lines cut wherever a number is missing."""
    runs: List[List[Line]] = []
    for line in lines:
        if runs and runs[-1][-1].number + 1 == line.number:
            runs[-1].append(line)
        else:
            runs.append([line])
    return runs
