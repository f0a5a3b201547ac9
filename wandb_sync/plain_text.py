"""Text of a log without what would command a terminal: a log may come from anybody."""

from __future__ import annotations

import re

_COLOR = re.compile(r"(\x1b\[[0-9;]*m)")
_COMMAND = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # cursor, colours, modes
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?"  # title, clipboard, links
    r"|\x1b.?|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
)


def plain(text: str, colors: bool = False) -> str:
    """Return the text without commands.

    Args:
        colors: Whether colours stay; they are switched off at the end.
    """
    if not colors or "\x1b" not in text:
        return _COMMAND.sub("", text)
    pieces = _COLOR.split(text)
    # What the pattern has matched stands at odd places.
    safe = [piece if i % 2 else _COMMAND.sub("", piece) for i, piece in enumerate(pieces)]
    return "".join(safe) + ("\x1b[0m" if len(pieces) > 1 else "")
