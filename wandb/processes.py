"""Is that process still alive?  Asked of whoever writes a log, and of whoever holds a lease.

Rule 1: "dead" is said only with certainty: same host, same boot, same process namespace, and the kernel
        does not know that process, or knows another one by its number.  Everything else is "unknown".
"""

from __future__ import annotations

import enum
import os
import platform
from typing import Any, Dict, NamedTuple, Optional


class Life(enum.Enum):
    ALIVE = "alive"
    DEAD = "dead"
    UNKNOWN = "unknown"


class ProcessId(NamedTuple):
    """A process, told from all others; what is not known is empty or 0."""

    host: str
    boot_id: str
    pid: int
    start_ticks: int  # since boot, as in field 22 of /proc/PID/stat
    namespace: str = ""  # of process numbers: containers have their own

    @classmethod
    def current(cls) -> ProcessId:
        """Return this process."""
        pid = os.getpid()
        return cls(platform.node(), _boot_id(), pid, _start_ticks(pid) or 0, _namespace())

    def to_json(self) -> Dict[str, Any]:
        return self._asdict()


def life_of(process: ProcessId) -> Life:
    """Return what can be said of a process from here."""
    here = ProcessId.current()
    if not process.pid or process.host != here.host:
        return Life.UNKNOWN
    if process.boot_id and here.boot_id and process.boot_id != here.boot_id:
        return Life.DEAD
    if process.namespace != here.namespace:
        return Life.UNKNOWN
    started = _start_ticks(process.pid)
    if started is not None:
        if process.start_ticks and started != process.start_ticks:
            return Life.DEAD
        return Life.ALIVE
    if not process.boot_id:
        return Life.UNKNOWN  # somewhere without /proc, or a process whose boot nobody noted
    return Life.DEAD if not _exists(process.pid) else Life.UNKNOWN


def _boot_id() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _start_ticks(pid: int) -> Optional[int]:
    """Return when a process was started; None if there is none, a zombie included."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The second field is the program's name in parentheses and may hold anything: count from its end.
            fields = file.read().rpartition(b")")[2].split()
        return None if fields[0] in (b"Z", b"X") else int(fields[19])
    except (OSError, ValueError, IndexError):
        return None


def _exists(pid: int) -> bool:
    if _start_ticks(pid) is not None:
        return True
    if os.path.isdir("/proc/self"):
        return False  # /proc works, so it would be there
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
