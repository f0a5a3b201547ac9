"""Progress bars redraw their line a thousand times a second; the log needs it a few times.  No I/O here.

What a program writes while its cursor stays in one line that began with a carriage return is held back and
merged: of `\\r10%`, `\\r11%`, `\\r12%` only the last is passed on, at most every `INTERVAL_S`.

Rule 1: whoever prints the pieces that come out sees the same screen as whoever prints those that went in, at
        every moment when nothing is held.
Rule 2: nothing is held past a newline or any control code that is not understood here, nor past `flush()`.
        What is held when a process is killed is lost: the last quarter second of a line still being redrawn.
Rule 3: text without a carriage return passes untouched.

A character counts as one column, as in the terminal emulation that reads the log.
"""

from __future__ import annotations

from time import monotonic
from typing import Callable, NamedTuple, Optional

INTERVAL_S = 0.25  # as often as a person can read; a tqdm bar at its default draws ten times a second
MAX_HELD_CHARS = 4096  # as long as a line of the server's console can be

_ESCAPE = "\x1b["
_RESET = "\x1b[0m"  # colours off
_ERASE = "\x1b[K"  # the rest of the line, from the cursor on


class Rewrites:
    """What is held of one stream.

    Attributes:
        held: Whether a line is held; `feed()` has to be called then, whatever the text.
    """

    __slots__ = ("held", "_clock", "_passed_at_s", "_line", "_column", "_drawn")

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self.held = False
        self._clock = clock
        self._passed_at_s = float("-inf")
        # The held line is either plain cells, so that a shorter text can be laid over a longer one ...
        self._line = ""
        self._column = 0
        # ... or, where colours are in it, the text as written.
        self._drawn: Optional[_Drawn] = None

    def feed(self, text: str) -> str:
        """Take what the program wrote; return what is to be passed on now, perhaps nothing."""
        if not self.held:
            if "\r" not in text or "\n" in text:
                return text
            before, _, text = text.partition("\r")
            before = before.rstrip(
                "\b"
            )  # keras: go back over the old bar, then to the start of the line anyway
            self.held = True
            return before + self._hold("\r" + text)
        if "\n" in text:
            return self.flush() + text
        return self._hold(text)

    def flush(self) -> str:
        """Return what is held, and hold nothing."""
        if not self.held:
            return ""
        if self._drawn is not None:
            text = "\r" + self._drawn.text
        else:
            text = "\r" + self._line
            if self._column < len(self._line):
                text += "\r" + self._line[: self._column]
        self.held = False
        self._line, self._column, self._drawn = "", 0, None
        return text

    def _hold(self, text: str) -> str:
        at_cursor, *from_start = text.split("\r")
        if from_start:
            at_cursor = at_cursor.rstrip("\b")
        for n, piece in enumerate([at_cursor, *from_start]):
            drawn = _measure(piece)
            if drawn is None:  # Rule 2
                rest = ("\r" if n else "") + "\r".join([at_cursor, *from_start][n:])
                return self.flush() + rest
            self._draw(drawn, from_start=n > 0)
        n_held = len(self._line) if self._drawn is None else len(self._drawn.text)
        now_s = self._clock()
        if now_s - self._passed_at_s < INTERVAL_S and n_held <= MAX_HELD_CHARS:
            return ""
        self._passed_at_s = now_s
        return self.flush()

    def _draw(self, new: _Drawn, from_start: bool) -> None:
        old = self._drawn
        if old is None and not (new.colors or new.erases):
            start = 0 if from_start else self._column
            self._column = start + len(new.text)
            self._line = self._line[:start] + new.text + self._line[self._column :]
            return
        if old is None:
            if not from_start or self._column < len(self._line):
                old = _plain(self._line + "\r" + self._line[: self._column])._replace(
                    n_columns=len(self._line)
                )
            else:
                old = _plain(self._line)
        if from_start and not old.colored and (new.erases or new.n_columns >= old.n_columns):
            # The old line is gone from the screen; what it did to anything else has to stay done.
            kept = (_RESET if old.colors else "") + (_ERASE if old.erases and not new.erases else "")
            self._drawn = new._replace(
                text=kept + new.text, colors=old.colors or new.colors, erases=old.erases or new.erases
            )
            self._column = new.n_columns
            return
        self._column = new.n_columns + (0 if from_start else self._column)
        self._drawn = _Drawn(
            text=old.text + ("\r" if from_start else "") + new.text,
            n_columns=max(old.n_columns, self._column),
            colored=new.colored if new.colors else old.colored,
            colors=old.colors or new.colors,
            erases=old.erases or new.erases,
        )


class _Drawn(NamedTuple):
    text: str
    n_columns: int  # how far to the right it reaches
    colored: bool  # a colour is still switched on at its end
    colors: bool  # it switches colours on or off
    erases: bool  # it erases what it does not cover


def _plain(text: str) -> _Drawn:
    return _Drawn(text, len(text), False, False, False)


def _measure(text: str) -> Optional[_Drawn]:
    """Return how `text` draws; None if it holds control codes other than colours and "erase line"."""
    visible, *escapes = text.split(_ESCAPE)
    if not visible.isprintable():
        return None
    n_columns, colored, colors, erases = len(visible), False, False, False
    for escape in escapes:
        rest = escape.lstrip("0123456789;")
        if rest[:1] == "m":
            colors = True
            colored = escape[: len(escape) - len(rest)].strip("0;") != ""
        elif rest[:1] == "K":
            erases = True
        else:
            return None
        if not rest[1:].isprintable():
            return None
        n_columns += len(rest) - 1
    return _Drawn(text, n_columns, colored, colors, erases)
