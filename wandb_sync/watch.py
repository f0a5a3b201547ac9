"""Which runs are there below some directories, and which have come: for `wandb sync --watch`.

    thorough look   `discover.find`, in a thread of its own: the truth, and dear in a large tree
    quick look      names that are new in the directories that hold run directories: what makes it quick
    events          of the kernel, through watchdog: have the quick look come at once

Rule 1: what is dear is done seldom: no kind of look takes more than CPU_SHARE of a core, or TIME_SHARE of the
        time where a file system answers slowly.  Ten thousand idle run directories cost next to nothing.
Rule 2: quick looks and events only hasten what the next thorough look finds anyway.
Rule 3: events are asked for where the kernel sees every change.  On a network file system it does not see
        those of other hosts, so there the names are read at every look.
Rule 4: a directory may be moved, removed or exchanged for another at any moment; that is no error.

How the logs that were found grow is looked at by service.py: a stamp of each, once per poll.  Events for that
would come by the thousand.
"""

from __future__ import annotations

import glob
import os
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Set, Tuple

from watchdog.events import (
    DirCreatedEvent,
    DirMovedEvent,
    FileCreatedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer

from wandb.file_systems import may_hang
from wandb.transaction_log.format import LOG_SUFFIX
from wandb.transaction_log.log_file import plain_name
from wandb_sync.discover import Log, Unusable, default_directory, find, find_in

LOOK_EVERY_S = 30.0  # thoroughly, in a tree that is small enough for it
CPU_SHARE = 0.01  # at most, for each kind of look
TIME_SHARE = 0.2
EXPECT_FOR_S = 60.0  # how long a new directory without a log is looked at at every poll


class Pace:
    """When it is time to do something again: regularly, but not more of it than the shares allow."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._due_s = 0.0
        self._began = (0.0, 0.0)  # by the clock, and by the thread's use of the processor

    def is_due(self) -> bool:
        """Say whether it is time; if so, it begins now."""
        now_s = time.monotonic()
        if now_s < self._due_s:
            return False
        self._began = (now_s, time.thread_time())
        return True

    def done(self, cpu_s: Optional[float] = None) -> None:
        """Say that it is done for this time.

        Args:
            cpu_s: What it took of the processor; None: what the calling thread has used since.
        """
        now_s = time.monotonic()
        began_s, began_cpu_s = self._began
        cpu_s = time.thread_time() - began_cpu_s if cpu_s is None else cpu_s
        rest_s = max(cpu_s / CPU_SHARE, (now_s - began_s) / TIME_SHARE)
        self._due_s = max(began_s + self._every_s, now_s + rest_s)


class Found(NamedTuple):
    """What a look has found.

    Attributes:
        logs: All of a thorough look; of a quick one those that have come.
        unusable: Paths that mean no log; None after a quick look.
    """

    logs: List[Log]
    unusable: Optional[List[Unusable]] = None


class Tree:
    """The runs below some paths, as they come."""

    def __init__(self, paths: Sequence[str], *, poll_s: float, events: bool = True) -> None:
        """Prepare; nothing is looked at.

        Args:
            paths: As of `discover.find`.
            poll_s: Seconds between two quick looks.
            events: Whether the kernel's events are used where they can be.
        """
        self._paths = list(paths)
        self._thorough = Pace(LOOK_EVERY_S)
        self._quick = Pace(poll_s)
        self._events = _Events() if events else None
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="look")
        self._finding: Optional[Future[Tuple[Found, float]]] = None
        self._parents: Dict[str, _Parent] = {}
        self._expected: Dict[str, float] = {}  # new directory without a log -> until when it is looked at

    def look(self) -> Optional[Found]:
        """Return what was found since the last time; None if it was not time to look, or nothing has come.

        Never blocks for long.
        """
        if self._finding is not None and self._finding.done():
            (found, cpu_s), self._finding = self._finding.result(), None
            self._thorough.done(cpu_s)
            return found
        fresh: List[Log] = []
        if (self._events is not None and self._events.take()) or self._quick.is_due():
            fresh = self._look_quickly()
            self._quick.done()
        # After the quick look, which tells what comes from then on: nothing can come in between.
        if self._finding is None and self._thorough.is_due():
            self._finding = self._pool.submit(self._look_thoroughly)
        return Found(fresh) if fresh else None

    def close(self) -> None:
        """End threads and watches.  Idempotent."""
        self._pool.shutdown(wait=True)
        if self._events is not None:
            self._events.close()

    def _look_thoroughly(self) -> Tuple[Found, float]:
        began_s = time.thread_time()
        found = Found(*find(self._paths))
        return found, time.thread_time() - began_s

    def _look_quickly(self) -> List[Log]:
        now_s = time.monotonic()
        for path in self._parent_paths():
            parent = self._parents.get(path)
            if parent is None:
                parent = self._parents[path] = _Parent(path, self._events)
            for name in parent.new_names():
                self._expected[os.path.join(path, name)] = now_s + EXPECT_FOR_S
        found: List[Log] = []
        for path, until_s in list(self._expected.items()):
            logs = find_in(Path(path))
            found += logs
            if logs or now_s > until_s or not os.path.isdir(path):
                del self._expected[path]
        return found

    def _parent_paths(self) -> List[str]:
        """Return the directories that hold run directories, or will."""
        given = self._paths or [str(default_directory(Path()))]
        plain = [path for path in given if not glob.has_magic(path)]
        return [*plain, *(os.path.join(path, "wandb") for path in plain)]


class _Parent:
    """A directory whose entries are run directories."""

    def __init__(self, path: str, events: Optional[_Events]) -> None:
        self._path = path
        self._events = events
        self._stamp: Tuple[int, ...] = ()
        self._listed_s = 0.0
        self._known: Optional[Set[str]] = None
        self._is_remote = False

    def new_names(self) -> List[str]:
        """Return the names of directories that were not there at the last time; the first time, none."""
        try:
            status = os.stat(self._path)
            stamp = (status.st_dev, status.st_ino, status.st_mtime_ns)
            if stamp[:2] != self._stamp[:2]:
                self._is_remote = may_hang(self._path)
                if self._events is not None and not self._is_remote:
                    self._events.watch(self._path)
            # What has changed within a tick of the clock after the last listing has the same time of change.
            is_certain = stamp == self._stamp and self._listed_s - status.st_mtime > 1.0
            if is_certain and not self._is_remote:
                return []
            self._listed_s = time.time()
            with os.scandir(self._path) as entries:
                names = {entry.name: entry for entry in entries}
        except OSError:  # it is not there yet, or not any more
            self._stamp, self._known = (), set()
            return []
        known, self._known, self._stamp = self._known, set(names), stamp
        if known is None or any(plain_name(name).endswith(LOG_SUFFIX) for name in names):
            return []  # those that were there before are found by the thorough look; so is what a run holds
        return [
            name
            for name, entry in names.items()
            if name not in known and not name.startswith(".") and entry.is_dir(follow_symlinks=False)
        ]


class _Events(FileSystemEventHandler):
    """The kernel's word that something has come into a directory."""

    def __init__(self) -> None:
        self._has_come = False
        self._observer: Any = None
        self._watches: Dict[str, Any] = {}

    def watch(self, path: str) -> None:
        """Be told of a directory, in place of the one that was at this path before.  May not work: rule 2."""
        try:
            if self._observer is None:
                self._observer = Observer()
                self._observer.start()
            before = self._watches.pop(path, None)
            if before is not None:
                self._observer.unschedule(before)
            kinds = [DirCreatedEvent, DirMovedEvent, FileCreatedEvent, FileMovedEvent]
            self._watches[path] = self._observer.schedule(self, path, event_filter=kinds)
        except (
            OSError,
            RuntimeError,
            KeyError,
        ):  # the system's limit of watches; a thread that cannot be had
            return

    def on_any_event(self, event: FileSystemEvent) -> None:
        self._has_come = True

    def take(self) -> bool:
        """Say whether anything has come since the last time."""
        has_come, self._has_come = self._has_come, False
        return has_come

    def close(self) -> None:
        if self._observer is not None:
            self._observer.stop()
            self._observer.join()
            self._observer = None
