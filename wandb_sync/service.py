"""Many runs: in what order, how many at once, in how many processes, until when.

`selection.py` says which, `visits.py` does them one by one, `workers.py` are further processes that do that,
`outcomes.py` is what comes of it.

Rule 1: what happens to one run happens to that run only.  The others are synced; the exit code tells.
Rule 2: nothing here asks a question; whatever needs a decision is an option.
Rule 3: further processes are started when the CPU holds us back, not before: most syncs wait for a server.
"""

from __future__ import annotations

import concurrent.futures
import heapq
import math
import os
import threading
import time
from collections import deque
from typing import Deque, Dict, List, Mapping, Optional, Sequence, Tuple

from wandb.errors import UsageError
from wandb.transaction_log.log_file import size
from wandb_sync.discover import Log, find
from wandb_sync.follow import POLL_EVERY_S
from wandb_sync.options import PARALLEL_RUNS
from wandb_sync.outcomes import EXIT_INTERRUPTED, EXIT_LIMIT, Emit, Outcome, Report, Status
from wandb_sync.run_sync import RunOptions, RunSync
from wandb_sync.selection import Chooser, OptionsFor, ChosenRun, Selection
from wandb_sync.transport.base import Transport
from wandb_sync.transport.stoppable import Stop
from wandb_sync.visits import Group, Visits
from wandb_sync.watch import Found, Pace, Tree
from wandb_sync.workers import Task, Workers

WAKE_EVERY_S = 0.2
FULL_CPU = 0.8  # of one CPU, which is all that one process of Python gets

Working = Dict["concurrent.futures.Future[bool]", Group]


class Service:
    """Syncs runs to one server."""

    def __init__(
        self,
        transport: Transport,
        base_url: str,
        options: RunOptions = RunOptions(),
        *,
        options_for: Optional[OptionsFor] = None,
        selection: Selection = Selection(),
        parallel: int = PARALLEL_RUNS,
        live: bool = False,
        watch: bool = False,
        poll_s: float = POLL_EVERY_S,
        events: bool = True,
        patience_s: Optional[float] = None,
        task: Optional[Task] = None,
        processes: int = 1,
        emit: Emit = lambda event, fields: None,
        stop: Optional[threading.Event] = None,
    ) -> None:
        """Prepare; nothing is read or sent.

        Args:
            options: How all runs are synced.
            options_for: How each is, in place of `options`; see selection.py.
            parallel: Runs at a time, per process.
            live: Whether runs that go on are followed until they end.
            watch: Whether, beyond that, new runs are looked for until somebody stops us.
            poll_s: How often logs that are followed are looked at, in seconds.
            events: Whether a watch uses the kernel's events where they can be.
            patience_s: How long a followed run that cannot be uploaded now is tried again and again; None:
                for ever when watching, else not at all.
            task: What further processes do; None: there are none.
            processes: How many there are, with this one; 0: as many as there are CPUs for us, each started
                when those that are there are at their limit.
            emit: Gets what happens, by event name, from any thread but never from two at once.
            stop: Ends the work when set, at the next request.
        """
        self._parallel = max(1, parallel)
        self._live = live or watch
        self._watch = watch
        self._poll_s = poll_s
        self._events = events
        self._processes = processes
        self._emit_unlocked = emit
        self._emit_lock = threading.Lock()
        self._stop = stop or threading.Event()
        self._outcomes: Dict[Log, Outcome] = {}
        self._base_url = _without_user(base_url)
        self._visits = Visits(
            transport,
            self._base_url,
            live=self._live,
            parallel=self._parallel,
            patience_s=patience_s if patience_s is not None else math.inf if watch else 0.0,
            emit=self._emit,
            stop=self._stop,
        )
        self._chooser = Chooser(
            selection,
            options_for or (lambda log, first: options),
            options.state_dir,
            live=self._live,
            watch=watch,
            emit=self._emit,
            done=lambda outcome: self._note(outcome, True),
        )
        self._workers = Workers(task, self._emit, self._note) if task is not None else None
        self._cpu = CpuMeter()

    def run(self, paths: Sequence[str] = ()) -> Report:
        """Sync what `paths` mean; see discover.py.

        Raises:
            UsageError: No path means a run; nothing was done.
        """
        keeper_stop = threading.Event()
        threading.Thread(target=self._visits.keep_leases, args=(keeper_stop,), daemon=True).start()
        try:
            self._run(paths)
        except KeyboardInterrupt:
            self._stop.set()
        finally:
            keeper_stop.set()
        exit_code = getattr(self._stop, "exit_code", EXIT_INTERRUPTED)
        return Report(list(self._outcomes.values()), self._stop.is_set(), exit_code)

    def _run(self, paths: Sequence[str]) -> None:
        due: Deque[Group] = deque()
        later: List[Tuple[float, int, Group]] = []  # a heap: when a group is due again (monotonic), a number
        working: Working = {}
        n_visits = 0
        tree = Tree(paths, poll_s=self._poll_s, events=self._events) if self._watch else None
        if tree is None:
            due.extend(self._new_groups(Found(*find(paths)), {}))
        polls = Pace(self._poll_s)
        pool = concurrent.futures.ThreadPoolExecutor(self._parallel, thread_name_prefix="sync")
        try:
            while not self._stop.is_set():
                found = tree.look() if tree is not None else None
                if found is not None:
                    there = (*due, *(group for _, _, group in later), *working.values())
                    busy = {run.log: run for group in there for run in group.logs}
                    due.extend(self._new_groups(found, busy))
                if self._live and polls.is_due():
                    later = _with_news_first(later)
                    polls.done()
                while later and later[0][0] <= time.monotonic():
                    due.append(heapq.heappop(later)[2])
                self._begin(due, working, pool)
                if not working and not due and not later and not self._watch:
                    return
                # Not for ever: a signal that another thread got is seen when this one wakes.
                done, _ = concurrent.futures.wait(working, WAKE_EVERY_S, concurrent.futures.FIRST_COMPLETED)
                if not working:
                    self._stop.wait(WAKE_EVERY_S)
                for future in done:
                    group = working.pop(future)
                    if not future.result():
                        self._emit("worker_lost", {"log": group.logs[0].log.shown})
                        due.appendleft(group)
                    elif group.logs:
                        n_visits += 1
                        heapq.heappush(later, (group.due_s, n_visits, group))
        finally:
            if tree is not None:
                tree.close()
            self._end(working, pool)
            for group in (*due, *(group for _, _, group in later), *working.values()):
                self._leave(group)

    def _begin(self, due: Deque[Group], working: Working, pool: concurrent.futures.Executor) -> None:
        """Give what is due to whoever is free, to this process first."""
        n_here = sum(not group.is_away for group in working.values())
        while due and n_here < self._parallel:
            group = due.popleft()
            n_here += 1
            working[pool.submit(self._visits.visit, group, self._note)] = group
        if self._workers is None or not due:
            return
        n_there = 1 + len(self._workers)
        if self._processes or n_there < n_cpus():
            is_wanted = n_there < self._processes if self._processes else self._cpu.is_full()
            if is_wanted:
                self._workers.start()
        while due:
            future = self._workers.submit(due[0])
            if future is None:
                return
            working[future] = due.popleft()

    def _end(self, working: Working, pool: concurrent.futures.Executor) -> None:
        """Wait until nothing is under way any more."""
        if working:
            self._stop.set()  # an interrupt: no more waiting for the server's better days
        if self._workers is not None and self._stop.is_set():
            self._workers.stop(getattr(self._stop, "exit_code", EXIT_INTERRUPTED))
        concurrent.futures.wait(working)
        pool.shutdown(wait=True)
        if self._workers is not None:
            self._workers.close()

    def _leave(self, group: Group) -> None:
        """Let go of a run; one that nobody has come to is told as what it is."""
        for run in group.logs:
            if run.log not in self._outcomes:
                reason = "was not begun; the next sync does it"
                exit_code = getattr(self._stop, "exit_code", EXIT_INTERRUPTED)
                self._note(Outcome(run.log, Status.INTERRUPTED, reason, exit_code), True)
        group.close()

    def _new_groups(self, found: Found, busy: Mapping[Log, RunSync]) -> List[Group]:
        """Return the runs that have something to do, as groups of their logs."""
        runs = self._chooser.fresh(found.logs, found.unusable, busy)
        _refuse_merging(runs)
        if runs:
            logs = [segment.log for segments in runs for segment in segments]
            n_bytes = sum(_size(log) for log in logs)
            self._emit("found", {"n_logs": len(logs), "n_runs": len(runs), "n_bytes": n_bytes})
        return [self._visits.group(segments) for segments in runs]

    def _note(self, outcome: Outcome, is_settled: bool) -> None:
        """Take an outcome, from any thread; the last one of a log is told."""
        if outcome.status is Status.LOCKED and self._chooser.is_shared:
            outcome = Outcome(outcome.log, Status.SKIPPED, "another task is at work on it")
        outcome = outcome._replace(base_url=self._base_url)
        if outcome.exit_code == EXIT_LIMIT and isinstance(self._stop, Stop):
            self._stop.because(EXIT_LIMIT)  # in another process: it is ours too
        self._outcomes[outcome.log] = outcome
        if not is_settled:
            return
        self._chooser.settle(outcome)
        fields = {
            "log": outcome.log.shown,
            "status": outcome.status.value,
            "reason": outcome.reason,
            "exit_code": outcome.exit_code,
            "url": outcome.url,
            "base_url": outcome.base_url,
            **outcome.counts,
        }
        self._emit("run_done", fields)

    def _emit(self, event: str, fields: Mapping[str, object]) -> None:
        with self._emit_lock:
            self._emit_unlocked(event, fields)


def _with_news_first(later: List[Tuple[float, int, Group]]) -> List[Tuple[float, int, Group]]:
    """Return a heap of groups in which those whose logs have grown are due at once."""
    now_s = time.monotonic()
    found = [(now_s if g.has_news(now_s) else due_s, number, g) for due_s, number, g in later]
    heapq.heapify(found)
    return found


def _size(log: Log) -> int:
    try:
        return size(log.path)
    except OSError:
        return 0  # it is gone already


class CpuMeter:
    """How much of one CPU this process uses."""

    def __init__(self) -> None:
        self._since = (time.monotonic(), time.process_time())

    def is_full(self) -> bool:
        """Say whether one CPU was as good as full since this was asked last, for a second at least."""
        now = (time.monotonic(), time.process_time())
        wall_s, cpu_s = now[0] - self._since[0], now[1] - self._since[1]
        if wall_s < 1.0:
            return False
        self._since = now
        return cpu_s / wall_s >= FULL_CPU


def n_cpus() -> int:
    """Return how many CPUs there are for us: a job of Slurm has a part of the node's."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on this system
        return os.cpu_count() or 1


def _refuse_merging(runs: Sequence[ChosenRun]) -> None:
    """See that no two runs are given the same id by the user.

    Raises:
        UsageError: That is so.
    """
    counts: Dict[str, int] = {}
    for segments in runs:
        target = segments[0].options.target
        if target.run_id:
            key = "/".join(target)
            counts[key] = counts.get(key, 0) + 1
            if counts[key] > 1:
                n_runs = sum(segments[0].options.target == target for segments in runs)
                raise UsageError(
                    f"--id {target.run_id} would merge {n_runs} runs into one", hint="give one path"
                )


def _without_user(base_url: str) -> str:
    scheme, mark, rest = base_url.rstrip("/").partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{mark}{host.rpartition('@')[2]}{slash}{path}"
