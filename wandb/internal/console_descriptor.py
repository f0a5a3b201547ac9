"""File descriptors 1 and 2, led through a pipe: hears child processes and C code too.

    program --> fd 1 --> pipe (a pseudo terminal, if the original is a terminal) --> thread --> original
                                                                                       `--> listeners

Rule 1: what arrives goes to the original first, byte for byte, then to the listeners.
Rule 2: a listener's end is marked in the stream itself, by a token: what was written before it is heard.
Rule 3: the thread goes on relaying, unheard, while a child process still writes into the pipe after the end.
Rule 4: nothing here blocks for ever: stop() waits `DRAIN_S` at most.
Rule 5: our own texts go to the original, past the pipe, and wait `ORDER_S` at most for what came before them:
        who prints them may hold a run's lock, which the thread may be waiting for.

Prices, which are why `wrap` is the default: what is in the pipe when the process is killed never reaches the
terminal; C code that writes more than the pipe holds without releasing the GIL blocks for ever; a terminal
that is resized does not tell the program.
"""

from __future__ import annotations

import atexit
import os
import sys
from _thread import allocate_lock
from time import monotonic, sleep
from typing import Any, Callable, Tuple

from wandb import term
from wandb.internal import threads

DRAIN_S = 5.0  # a terminal stopped by Ctrl-S takes nothing; finish() must not wait for it
ORDER_S = 0.02  # an idle thread needs a thousandth of it to relay a line
READ_BYTES = 65536
PIPE_BYTES = 1 << 20  # the most that Linux lets anyone ask for: room for a burst while the GIL is held


class DescriptorTap:
    """One redirected file descriptor, and who listens to it.

    Args:
        number: 1 or 2.
        name: What listeners are told: "stdout" or "stderr".

    Raises:
        OSError: No descriptor to be had; nothing is redirected.
    """

    def __init__(self, number: int, name: str) -> None:
        self.number = number
        self.name = name
        self.open = True
        self.listeners: Tuple[Callable[[str, Any], None], ...] = ()
        self._decode = _decoder()
        self._token = b"\0end of console " + os.urandom(16) + b"\0"
        self._drained = allocate_lock()
        self._drained.acquire()
        _flush(name)
        self._original = os.dup(number)
        try:
            self._read_end, self._write_end = _channel(self._original)
            os.dup2(self._write_end, number)
        except OSError:
            os.close(self._original)
            raise
        self._identity = _identity(number)
        if not threads.start(self._relay):
            os.dup2(self._original, number)
            raise OSError("no thread can be started")
        term.redirected[number] = self._write_own
        atexit.register(self.close)  # else the pipe's content would die with the process

    def add(self, hear: Callable[[str, Any], None]) -> bool:
        if hear in self.listeners:
            return False
        self.listeners += (hear,)
        return True

    def remove(self, hear: Callable[[str, Any], None]) -> None:
        """Stop telling `hear`, which has heard what was written before; the last one closes the tap."""
        if self.listeners == (hear,):
            self.close()
        else:
            _flush(self.name)
            self._drain()
        self.listeners = tuple(other for other in self.listeners if other != hear)

    def close(self) -> None:
        """Give the descriptor back; what was written before has been heard and relayed."""
        if not self.open:
            return
        self.open = False
        term.redirected.pop(self.number, None)
        atexit.unregister(self.close)
        _flush(self.name)
        if _identity(self.number) == self._identity:  # else somebody redirected it since: it is theirs
            os.dup2(self._original, self.number)
        self._drain()
        os.close(self._write_end)

    def _drain(self) -> None:
        if _writable(self._write_end):
            os.write(self._write_end, self._token)
            self._drained.acquire(timeout=DRAIN_S)

    def forget(self) -> None:
        """In a forked child: the pipe leads to the parent, which relays what the child prints."""
        self.open = False
        term.redirected.pop(self.number, None)
        self.listeners = ()
        atexit.unregister(self.close)

    def _relay(self) -> None:
        tail = b""  # perhaps the beginning of a token
        while True:
            try:
                data = os.read(self._read_end, READ_BYTES)
            except OSError:  # EIO: a pseudo terminal that nobody has open any more
                data = b""
            if not data:
                break
            *before, data = (tail + data).split(self._token)
            for part in before:
                self._pass_on(part)
                if self._drained.locked():  # else the one who waited has given up
                    self._drained.release()
            n_tail = _n_begun(data, self._token)
            tail = data[len(data) - n_tail :]
            self._pass_on(data[: len(data) - n_tail])
        self._pass_on(tail)
        os.close(self._read_end)
        os.close(self._original)

    def _pass_on(self, data: bytes) -> None:
        self._write_on(data)
        text = self._decode(data)
        if text:
            for hear in self.listeners:
                hear(self.name, text)

    def _write_own(self, data: bytes) -> None:
        deadline = monotonic() + ORDER_S
        sleep(0.001)
        while _has_data(self._read_end) and monotonic() < deadline:
            sleep(0.001)
        self._write_on(data)

    def _write_on(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._original, rest) :]
            except OSError:  # the terminal is gone; the listeners still hear
                break


def _channel(original: int) -> Tuple[int, int]:
    """Return a read end and a write end; programs see a terminal in the latter if `original` is one."""
    if os.isatty(original):
        import fcntl
        import termios

        master, slave = os.openpty()
        modes = termios.tcgetattr(slave)
        modes[1] &= ~termios.OPOST  # the original turns "\n" into "\r\n"; once is enough
        termios.tcsetattr(slave, termios.TCSANOW, modes)
        size = fcntl.ioctl(original, termios.TIOCGWINSZ, b"\0" * 8)
        fcntl.ioctl(slave, termios.TIOCSWINSZ, size)
        return master, slave
    read_end, write_end = os.pipe()
    if sys.platform == "linux":
        import fcntl

        try:
            fcntl.fcntl(write_end, 1031, PIPE_BYTES)  # F_SETPIPE_SZ, which fcntl names from Python 3.10 on
        except OSError:  # beyond the user's limit: the default size works too
            pass
    return read_end, write_end


def _decoder() -> Any:
    import codecs

    return codecs.getincrementaldecoder("utf-8")("replace").decode


def _identity(number: int) -> Tuple[int, int, int]:
    try:
        status = os.fstat(number)
    except OSError:
        return (-1, -1, -1)
    return (status.st_dev, status.st_ino, status.st_rdev)


def _writable(number: int) -> bool:
    """Wait until a few bytes may be written at once; False if that takes too long or nobody reads."""
    import select

    poll = select.poll()
    poll.register(number, select.POLLOUT)
    return any(not events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(DRAIN_S * 1000))


def _has_data(number: int) -> bool:
    import select

    poll = select.poll()
    poll.register(number, select.POLLIN)
    return bool(poll.poll(0))


def _n_begun(data: bytes, token: bytes) -> int:
    """Return how many of the last bytes of `data` may be the beginning of `token`."""
    for n in range(min(len(token) - 1, len(data)), 0, -1):
        if data.endswith(token[:n]):
            return n
    return 0


def _flush(name: str) -> None:
    """Write out what Python and C have buffered for the stream."""
    try:
        getattr(sys, name).flush()
    except Exception:  # closed, or None
        pass
    try:
        import ctypes

        ctypes.CDLL(None).fflush(None)
    except Exception:  # no ctypes, no C library to be had: then C's buffer goes out later
        return
