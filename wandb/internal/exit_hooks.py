"""How the process ends, told once to everyone who has a run open.

    way to end                          exit code told        seen through
    end of the script                   0                     atexit
    sys.exit(n), exit(n), quit(n)       n                     sys.exit and site's Quitter, wrapped
    sys.exit(None), sys.exit("text")    0, 1                  the same
    exception that nobody caught        1                     sys.excepthook, chained
    KeyboardInterrupt, not caught       255                   the same (the process itself dies of SIGINT)
    SIGTERM, if nobody handles it       143                   a handler that then lets the process die of it
    SIGUSR1, the same, in a job         138                   the same: Slurm's --signal=USR1@60

Not seen: os._exit, SIGKILL, a crash of the interpreter (the log ends without an exit record, which is the
truth), and the code of a `raise SystemExit(n)` that is written out by hand: CPython shows it to nobody.
An exception in a thread or in a notebook's cell does not end the process and is not told.

Rule 1: the process ends exactly as it would without us: same status, same signal, same output.
Rule 2: there is one set of wraps per process however many runs there are; the last one to leave takes away
        what is still on top, and what others have wrapped since becomes a mere pass-through.
Rule 3: a forked child is not the process that we watch: it begins with no listeners and no handler.
Rule 4: a SystemExit that somebody caught is no exit.  The exception carries a mark that notices when it dies
        while Python code is still running underneath.
"""

from __future__ import annotations

import atexit
import os
import sys
from _thread import get_ident
from types import FrameType, TracebackType
from typing import Any, Callable, List, Optional, Sequence, Type

try:
    # The C module below `signal`, without turning every constant into an enum (a millisecond).
    import _signal  # type: ignore[import-not-found,unused-ignore]
except ImportError:  # an interpreter that is not CPython
    import signal as _signal

EXIT_CODE_EXCEPTION = 1
EXIT_CODE_INTERRUPTED = 255  # what wandb records for a KeyboardInterrupt
EXIT_CODE_SIGNAL = 128  # and the signal's number: as a shell reports it


class ExitHooks:
    """Tells when and how the process ends, as long as it is installed.

    Args:
        on_exit: Called with the exit code, at most once, while the interpreter still works (threads may no
            longer be started).  After a signal it runs inside a signal handler: at any point of the main
            thread's code, also in the midst of a call on the run.  What it raises is swallowed.
        signals: Those that end the process unless somebody handles them, and that are to be told.
    """

    __slots__ = ("_on_exit", "_signals")

    def __init__(
        self, on_exit: Callable[[int], None], *, signals: Sequence[int] = (_signal.SIGTERM,)
    ) -> None:
        self._on_exit = on_exit
        self._signals = signals

    @property
    def exit_code(self) -> Optional[int]:
        """The code of an exit that is under way (say, in a `finally:` below sys.exit(3)); else None."""
        return _process.exit_code

    def install(self) -> None:
        """Begin to listen; a second time does nothing.  Signals are taken from the main thread only."""
        if self in _process.listeners:
            return
        _process.listeners.append(self)
        if len(_process.listeners) == 1:
            _process.wrap()
        _process.take_signals(self._signals)

    def uninstall(self) -> None:
        """Stop listening; the last listener restores what is still ours."""
        if self in _process.listeners:
            _process.listeners.remove(self)
            if not _process.listeners:
                _process.unwrap()


class _Process:
    """The wraps around this process's exits."""

    def __init__(self) -> None:
        self.listeners: List[ExitHooks] = []
        self.exit_code: Optional[int] = None
        self.interrupted = False  # by a KeyboardInterrupt that nobody caught
        self.mark: Optional[int] = None  # id of the mark that set exit_code
        self._n_marks = 0
        self._wraps: List[_Wrap] = []
        self._fork_watched = False
        self._taken: List[int] = []  # signals that have our handler
        self._retake: List[int] = []  # those that it is taken from while the process forks

    def wrap(self) -> None:
        self.exit_code = None
        self._wraps = [_Wrap(sys, "exit", _noting_exit), _Wrap(sys, "excepthook", _noting_excepthook)]
        site = sys.modules.get("_sitebuiltins")
        if site is not None:  # absent under `python -S`
            self._wraps.append(_Wrap(site.Quitter, "__call__", _noting_exit))
        atexit.register(self.at_exit)
        if not self._fork_watched and hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=self.before_fork, after_in_parent=self.after_fork, after_in_child=self.forget
            )
            self._fork_watched = True

    def unwrap(self) -> None:
        for wrap in self._wraps:
            wrap.undo()
        self._wraps = []
        atexit.unregister(self.at_exit)
        self.exit_code = None
        self._release_signals()

    def forget(self) -> None:
        """In a forked child: whatever ends here is not the run of the parent (Rule 3)."""
        del self.listeners[:]
        self.unwrap()

    def at_exit(self) -> None:
        interrupted = self.interrupted
        self.tell(self.exit_code or 0)
        if interrupted:
            _remember_interrupt()

    def tell(self, exit_code: int) -> None:
        listeners, self.listeners = self.listeners, []
        for listener in reversed(listeners):
            try:
                listener._on_exit(exit_code)
            except Exception:  # Rule 1: other listeners, and the process, go on ending
                continue

    # -- exit codes ----------------------------------------------------------------------------------

    def note_exception(self, kind: Type[BaseException]) -> None:
        interactive = hasattr(sys, "ps1") or sys.flags.interactive  # a prompt follows, not the end
        if self.listeners and _in_main_thread() and not interactive:
            self.interrupted = issubclass(kind, KeyboardInterrupt)
            self.exit_code = EXIT_CODE_INTERRUPTED if self.interrupted else EXIT_CODE_EXCEPTION

    def note_system_exit(self, error: SystemExit) -> None:
        if self.listeners and _in_main_thread():
            self._n_marks += 1
            self.mark = self._n_marks
            self.exit_code = code_of(error)
            error.__dict__["_wandb_mark"] = _Mark(self._n_marks)

    # -- signals -------------------------------------------------------------------------------------

    def take_signals(self, signals: Sequence[int]) -> None:
        # Without a handler pid 1 ignores these signals; there is no default death that we could pass on.
        if os.getpid() == 1 or not _in_main_thread():
            return
        for signum in signals:
            try:
                if _signal.getsignal(signum) == _signal.SIG_DFL:
                    _signal.signal(signum, self.on_signal)
                    self._taken.append(signum)
            except (ValueError, OSError):  # not the main interpreter
                return

    def _release_signals(self) -> List[int]:
        """Let the signals have their default again where they still have our handler; return which."""
        released: List[int] = []
        taken, self._taken = self._taken, []
        for signum in taken:
            try:
                if _signal.getsignal(signum) == self.on_signal and _in_main_thread():
                    _signal.signal(signum, _signal.SIG_DFL)
                    released.append(signum)
            except (ValueError, OSError):
                continue
        return released

    def before_fork(self) -> None:
        # A signal that reaches a child before Python has set itself up there is dropped, if it has a
        # handler: the child would then outlive `terminate()`.  So children are born with the default.
        self._retake = self._release_signals() if self.listeners else []

    def after_fork(self) -> None:
        self.take_signals(self._retake)

    def on_signal(self, signum: int, frame: Optional[FrameType]) -> None:
        self.tell(EXIT_CODE_SIGNAL + signum)
        _signal.signal(signum, _signal.SIG_DFL)
        os.kill(os.getpid(), signum)


def _remember_interrupt() -> None:
    """Let the process die of SIGINT after all.

    CPython does that after a KeyboardInterrupt that nobody caught, unless some `eval` of a text came in
    between: it forgets then, and the status is 1.  Defining a namedtuple is such an eval, and so is importing
    a module that defines one.  An `eval` that ends with a KeyboardInterrupt reminds it.
    """

    def interrupt() -> None:
        raise KeyboardInterrupt

    try:
        eval("interrupt()", {"interrupt": interrupt})
    except KeyboardInterrupt:
        pass


class _Wrap:
    """One attribute replaced by a function around it."""

    __slots__ = ("_owner", "_name", "_below", "_ours")

    def __init__(self, owner: Any, name: str, around: Callable[[Any], Any]) -> None:
        self._owner = owner
        self._name = name
        self._below = getattr(owner, name)
        self._ours = around(self._below)
        setattr(owner, name, self._ours)

    def undo(self) -> None:
        if getattr(self._owner, self._name, None) is self._ours:
            setattr(self._owner, self._name, self._below)


class _Mark:
    """Rides on a SystemExit and dies with it (Rule 4).

    If the exception ends the interpreter, no Python frame is left when it is freed.
    """

    __slots__ = ("_n",)

    def __init__(self, n: int) -> None:
        self._n = n

    def __del__(self) -> None:
        if _process.mark == self._n and sys._getframe().f_back is not None:
            _process.mark = _process.exit_code = None

    def __reduce__(self) -> Any:  # a pool may send the exception to another process
        return (object, ())


def code_of(error: SystemExit) -> int:
    """Return the exit code of a SystemExit as Python reads it: None is 0, what is not an int is 1."""
    code = error.code
    if code is None:
        return 0
    if not isinstance(code, int):
        return 1
    return int(code) if -(2**31) <= code < 2**31 else code & 0xFF  # the exit record holds an int32


def _noting_exit(below: Callable[..., Any]) -> Callable[..., Any]:
    def exit(*args: Any, **kwargs: Any) -> Any:
        try:
            return below(*args, **kwargs)
        except SystemExit as error:
            _process.note_system_exit(error)
            raise

    return exit


def _noting_excepthook(below: Callable[..., Any]) -> Callable[..., Any]:
    def excepthook(
        kind: Type[BaseException], error: BaseException, traceback: Optional[TracebackType]
    ) -> Any:
        _process.note_exception(kind)
        return below(kind, error, traceback)

    return excepthook


def _in_main_thread() -> bool:
    threading = sys.modules.get("threading")  # not imported for this: without it there is one thread
    return threading is None or bool(threading.main_thread().ident == get_ident())


_process = _Process()
