"""What a process and its descendants use, from /proc (Linux)."""

from __future__ import annotations

import os
import time
from typing import Dict, List, NamedTuple

_CPU_CLOCK_OF_PROCESS = 2  # clock_getcpuclockid(3): the process-wide clock of any process, in nanoseconds
_SETTLE_STEP_S = 0.2
_SETTLED_CPU_S = 0.004  # in one step; an idle Go runtime uses about one millisecond


class Usage(NamedTuple):
    """A look at a tree of processes."""

    n_children: int
    n_threads: int
    n_sockets: int
    peak_rss_mb: float  # the sum of every process's own peak


def descendants(pid: int) -> List[int]:
    """Return the ids of all living descendants."""
    parents: Dict[int, int] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            fields = _text(f"/proc/{name}/stat").rpartition(")")[2].split()
            if len(fields) > 1 and fields[0] != "Z":
                parents[int(name)] = int(fields[1])
    found: List[int] = []
    wave = [pid]
    while wave:
        wave = [child for child, parent in parents.items() if parent in wave]
        found += wave
    return found


def usage(pid: int) -> Usage:
    """Return what a process and its descendants use now."""
    children = descendants(pid)
    tree = [pid, *children]
    return Usage(
        len(children), sum(map(_n_threads, tree)), sum(map(_n_sockets, tree)), sum(map(_peak_rss_mb, tree))
    )


class CpuMeter:
    """CPU seconds (user and system) of a process and all descendants that were ever seen alive."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._seen: Dict[int, float] = {}

    def read(self) -> float:
        """Return what was used up to now; of a process that is gone, what it had used when last seen."""
        for pid in (self._pid, *descendants(self._pid)):
            try:
                self._seen[pid] = time.clock_gettime(~pid << 3 | _CPU_CLOCK_OF_PROCESS)
            except OSError:
                pass
        return sum(self._seen.values())

    def settle(self, deadline_s: float = 20.0) -> float:
        """Wait until the tree is idle, so that what a call left to others is counted, and read."""
        used = self.read()
        end = time.monotonic() + deadline_s
        while time.monotonic() < end:
            time.sleep(_SETTLE_STEP_S)
            before, used = used, self.read()
            if used - before < _SETTLED_CPU_S:
                break
        return used


class PeakMemory:
    """The most memory that a process and its descendants had at once, or a little more: the sum of peaks."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._seen: Dict[int, float] = {}

    def look(self) -> None:
        """Note the peaks up to now."""
        for pid in (self._pid, *descendants(self._pid)):
            self._seen[pid] = max(_peak_rss_mb(pid), self._seen.get(pid, 0.0))

    def peak_mb(self) -> float:
        """Return the sum of every process's own peak."""
        return sum(self._seen.values())


def _n_threads(pid: int) -> int:
    try:
        return len(os.listdir(f"/proc/{pid}/task"))
    except OSError:
        return 0


def _n_sockets(pid: int) -> int:
    count = 0
    try:
        for name in os.listdir(f"/proc/{pid}/fd"):
            count += os.readlink(f"/proc/{pid}/fd/{name}").startswith("socket:")
    except OSError:
        pass  # the process ended, or closed a descriptor, under us
    return count


def _peak_rss_mb(pid: int) -> float:
    _, _, rest = _text(f"/proc/{pid}/status").partition("VmHWM:")
    return int(rest.split()[0]) / 1024 if rest else 0.0


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
