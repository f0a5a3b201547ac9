"""The one printer: what the recording half tells a person goes to stderr from here.

Rule 1: printing never raises.  A closed stderr, a broken pipe or a narrow encoding costs the text, no more.
Rule 2: stderr is looked up when a text is printed; a notebook or a test may have exchanged it since.
Rule 3: our own texts do not belong into a run's console log.  Whoever wraps a stream's `write` leaves the
        true one as attribute `BYPASS` of its own, whoever redirects a descriptor leaves in `redirected` what
        writes to its old end; texts leave through that.
"""

from __future__ import annotations

import os
import sys
from typing import Any, Callable, Dict, Optional, Set

from wandb import env

# Attribute of a wrapping `write` function: the `write` underneath it.
BYPASS = "_wandb_bypass"

# Redirected descriptor -> writes text to where the descriptor led before.
redirected: Dict[int, Callable[[bytes], None]] = {}

_BLUE_BOLD = "\033[34m\033[1m"
_YELLOW = "\033[33m"
_RED = "\033[31m"
_RESET = "\033[0m"


class _Printer:
    """What is to be shown, and which texts were printed already."""

    __slots__ = ("info", "warnings", "errors", "colors", "told")

    def __init__(self) -> None:
        self.info = True
        self.warnings = True
        self.errors = True
        self.colors: Optional[bool] = None  # None: as the terminal can
        self.told: Set[str] = set()


_printer = _Printer()


def configure(
    *,
    silent: Optional[bool] = None,
    quiet: Optional[bool] = None,
    show_info: Optional[bool] = None,
    show_warnings: Optional[bool] = None,
    show_errors: Optional[bool] = None,
    show_colors: Optional[bool] = None,
) -> None:
    """Choose what is printed from now on, in the whole process.  What is None (or left out) is not a wish.

    Args:
        silent: True prints nothing; False prints everything that no other argument takes away.
        quiet: True prints warnings and errors only.
        show_info, show_warnings, show_errors: one kind each.
        show_colors: False never colours; True does wherever stderr is a terminal, also with NO_COLOR set.
    """
    if silent is not None:
        _printer.info = _printer.warnings = _printer.errors = not silent
    if quiet is not None and not silent:
        _printer.info = not quiet
    if show_info is not None and not silent and not quiet:
        _printer.info = show_info
    if show_warnings is not None and not silent:
        _printer.warnings = show_warnings
    if show_errors is not None and not silent:
        _printer.errors = show_errors
    if show_colors is not None:
        _printer.colors = show_colors


def termsetup(settings: Any, logger: Any = None) -> None:
    """Do as `configure()`, from a Settings object; kept for scripts written for wandb."""
    configure(
        silent=getattr(settings, "silent", None),
        quiet=getattr(settings, "quiet", None),
        show_info=getattr(settings, "show_info", None),
        show_warnings=getattr(settings, "show_warnings", None),
        show_errors=getattr(settings, "show_errors", None),
        show_colors=getattr(settings, "show_colors", None),
    )


def shows_info() -> bool:
    """Say whether `termlog` prints anything."""
    return _printer.info


def termlog(string: str = "", newline: bool = True, repeat: bool = True, prefix: bool = True) -> None:
    """Print an informational text to stderr, each line after "wandb: ".

    Args:
        string: The text; may have several lines.
        newline: False leaves the cursor behind the text.
        repeat: False prints this very text once in the life of the process.
        prefix: False leaves "wandb: " out.
    """
    if _printer.info:
        _print(string, "", "", newline, repeat, prefix)


def termprogress(string: str) -> None:
    """Show a text in place of the one that was shown before; only on a terminal.  "" takes it away."""
    if _printer.info and sys.stderr is not None and sys.stderr.isatty():
        _print(f"\r\033[K{string and 'wandb: '}{string}", "", "", False, True, False)


def termwarn(string: str, newline: bool = True, repeat: bool = True, prefix: bool = True) -> None:
    """Print a warning: as `termlog`, with the word WARNING."""
    if _printer.warnings:
        _print(string, "WARNING", _YELLOW, newline, repeat, prefix)


def termerror(string: str, newline: bool = True, repeat: bool = True, prefix: bool = True) -> None:
    """Print an error: as `termlog`, with the word ERROR."""
    if _printer.errors:
        _print(string, "ERROR", _RED, newline, repeat, prefix)


def _print(string: str, word: str, color: str, newline: bool, repeat: bool, prefix: bool) -> None:
    if not repeat:
        if string in _printer.told:
            return
        _printer.told.add(string)
    try:
        stream = sys.stderr
        if prefix:
            head = _head(word, color, _colored(stream))
            string = "\n".join([head + line for line in string.split("\n")])
        _write(stream, string + "\n" if newline else string)
    except Exception:  # Rule 1; there is nowhere left to report to
        return


def _head(word: str, color: str, colored: bool) -> str:
    if not colored:
        return f"wandb: {word} " if word else "wandb: "
    name = f"{_BLUE_BOLD}wandb{_RESET}: "
    return f"{name}{color}{word}{_RESET} " if word else name


def _colored(stream: Any) -> bool:
    if _printer.colors is False or not stream.isatty():
        return False
    return bool(_printer.colors) or not (env.get("NO_COLOR") or env.get("TERM") == "dumb")


def _write(stream: Any, text: str) -> None:
    descriptor = _descriptor(stream)
    if descriptor >= 0:
        os.fstat(
            descriptor
        )  # raises if it is closed; else the text would wait there for the user's own close()
    write_bytes = redirected.get(descriptor) if redirected else None
    if write_bytes is not None:
        write_bytes(text.encode(getattr(stream, "encoding", None) or "utf-8", "backslashreplace"))
        return
    write = getattr(stream.write, BYPASS, stream.write)
    try:
        write(text)
    except UnicodeEncodeError:
        encoding = getattr(stream, "encoding", None) or "ascii"
        write(text.encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()


def _descriptor(stream: Any) -> int:
    try:
        return int(stream.fileno())
    except Exception:  # a stream of a notebook's, or in memory
        return -1
