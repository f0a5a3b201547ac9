"""Sizes, durations, moments, timetables and shards as people write them.

Sizes and timetables are written as rclone and restic take them: `512k`, `10M`, `1.5G` in powers of 1024, a
bare number in KiB; `08:00,512k 19:00,10M 23:00,off`, with a weekday `Sat-10:00,1M`.
"""

from __future__ import annotations

import datetime
import re
from typing import List, NamedTuple, Optional, Tuple

from wandb.errors import UsageError

_SIZE = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*([bkmgtp]?)(?:i?b)?", re.IGNORECASE)
_POWERS = {"b": 0, "": 1, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ms|[smhdw]?)")
_SECONDS = {"ms": 0.001, "": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_ENTRY = re.compile(
    r"(?:(mon|tue|wed|thu|fri|sat|sun)[a-z]*-)?([01]?\d|2[0-3]):([0-5]\d),(\S+)", re.IGNORECASE
)
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_MINUTES_PER_DAY = 24 * 60


def n_bytes_of(text: str, option: str) -> int:
    """Return a size in bytes; a bare number is in KiB.

    Raises:
        UsageError: It is none.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{option}: {text!r} is no size", hint="it looks like 512k, 10M or 1.5G")
    return int(float(match[1]) * 1024 ** _POWERS[match[2].lower()])


def seconds_of(text: str, option: str) -> float:
    """Return a duration in seconds; a bare number is in seconds.

    Raises:
        UsageError: It is none.
    """
    parts = text.strip().lower()
    if not parts or _DURATION.sub("", parts):
        raise UsageError(f"{option}: {text!r} is no duration", hint="it looks like 90s, 45m, 1h30m or 7d")
    return sum(float(number) * _SECONDS[unit] for number, unit in _DURATION.findall(parts))


def moment_of(text: str, option: str, now_s: float) -> float:
    """Return a moment in seconds since the epoch: a date, a date with a time, or a duration before `now_s`.

    Raises:
        UsageError: It is none.
    """
    try:
        return datetime.datetime.fromisoformat(text.strip().replace("Z", "+00:00")).timestamp()
    except (ValueError, OverflowError):
        pass
    try:
        return now_s - seconds_of(text, option)
    except UsageError:
        raise UsageError(
            f"{option}: {text!r} is no moment", hint="it looks like 2026-01-31, 2026-01-31T08:00 or 7d"
        ) from None


class Timetable:
    """How many bytes per second may be sent, by the time of the week."""

    def __init__(self, text: str = "") -> None:
        """Read a rate or a timetable; without a text there is no limit.

        Raises:
            UsageError: It is neither.
        """
        self.text = text
        self._entries: List[Tuple[int, Optional[float]]] = []  # minute of the week -> bytes per second
        words = text.split()
        if len(words) == 1 and "," not in text:
            self._entries.append((0, _rate(words[0])))
            return
        for word in words:
            match = _ENTRY.fullmatch(word)
            if match is None:
                raise UsageError(
                    f"--bwlimit: {word!r} is neither a rate nor a time with a rate",
                    hint="it looks like 10M, or '08:00,512k 19:00,10M 23:00,off'",
                )
            weekday, hour, minute, rate = match.groups()
            days = [_WEEKDAYS.index(weekday.lower())] if weekday else range(7)
            at = int(hour) * 60 + int(minute)
            self._entries += [(day * _MINUTES_PER_DAY + at, _rate(rate)) for day in days]
        self._entries.sort(key=lambda entry: entry[0])

    @property
    def is_limit(self) -> bool:
        """Whether there is a limit at any time."""
        return any(rate is not None for _, rate in self._entries)

    def bytes_per_s(self, at: datetime.datetime) -> Optional[float]:
        """Return the limit at a local time; None if there is none."""
        if not self._entries:
            return None
        minute = at.weekday() * _MINUTES_PER_DAY + at.hour * 60 + at.minute
        current = self._entries[-1][1]  # of last week
        for begins, rate in self._entries:
            if begins > minute:
                break
            current = rate
        return current


def _rate(text: str) -> Optional[float]:
    upload = text.partition(":")[0]  # "up:down", as rclone has it; hardly anything comes down
    if upload.lower() == "off":
        return None
    return float(n_bytes_of(upload, "--bwlimit")) or None


class Shard(NamedTuple):
    """A part of the runs: `number` of `of`, counted from 0."""

    number: int = 0
    of: int = 1

    @classmethod
    def read(cls, text: str) -> Shard:
        """Read "i/n", counted from 0.

        Raises:
            UsageError: It is something else.
        """
        match = re.fullmatch(r"(\d+)/(\d+)", text.strip())
        if match is None or int(match[1]) >= int(match[2]):
            raise UsageError(f"--shard: {text!r} is no shard", hint="0/4, 1/4, 2/4 and 3/4 are all of four")
        return cls(int(match[1]), int(match[2]))
