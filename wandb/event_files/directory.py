"""The event files of one directory as rows.

Events of a file that follow each other and have the same step make one row, as in wandb 0.31 (observed); a
tag that comes again begins another one, so that nothing is lost.  A row waits for the event behind it.

Several files of a directory - one per start of the program - are read side by side, in the order of their
names: a torn end of one does not hold up the others.
"""

from __future__ import annotations

import os
import re
from typing import Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence

from wandb.event_files.reader import EventFile
from wandb.event_files.values import read_event

_NAME = re.compile(r"tfevents\.(\d+)\.(.*)", re.DOTALL)
_NOT_OURS = (".profile-empty", ".sagemaker-uploaded")  # of the profiler, of SageMaker: as wandb


class Row(NamedTuple):
    """A row: its step and time (seconds since the epoch), tag -> value, and where it ends in which file."""

    step: int
    at_s: float
    values: Dict[str, object]
    file: str
    end: int


class EventDirectory:
    """Reads one directory.

    Attributes:
        path: The directory.
        n_damaged: Records that could not be understood.
    """

    def __init__(
        self,
        path: str,
        *,
        since_s: float = 0.0,
        host: str = "",
        ends: Optional[Mapping[str, int]] = None,
    ) -> None:
        """Begin.

        Args:
            since_s, host: Leave out files from before, and those of other hosts, by their names.
            ends: File -> how much of it is known already, in bytes.
        """
        self.path = path
        self._since_s = since_s
        self._host = host
        self._ends = dict(ends or {})
        self._files: Dict[str, _Rows] = {}

    @property
    def n_damaged(self) -> int:
        return sum(rows.n_damaged for rows in self._files.values())

    def new_files(self) -> List[str]:
        """Look for files; return the names of those that were not there before."""
        names = [name for name in event_files_in(self.path) if self._is_wanted(name)]
        fresh = [name for name in names if name not in self._files]
        for name in fresh:
            self._files[name] = _Rows(os.path.join(self.path, name), self._ends.get(name, 0))
        return fresh

    def rows(self, *, is_end: bool = False) -> Iterator[Row]:
        """Yield the rows that are whole by now, of the files that `new_files` has found.

        Args:
            is_end: Nothing more will come: with those that wait for the event behind them.
        """
        for name in sorted(self._files):
            yield from self._files[name].rows(is_end)

    def _is_wanted(self, name: str) -> bool:
        match = _NAME.search(name)
        if match is None:
            return not self._since_s
        return int(match.group(1)) >= int(self._since_s) and match.group(2).startswith(self._host)


class _Rows:
    """The rows of one file; what ends before `known` was recorded before."""

    def __init__(self, path: str, known: int) -> None:
        self._file = EventFile(path)
        self._known = known
        self._plugins: Dict[str, str] = {}
        self._n_unreadable = 0
        self._waiting: Optional[Row] = None

    @property
    def n_damaged(self) -> int:
        return self._file.n_damaged + self._n_unreadable + self._file.is_damaged

    def rows(self, is_end: bool) -> Iterator[Row]:
        file = self._file
        for data in file.records():
            try:
                event = read_event(data, self._plugins)
            except (ValueError, OverflowError, RecursionError):
                self._n_unreadable += 1
                continue
            if not event.values or file.end <= self._known:
                continue
            row = self._waiting
            is_other = row is not None and row.step != event.step
            if row is not None and (is_other or not row.values.keys().isdisjoint(event.values)):
                yield row
                row = None
            values = {**(row.values if row is not None else {}), **event.values}
            self._waiting = Row(event.step, event.at_s, values, os.path.basename(file.path), file.end)
        if is_end and self._waiting is not None:
            row, self._waiting = self._waiting, None
            yield row


def event_files_in(directory: str) -> List[str]:
    """Return the names of the event files in a directory, in order; none if it cannot be read."""
    try:
        names = os.listdir(directory)
    except OSError:
        return []
    return sorted(name for name in names if ".tfevents." in name and not name.endswith(_NOT_OURS))


def event_directories(top: str) -> List[str]:
    """Return the directories at and below `top` that have event files, without those of recorded runs."""
    found = []
    for directory, below, names in os.walk(top):
        if any(name.endswith(".wandb") for name in names):
            below[:] = []
        elif event_files_in(directory):
            found.append(directory)
    return sorted(found)


def namespace(directory: str, root: str, others: Sequence[str]) -> str:
    """Return what stands before the tags of a directory, as wandb has it.

    Args:
        root: What the user says is above all; "" to find out.
        others: All directories that are written to: what they have in common is above all.  With one
            alone, there is nothing to tell it from.
    """
    directory = os.path.abspath(directory)
    if not root:
        several = {os.path.abspath(other) for other in others} | {directory}
        if len(several) == 1:
            return ""
        root = os.path.commonpath(list(several))
    relative = os.path.relpath(directory, os.path.abspath(root))
    return "" if relative == os.curdir or relative.startswith(os.pardir) else relative.replace(os.sep, "/")


def named(row: Row, above: str) -> Dict[str, object]:
    """Return the values of a row as history has them: with the namespace, the step and the time."""
    values: Dict[str, object] = {
        f"{above}/{tag}" if above else tag: value for tag, value in row.values.items()
    }
    return {**values, "global_step": row.step, "_timestamp": row.at_s}
