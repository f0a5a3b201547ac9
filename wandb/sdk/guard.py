"""What stands between our own troubles and the user's training loop.

What the user did wrong raises in the user's thread, at once: that is UsageError and its kind, and passes.
Anything else, a full disk or a bug of ours, is told once, counted, and training goes on; what the disk did
raises too where on_error="raise" asks for it.  The tests put a function into `on_swallowed` that makes every
such error fail the test it happened in.
"""

from __future__ import annotations

from functools import wraps
from typing import Any, Callable, List, Optional, TypeVar, cast

from wandb.errors import Error, LogError, LogWriteError
from wandb.term import termerror

Method = TypeVar("Method", bound=Callable[..., Any])
Failed = Callable[[str, Exception], None]  # the name of the call, and what went wrong in it

on_swallowed: Optional[Callable[[BaseException], None]] = None


class Guard:
    """Counts what was swallowed on behalf of one run.

    Args:
        raises: Let `handle` pass on what the disk did (on_error="raise").

    Attributes:
        swallowed: How many errors.
    """

    __slots__ = ("swallowed", "_raises", "_told")

    def __init__(self, raises: bool = False) -> None:
        self.swallowed = 0
        self._raises = raises
        self._told: List[str] = []

    def handle(self, call: str, error: Exception) -> None:
        """Swallow an error that came up in a call of the user's, or raise it if that is what they want."""
        if self._raises and isinstance(error, LogWriteError):
            raise error
        self.swallow(call, error)

    def swallow(self, call: str, error: BaseException) -> None:
        """Take an error that must not reach the user's code; say so once per call and kind."""
        self.swallowed += 1
        if on_swallowed is not None:
            on_swallowed(error)
        what = f"{call}: {type(error).__name__}"
        if what in self._told:
            return
        self._told.append(what)
        if isinstance(error, (LogWriteError, OSError)):
            termerror(f"{call}: {error}. Training goes on.")
            return
        import traceback

        last = traceback.format_exception(type(error), error, error.__traceback__)[-3:]
        termerror(
            f"{call} failed inside wandb-ng; your program goes on, this record is lost.\n" + "".join(last)
        )


def pass_on(call: str, error: Exception) -> None:
    """Raise the error: what an object does with it that belongs to no run."""
    raise error


def is_deliberate(error: BaseException) -> bool:
    """Whether the error is our answer to a call that was wrong; the user has to see it."""
    return isinstance(error, Error) and not isinstance(error, LogError)


def guarded(call: str, default: Any = None) -> Callable[[Method], Method]:
    """Decorate a method of an object with a `_guard`: what goes wrong inside of us does not leave it.

    Args:
        call: What the user has called, for the message.
        default: What is returned then.
    """

    def decorate(method: Method) -> Method:
        @wraps(method)
        def careful(self: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                return method(self, *args, **kwargs)
            except Exception as error:
                if is_deliberate(error):
                    raise
                self._guard.handle(call, error)
                return default

        return cast(Method, careful)

    return decorate
