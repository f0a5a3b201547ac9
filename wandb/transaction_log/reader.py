"""A log, plain or compressed -> records, also while somebody writes it.  Spec: schema/log/FORMAT.md.

Rule 1: nothing here writes; the file is opened "rb".
Rule 2: memory does not depend on the length of the log.
Rule 3: the tail is read again on each call: it may have been torn, cut off and written anew by then, or have
        been a hole that a network file system has filled since.
Rule 4: that may also happen between two reads of one call, or within one, and then what was read is half of
        one state of the file and half of another.  So no loss is told, and no record joined, that the file
        does not confirm.  A record in one chunk needs no such question: its checksum has answered it.
"""

from __future__ import annotations

import os
from types import TracebackType
from typing import Iterator, Optional, Type

from wandb.errors import BadFileHeader, LogError
from wandb.transaction_log.format import BLOCK_BYTES
from wandb.transaction_log.log_file import BrieflyOpened, open_log
from wandb.transaction_log.parser import NEED_DATA, Event, Lost, Parser, Record

PIECE_BYTES = 256 * 1024  # measured: larger pieces leave the CPU cache and are slower


class Reader:
    """Reads one log from `offset` on; a context manager.

    Not safe for threads.  Several readers of one file do not disturb each other, nor a writer.  Offsets are
    those of the plain log, also where it is compressed now.

    Attributes:
        path: The log.
        at_end: True when everything that was there has been read; False while `events()` is under way.
        tail_bytes: How many bytes of the file, when it was last read to its end, followed the last event: an
            unfinished record, or damage that `events()` holds back (see `loss_at_end`).
    """

    __slots__ = ("path", "at_end", "tail_bytes", "_file", "_parser", "_seen")

    def __init__(self, path: str | os.PathLike[str], offset: int = 0, *, keeps_open: bool = True) -> None:
        """Open the log at `path`, to read from `offset` bytes on: 0, or the `end` of an event.

        Args:
            keeps_open: Whether the file stays open; else it is opened for each piece that is read, for runs
                with more side logs than a process may have files.

        Raises:
            LogError: the file cannot be opened.
            PackageMissing: the file is compressed, and zstandard is not installed.
            BadFileHeader: the file is compressed, and not by us.
        """
        self.path = os.fspath(path)
        self.at_end = False
        self.tail_bytes = 0
        self._parser = Parser(offset)
        self._seen = (0, 0)  # the file when `_parser` began: its size in bytes, and when it was changed
        try:
            self._file = open_log(path) if keeps_open else BrieflyOpened(self.path)
        except OSError as error:
            raise LogError(f"{self.path}: cannot be read: {error.strerror}") from error

    def __enter__(self) -> "Reader":
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.close()

    @property
    def position(self) -> int:
        """The end of the last event that was handed out: where the next one is looked for."""
        return self._parser.position

    def close(self) -> None:
        """Close the file; twice does no harm."""
        self._file.close()

    def events(self) -> Iterator[Event]:
        """Yield the records and losses from `position` to what is now the end of the file.

        Call it again for what was written since.  A record comes out once it is whole.

        Raises:
            BadFileHeader: the file is not a log.
            LogError: reading failed, or the file is shorter than `position`.  The events before that stay
                valid.
        """
        self.at_end = False
        n_bytes = self.position
        try:
            self._begin_at_position()
            while True:
                piece = self._file.read_at(n_bytes, PIECE_BYTES)
                n_bytes += len(piece)
                self._parser.feed(piece)
                for event in self._parser.events():
                    if type(event) is not Record and not self._is_certain(event):
                        break
                    yield event
                else:
                    if piece and n_bytes < self._seen[0]:
                        continue
                    if n_bytes == self.position or not self._has_changed() or not self.loss_at_end():
                        break
                n_bytes = self.position
                self._begin_at_position()
        except BadFileHeader as error:
            raise BadFileHeader(f"{self.path}: {error.message}", hint=error.hint) from None
        except OSError as error:
            raise LogError(f"{self.path}: cannot be read at byte {n_bytes}: {error.strerror}") from error
        self.tail_bytes = n_bytes - self.position
        self.at_end = True

    def loss_at_end(self) -> Optional[Lost]:
        """Say, once `at_end`, whether the tail is damaged if nothing more will be written; None if it is
        merely torn.

        `events()` holds damage in the last block back, because the end of a file that grows may look damaged
        for a moment.  Ask this before you call a finished log sound.
        """
        return self._parser.loss_at_end()

    def _begin_at_position(self) -> None:
        """Forget what was read behind `position`."""
        self._seen = self._file.stamp()
        if self._seen[0] < self.position:
            raise LogError(
                f"{self.path}: ends at byte {self._seen[0]}, and was read up to {self.position} before",
                hint="somebody cut or replaced the file",
            )
        self._parser = Parser(self.position)

    def _has_changed(self) -> bool:
        return self._file.stamp() != self._seen

    def _is_certain(self, event: Event) -> bool:
        """Whether the file still has this loss or joined record (Rule 4).  If not, `position` is before it.

        A joined record is certain if nobody has written since: a second look at each would make reading a
        finished log slower.  Giving data up deserves the second look in any case.
        """
        if isinstance(event, Record) and not self._has_changed():
            return True
        parser, self._parser = self._parser, Parser(self._parser.came_from)
        at = self.position
        while True:
            piece = self._file.read_at(at, BLOCK_BYTES)
            at += len(piece)
            self._parser.feed(piece)
            found = self._parser.next_event()
            if found == event:
                self._parser = parser
                return True
            if found is not NEED_DATA or not piece:
                self._parser = Parser(parser.came_from)
                return False


def read_records(path: str | os.PathLike[str]) -> Iterator[Record]:
    """Yield the whole records of a log and pass over everything else.  Raises as `Reader` does.

    For who wants the data and no verdict; `verify` gives that.
    """
    with Reader(path) as reader:
        for event in reader.events():
            if isinstance(event, Record):
                yield event
