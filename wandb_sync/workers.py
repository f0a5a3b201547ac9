"""Further processes that visit runs, for one process has one CPU's worth of Python.

A worker is told on its stdin what to do, and tells on its stdout what happens: pickled messages, each behind
its length.  It is started as a program, not forked: whoever calls `wandb_sync.sync` may have threads, and no
`if __name__ == "__main__"`.

Rule 1: a worker that dies costs nothing: its runs are visited by whoever is left, from their checkpoints.
Rule 2: a worker whose parent dies stops after the requests that are under way.
Rule 3: the budget of requests and bytes is shared through files (transport/shared.py); everything else is
        told.
"""

from __future__ import annotations

import concurrent.futures
import json
import os
import pickle
import signal
import struct
import subprocess
import sys
import threading
from types import FrameType
from typing import IO, Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from wandb_sync.outcomes import Emit
from wandb_sync.selection import ChosenRun
from wandb_sync.transport.stoppable import Stop
from wandb_sync.visits import Group, Note, Visits

_LENGTH = struct.Struct("<I")
EXIT_TERMINATED = 143
_START = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]); from wandb_sync.workers import main; main()"
)


class Task(NamedTuple):
    """What a worker is started with: a function of a module, its arguments, and how many runs at a time."""

    make_visits: Callable[..., Visits]
    arguments: Tuple[Any, ...]
    parallel: int


class Workers:
    """The workers of one service."""

    def __init__(self, task: Task, emit: Emit, note: Note) -> None:
        """Prepare; nothing is started.

        Args:
            emit, note: Get what happens, from any thread.
        """
        self._task = task
        self._emit = emit
        self._note = note
        self._workers: List[_Worker] = []

    def __len__(self) -> int:
        """How many are alive."""
        return sum(worker.is_alive for worker in self._workers)

    def start(self) -> None:
        """Start one more."""
        self._workers.append(_Worker(self._task, self._emit, self._note))

    def submit(self, group: Group) -> Optional[concurrent.futures.Future[bool]]:
        """Give a run to the worker that has the least to do; None if all have enough.

        The future says whether the run was visited, and is no more in the group: not if the worker has died.
        """
        free = [worker for worker in self._workers if worker.is_alive and worker.n_runs < self._task.parallel]
        return min(free, key=lambda worker: worker.n_runs).submit(group) if free else None

    def stop(self, exit_code: int) -> None:
        """Have all stop after the requests that are under way."""
        for worker in self._workers:
            worker.tell(("stop", exit_code))

    def close(self) -> None:
        """Wait until all are gone."""
        for worker in self._workers:
            worker.close()


class _Worker:
    def __init__(self, task: Task, emit: Emit, note: Note) -> None:
        self._emit = emit
        self._note = note
        self._lock = threading.Lock()
        self._given: Dict[int, Tuple[concurrent.futures.Future[bool], Group]] = {}
        self._n_given = 0
        self.is_alive = True
        optimized = ["-" + "O" * sys.flags.optimize] if sys.flags.optimize else []
        path = json.dumps([entry or os.getcwd() for entry in sys.path])
        self._process = subprocess.Popen(
            [sys.executable, *optimized, "-c", _START, path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.tell(task)
        self._reader = threading.Thread(target=self._read, name="sync-worker", daemon=True)
        self._reader.start()

    @property
    def n_runs(self) -> int:
        return len(self._given)

    def submit(self, group: Group) -> concurrent.futures.Future[bool]:
        future: concurrent.futures.Future[bool] = concurrent.futures.Future()
        group.is_away = True
        with self._lock:
            self._n_given += 1
            number = self._n_given
            self._given[number] = (future, group)
        if not self.tell(("visit", number, group.segments())):
            self._is_gone()
        return future

    def tell(self, message: Any) -> bool:
        assert self._process.stdin is not None
        with self._lock:
            try:
                _write(self._process.stdin, message)
                return True
            except (OSError, ValueError):
                return False

    def close(self) -> None:
        assert self._process.stdin is not None
        with self._lock:
            try:
                self._process.stdin.close()
            except OSError:
                pass
        self._reader.join()
        self._process.wait()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stdout:
            for kind, *rest in iter(lambda: _read(stdout), None):
                if kind == "event":
                    self._emit(*rest)
                elif kind == "outcome":
                    self._note(*rest)
                else:
                    with self._lock:
                        given = self._given.pop(rest[0], None)
                    if given is not None:
                        given[1].logs.clear()
                        given[0].set_result(True)
        self._is_gone()

    def _is_gone(self) -> None:
        self.is_alive = False
        with self._lock:
            lost = list(self._given.values())
            self._given.clear()
        for future, group in lost:
            group.is_away = False
            future.set_result(False)


def _write(file: IO[bytes], message: Any) -> None:
    data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    file.write(_LENGTH.pack(len(data)) + data)
    file.flush()


def _read(file: IO[bytes]) -> Any:
    """Return the next message; None if there is none any more, or only a part of one."""
    head = file.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (n_bytes,) = _LENGTH.unpack(head)
    data = file.read(n_bytes)
    return pickle.loads(data) if len(data) == n_bytes else None


def main() -> None:
    """Be a worker."""
    stdin = os.fdopen(os.dup(0), "rb")
    stdout = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever is printed by accident is no message
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C goes to all of us; the parent tells
    stop = Stop()

    def on_sigterm(number: int, frame: Optional[FrameType]) -> None:
        stop.because(EXIT_TERMINATED)

    signal.signal(signal.SIGTERM, on_sigterm)
    lock = threading.Lock()

    def say(*message: Any) -> None:
        with lock:
            try:
                _write(stdout, message)
            except OSError:
                stop.set()  # nobody listens any more

    task: Task = _read(stdin)
    visits = task.make_visits(lambda name, fields: say("event", name, fields), stop, *task.arguments)
    keeper_stop = threading.Event()
    threading.Thread(target=visits.keep_leases, args=(keeper_stop,), daemon=True).start()

    def visit(number: int, segments: ChosenRun) -> None:
        group = visits.group(segments)
        try:
            visits.visit(group, lambda outcome, is_settled: say("outcome", outcome, is_settled))
        finally:
            group.close()
            say("done", number)

    with concurrent.futures.ThreadPoolExecutor(task.parallel, thread_name_prefix="sync") as pool:
        for kind, *rest in iter(lambda: _read(stdin), None):
            if kind == "stop":
                stop.because(rest[0])
            else:
                pool.submit(visit, *rest)
        stop.set()  # the parent has died: it closes our stdin only when nothing is under way
    keeper_stop.set()
    visits.close()
