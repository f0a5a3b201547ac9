"""Records arrive whole and in order, also when one is made in the middle of another one's writing."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from wandb.backend.log import LogBackend
from wandb.backend.memory import MemoryBackend
from wandb.errors import LogWriteError
from wandb.interface.records import numbered, output_line
from wandb.transaction_log.reader import read_records


class Reentered(MemoryBackend):
    """Makes another record while it writes one, as a signal handler or a finaliser would."""

    def __init__(self) -> None:
        super().__init__()
        self.left = 3

    def _write(self, payload: bytes) -> None:
        if self.left:
            self.left -= 1
            self.append(output_line(f"inside {self.left}"))
        super()._write(payload)


def test_a_record_made_while_another_is_written_follows_it() -> None:
    backend = Reentered()
    backend.append(output_line("first"))
    texts = ["first", "inside 2", "inside 1", "inside 0"]
    assert backend.records == [numbered(i + 1, output_line(text)) for i, text in enumerate(texts)]


def test_a_record_that_fails_does_not_block_the_next() -> None:
    class Failing(MemoryBackend):
        def _write(self, payload: bytes) -> None:
            if b"bad" in payload:
                raise OSError("disk full")
            super()._write(payload)

    backend = Failing()
    with pytest.raises(OSError):
        backend.append(output_line("bad"))
    backend.append(output_line("good"))
    assert backend.records == [numbered(2, output_line("good"))]


def test_a_handler_that_takes_over_writes_what_waited_and_goes_on(tmp_path: Path) -> None:
    """The handler of a signal breaks into `append` and never returns to it, as at the end of a process."""
    path = tmp_path / "run-x.wandb"
    backend = LogBackend(os.fspath(path))
    write = backend._write
    told = []

    class Ended(BaseException):
        pass

    def handler(signum, frame):
        told.append(backend.is_held_by_caller())
        backend.append(output_line("waits"))
        backend.take_over()
        backend.append(output_line("last"))
        raise Ended

    def interrupted(payload: bytes) -> int:
        end = write(payload)
        backend._write = write
        os.kill(os.getpid(), signal.SIGUSR2)
        return end

    before = signal.signal(signal.SIGUSR2, handler)
    try:
        backend._write = interrupted
        with pytest.raises(Ended):
            backend.append(output_line("broken into"))
    finally:
        signal.signal(signal.SIGUSR2, before)
    backend.close()
    texts = ["broken into", "waits", "last"]
    assert [r.payload for r in read_records(path)] == [
        numbered(i + 1, output_line(text)) for i, text in enumerate(texts)
    ]
    assert told == [True] and not backend.is_held_by_caller()


def test_a_log_that_exists_is_never_replaced(tmp_path: Path) -> None:
    path = os.fspath(tmp_path / "run-x.wandb")
    backend = LogBackend(path)
    with pytest.raises(LogWriteError, match="exists"):
        LogBackend(path)
    backend.close()
    backend.close()
