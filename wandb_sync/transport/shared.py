"""A few numbers that processes of one host share: a small file under a lock.

A budget is one only if all who send keep it together: the processes of one sync, tasks of Slurm on one node,
two cron jobs that overlap.

Rule 1: nobody waits for the lock for long: a process that was stopped while it held it must not stop the
        others.
Rule 2: where there is no such file (no place for it, no locks), the numbers are the process's own.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import struct
import tempfile
import threading
import time
from pathlib import Path
from typing import Iterator, List, Optional

try:
    import fcntl
except ImportError:  # Windows: each process has its own numbers
    fcntl = None  # type: ignore[assignment]

LOCK_TRIES = 50  # of a millisecond each


def place_for(base_url: str) -> Optional[Path]:
    """Return where the numbers about a server are, for all processes of this user on this host.

    None if there is no directory of ours alone.
    """
    if fcntl is None:
        return None
    parent = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    directory = Path(parent, f"wandb-ng-{os.getuid()}")
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
        status = os.lstat(directory)
    except OSError:
        return None
    if status.st_uid != os.getuid() or status.st_mode & 0o077 or not os.path.isdir(directory):
        return None
    return directory / f"{hashlib.sha256(base_url.encode()).hexdigest()[:16]}.budget"


class Shared:
    """Numbers that stand in a file; all are 0 before anybody has set them."""

    def __init__(self, path: Optional[Path], count: int) -> None:
        """Prepare; nothing is made.

        Args:
            path: The file; None: the numbers are this process's own.
            count: How many numbers.
        """
        self.path = path
        self._own = [0.0] * count
        self._format = struct.Struct(f"<{count}d")
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def held(self) -> Iterator[List[float]]:
        """Yield the numbers; what they are in the end is what the others see."""
        with self._lock:
            fd = self._open()
            if fd is None:
                yield self._own
                return
            try:
                is_locked = _lock(fd)
                data = os.pread(fd, self._format.size, 0)
                whole = len(data) == self._format.size
                values = list(self._format.unpack(data)) if whole else [0.0] * len(self._own)
                before = list(values)
                yield values
                if is_locked and values != before:
                    os.pwrite(fd, self._format.pack(*values), 0)
            finally:
                os.close(fd)  # and with it the lock

    def _open(self) -> Optional[int]:
        if self.path is None:
            return None
        try:
            return os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
        except OSError:
            return None


def _lock(fd: int) -> bool:
    for _ in range(LOCK_TRIES):
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(0.001)
        except OSError:
            return False
    return False
