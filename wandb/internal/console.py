"""What the program prints, told to whoever records it.

    mode                            what is seen
    wrap (auto, wrap_raw, wrap_emu) what Python code writes to sys.stdout and sys.stderr
    redirect                        what anyone writes to descriptors 1 and 2: child processes and C code too
    off                             nothing

`wrap` patches `write` on the stream object itself, because logging handlers, tqdm and others keep a
reference to the object.  `redirect` is in console_descriptor.py.  Terminal control codes are passed on as
they are; redraws of one line are merged (console_rewrites.py), everything else comes piece by piece.

Rule 1: print() behaves as without us: same value, same exceptions, the text reaches the terminal first.
Rule 2: the callback is called without a lock of ours held, in the thread that printed, and may be called by
        several threads at once, or again by a signal handler or a finalizer in the midst of anything.
Rule 3: what the callback itself prints is not told to it.  What it raises is swallowed, except for a
        KeyboardInterrupt and its like.
Rule 4: a forked child prints to the same terminal and tells nobody.
"""

from __future__ import annotations

import os
import sys
from _thread import RLock, get_ident
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Set, Tuple, Union

from wandb.errors import UsageError
from wandb.term import BYPASS

if TYPE_CHECKING:
    from wandb.internal.console_rewrites import Rewrites

STREAMS = ("stdout", "stderr")
MODES = ("auto", "wrap", "wrap_raw", "wrap_emu", "redirect", "off")


class ConsoleCapture:
    """Tells `on_output(stream_name, text)` what is printed between start() and stop().

    Several may be at work at once, each with its own callback.

    Args:
        on_output: Called with "stdout" or "stderr" and the text, as written.  See the Rules of this module.
        mode: One of MODES.

    Raises:
        UsageError: There is no such mode.
    """

    def __init__(self, on_output: Callable[[str, str], None], mode: str = "auto") -> None:
        if mode not in MODES:
            raise UsageError(f"console mode {mode!r} is unknown", hint="one of " + ", ".join(MODES))
        self._on_output = on_output
        self._mode = mode
        self._active = False
        self._taps: List[Any] = []
        self._lock = RLock()
        self._rewrites: Dict[str, Rewrites] = {}  # of the streams that ever redrew a line
        self._busy: Set[int] = set()  # idents of threads inside the callback

    def start(self) -> None:
        """Begin to listen.  A stream that cannot be captured is left out; a second start does nothing."""
        if self._active or self._mode == "off":
            return
        self._active = True
        for name in STREAMS:
            self._tap(name)
        _follow_notebook(self.refresh, True)
        _watch_forks()
        _captures.append(self)

    def refresh(self, *_: object) -> None:
        """Listen to the present sys.stdout and sys.stderr too, if they were exchanged since start()."""
        if self._active and self._mode != "redirect":
            for name in STREAMS:
                self._tap(name)

    def flush(self) -> None:
        """Tell what is held of lines that are being redrawn."""
        for name, rewrites in list(self._rewrites.items()):
            with self._lock:
                text = rewrites.flush()
            self._tell(name, text)

    def stop(self) -> None:
        """Stop listening and restore the streams; everything written before was told when this returns."""
        if not self._active:
            return
        for tap in self._taps:
            tap.remove(self.hear)
        self.flush()
        self._release()
        _follow_notebook(self.refresh, False)

    def hear(self, name: str, data: Union[str, bytes]) -> None:
        """Take what was written to the stream `name`; the taps call this."""
        if not self._active:
            return
        text = data.decode("utf-8", "replace") if isinstance(data, (bytes, bytearray)) else str(data)
        rewrites = self._rewrites.get(name)
        if (rewrites is not None and rewrites.held) or "\r" in text:
            try:
                with self._lock:
                    text = self._rewrites_of(name).feed(text)
            except Exception:  # nothing can be imported while the interpreter shuts down: tell it unmerged
                pass
        self._tell(name, text)

    def _tell(self, name: str, text: str) -> None:
        ident = get_ident()
        if not text or ident in self._busy:
            return
        self._busy.add(ident)
        try:
            self._on_output(name, text)
        except Exception:  # Rule 3; the callback knows its own troubles better than we do
            return
        finally:
            self._busy.discard(ident)

    def _rewrites_of(self, name: str) -> Rewrites:
        if name not in self._rewrites:
            from wandb.internal.console_rewrites import Rewrites  # most programs have no progress bar

            self._rewrites[name] = Rewrites()
        return self._rewrites[name]

    def _tap(self, name: str) -> None:
        try:
            tap = _descriptor_tap(name) if self._mode == "redirect" else None
            tap = tap or _stream_tap(name)
        except Exception:  # no stream, or one that lets nobody in: Rule 1
            return
        if isinstance(tap, StreamTap) and _is_notebook():
            tap.renew()
        if tap not in self._taps and tap.add(self.hear):
            self._taps.append(tap)

    def _release(self) -> None:
        self._active = False
        self._taps = []
        if self in _captures:
            _captures.remove(self)

    def forget(self) -> None:
        """In a forked child: nothing was heard and nothing is to be told (Rule 4)."""
        self._lock = RLock()  # another thread of the parent may have held the old one
        self._rewrites = {}
        self._release()


class StreamTap:
    """The patched `write` of one stream object, and who listens to it."""

    def __init__(self, stream: Any, name: str) -> None:
        self.stream = stream
        self.name = name
        self.listeners: Tuple[Callable[[str, Any], None], ...] = ()
        self._below = stream.write
        self._replaced: Optional[_Stream] = None
        self._writing: Set[int] = set()  # threads
        self._write = self._wrapped(self._below)
        try:
            stream.write = self._write
        except (AttributeError, TypeError):  # no __dict__: stand in for the whole object
            self._replaced = _Stream(stream, self._write)
            setattr(sys, name, self._replaced)

    def _wrapped(self, below: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def write(data: Any) -> Any:
            ident = get_ident()
            if ident in self._writing:  # an older wrap of ours, under somebody else's: it is heard above
                return below(data)
            self._writing.add(ident)
            try:
                written = below(data)
            finally:
                self._writing.discard(ident)
            for hear in self.listeners:
                hear(self.name, data)
            return written

        setattr(write, BYPASS, below)
        return write

    def renew(self) -> None:
        """Wrap the stream again if it has lost our wrap: IPython sets `write` back behind each cell."""
        if self._replaced is None and vars(self.stream).get("write") is not self._write:
            self._below = self.stream.write
            self._write = self._wrapped(self._below)
            self.stream.write = self._write

    def is_on(self, stream: Any) -> bool:
        return stream is self.stream or (self._replaced is not None and stream is self._replaced)

    def add(self, hear: Callable[[str, Any], None]) -> bool:
        if hear in self.listeners:  # sys.stdout and sys.stderr are one object
            return False
        self.listeners += (hear,)
        return True

    def remove(self, hear: Callable[[str, Any], None]) -> None:
        self.listeners = tuple(other for other in self.listeners if other != hear)
        if not self.listeners:
            self._restore()

    def _restore(self) -> None:
        # Somebody may have wrapped our wrap; then it stays, as a mere pass-through, for the next run to use.
        if self._replaced is not None:
            if getattr(sys, self.name) is not self._replaced:
                return
            setattr(sys, self.name, self.stream)
        elif vars(self.stream).get("write") is self._write:
            del self.stream.write
            if self.stream.write != self._below:  # it was patched by somebody before us
                self.stream.write = self._below
        else:
            return
        _stream_taps.remove(self)


class _Stream:
    """Stands in for a stream object that does not let its `write` be patched."""

    def __init__(self, stream: Any, write: Callable[[Any], Any]) -> None:
        self.write = write
        self._stream = stream

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


_captures: List[ConsoleCapture] = []
_stream_taps: List[StreamTap] = []
_descriptor_taps: Dict[str, Any] = {}
_forks_watched: List[int] = []


def _stream_tap(name: str) -> StreamTap:
    stream = getattr(sys, name)
    for tap in _stream_taps:
        if tap.is_on(stream):
            return tap
    tap = StreamTap(stream, name)
    _stream_taps.append(tap)
    return tap


def _descriptor_tap(name: str) -> Any:
    """Return the tap on file descriptor 1 or 2; None if Python's own stream does not write there."""
    from wandb.internal.console_descriptor import DescriptorTap

    number = STREAMS.index(name) + 1
    tap = _descriptor_taps.get(name)
    if tap is None or not tap.open:
        try:
            if getattr(sys, name).fileno() != number:
                return None
        except Exception:  # a notebook's stream has no descriptor
            return None
        tap = _descriptor_taps[name] = DescriptorTap(number, name)
    return tap


def _is_notebook() -> bool:
    return "ipykernel" in sys.modules


def _follow_notebook(refresh: Callable[[], None], follow: bool) -> None:
    """Look at the streams again before each cell: notebooks exchange them."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None and hasattr(ipython, "get_ipython") else None
    if shell is not None:
        try:
            (shell.events.register if follow else shell.events.unregister)("pre_run_cell", refresh)
        except Exception:  # an IPython that works otherwise: what there was at start() is heard
            return


def _watch_forks() -> None:
    if not _forks_watched and hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_forget_all)
        _forks_watched.append(os.getpid())


def _forget_all() -> None:
    for capture in list(_captures):
        capture.forget()
    for tap in list(_stream_taps):
        tap.listeners = ()
        tap._restore()
    for other in _descriptor_taps.values():
        other.forget()
    _descriptor_taps.clear()
