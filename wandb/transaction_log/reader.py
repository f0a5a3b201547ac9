"""A log file -> records, also while somebody writes it.  Spec: schema/log/FORMAT.md.

Rule 1: nothing here writes; the file is opened "rb".
Rule 2: memory does not depend on the length of the log.
Rule 3: the tail is read again on each call: it may have been torn, cut off and written anew by then, or have
        been a hole that a network file system has filled since.
"""

from __future__ import annotations

import os
from types import TracebackType
from typing import Iterator, Optional, Type

from wandb.errors import BadFileHeader, LogError
from wandb.transaction_log.parser import Event, Lost, Parser, Record

PIECE_BYTES = 256 * 1024  # measured: larger pieces leave the CPU cache and are slower


class Reader:
    """Reads one log from `offset` on; a context manager.

    Not safe for threads.  Several readers of one file do not disturb each other, nor a writer.

    Attributes:
        path: The file.
        at_end: True when everything that was there has been read; False while `events()` is under way.
        tail_bytes: How many bytes of the file, when it was last read to its end, followed the last event: an
            unfinished record, or damage that `events()` holds back (see `loss_at_end`).
    """

    __slots__ = ("path", "at_end", "tail_bytes", "_file", "_parser")

    def __init__(self, path: str | os.PathLike[str], offset: int = 0) -> None:
        """Open the log at `path`, to read from `offset` bytes on: 0, or the `end` of an event.

        Raises:
            LogError: the file cannot be opened.
        """
        self.path = os.fspath(path)
        self.at_end = False
        self.tail_bytes = 0
        self._parser = Parser(offset)
        try:
            self._file = open(self.path, "rb", buffering=0)
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
        self._parser = parser = Parser(self.position)
        try:
            n_bytes = os.fstat(self._file.fileno()).st_size
            if n_bytes < self.position:
                raise LogError(
                    f"{self.path}: ends at byte {n_bytes}, and was read up to {self.position} before",
                    hint="somebody cut or replaced the file",
                )
            self._file.seek(self.position)
            n_bytes = self.position
            while True:
                piece = self._file.read(PIECE_BYTES)
                if not piece:
                    break
                n_bytes += len(piece)
                parser.feed(piece)
                yield from parser.events()
        except BadFileHeader as error:
            raise BadFileHeader(f"{self.path}: {error.message}", hint=error.hint) from None
        except OSError as error:
            raise LogError(f"{self.path}: cannot be read at byte {n_bytes}: {error.strerror}") from error
        self.tail_bytes = n_bytes - parser.position
        self.at_end = True

    def loss_at_end(self) -> Optional[Lost]:
        """Say, once `at_end`, whether the tail is damaged if nothing more will be written; None if it is
        merely torn.

        `events()` holds damage in the last block back, because the end of a file that grows may look damaged
        for a moment.  Ask this before you call a finished log sound.
        """
        return self._parser.loss_at_end()


def read_records(path: str | os.PathLike[str]) -> Iterator[Record]:
    """Yield the whole records of a log and pass over everything else.  Raises as `Reader` does.

    For who wants the data and no verdict; `verify` gives that.
    """
    with Reader(path) as reader:
        for event in reader.events():
            if isinstance(event, Record):
                yield event
