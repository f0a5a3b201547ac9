"""Many runs: in what order, how many at once, until when.

`selection.py` says which, `visits.py` does them one by one, `outcomes.py` is what comes of it.

Rule 1: what happens to one run happens to that run only.  The others are synced; the exit code tells.
Rule 2: nothing here asks a question; whatever needs a decision is an option.
"""

from __future__ import annotations

import concurrent.futures
import math
import os
import threading
import time
from collections import deque
from typing import Deque, Dict, Iterable, List, Mapping, Optional, Sequence

from wandb.errors import UsageError
from wandb_sync.discover import Log, find
from wandb_sync.follow import POLL_EVERY_S
from wandb_sync.outcomes import Emit, Outcome, Report
from wandb_sync.run_sync import RunOptions, RunSync
from wandb_sync.selection import Chooser, Selection
from wandb_sync.transport.base import Transport
from wandb_sync.visits import Group, Visits
from wandb_sync.watch import Found, Pace, Tree

PARALLEL_RUNS = 5  # as wandb
WAKE_EVERY_S = 0.2


class Service:
    """Syncs runs to one server."""

    def __init__(
        self,
        transport: Transport,
        base_url: str,
        options: RunOptions = RunOptions(),
        *,
        selection: Selection = Selection(),
        parallel: int = PARALLEL_RUNS,
        live: bool = False,
        watch: bool = False,
        poll_s: float = POLL_EVERY_S,
        events: bool = True,
        patience_s: Optional[float] = None,
        emit: Emit = lambda event, fields: None,
        stop: Optional[threading.Event] = None,
    ) -> None:
        """Prepare; nothing is read or sent.

        Args:
            live: Whether runs that go on are followed until they end.
            watch: Whether, beyond that, new runs are looked for until somebody stops us.
            poll_s: How often logs that are followed are looked at, in seconds.
            events: Whether a watch uses the kernel's events where they can be.
            patience_s: How long a followed run that cannot be uploaded now is tried again and again; None:
                for ever when watching, else not at all.
            emit: Gets what happens, by event name, from any thread but never from two at once.
            stop: Ends the work when set, at the next request.
        """
        self._options = options
        self._parallel = max(1, parallel)
        self._live = live or watch
        self._watch = watch
        self._poll_s = poll_s
        self._events = events
        self._emit_unlocked = emit
        self._emit_lock = threading.Lock()
        self._stop = stop or threading.Event()
        self._outcomes: Dict[Log, Outcome] = {}
        self._visits = Visits(
            transport,
            _without_user(base_url),
            options,
            live=self._live,
            patience_s=patience_s if patience_s is not None else math.inf if watch else 0.0,
            emit=self._emit,
            stop=self._stop,
        )
        self._chooser = Chooser(
            selection,
            options.state_dir,
            live=self._live,
            watch=watch,
            emit=self._emit,
            done=lambda outcome: self._note(outcome, True),
        )

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
            return Report(list(self._outcomes.values()), was_interrupted=True)
        finally:
            keeper_stop.set()
        return Report(list(self._outcomes.values()), was_interrupted=self._stop.is_set())

    def _run(self, paths: Sequence[str]) -> None:
        groups: Deque[Group] = deque()
        working: Dict[concurrent.futures.Future[None], Group] = {}
        tree = Tree(paths, poll_s=self._poll_s, events=self._events) if self._watch else None
        if tree is None:
            groups.extend(self._new_groups(Found(*find(paths)), {}))
        polls = Pace(self._poll_s)
        pool = concurrent.futures.ThreadPoolExecutor(self._parallel, thread_name_prefix="sync")
        try:
            while not self._stop.is_set():
                found = tree.look() if tree is not None else None
                if found is not None:
                    busy = {run.log: run for group in (*groups, *working.values()) for run in group.logs}
                    groups.extend(self._new_groups(found, busy))
                for group in self._due(groups, polls):
                    if len(working) < self._parallel:
                        groups.remove(group)
                        working[pool.submit(self._visits.visit, group, self._note)] = group
                if not working and not groups and not self._watch:
                    return
                # Not for ever: a signal that another thread got is seen when this one wakes.
                done, _ = concurrent.futures.wait(working, WAKE_EVERY_S, concurrent.futures.FIRST_COMPLETED)
                if not working:
                    self._stop.wait(WAKE_EVERY_S)
                for future in done:
                    group = working.pop(future)
                    future.result()
                    if group.logs:
                        groups.append(group)
        finally:
            self._stop_if_broken(working)
            if tree is not None:
                tree.close()
            pool.shutdown(wait=True)
            for group in [*groups, *working.values()]:
                group.close()

    def _due(self, groups: Iterable[Group], polls: Pace) -> List[Group]:
        """Return the runs that are to be visited now: it is time, or their logs have grown."""
        now_s = time.monotonic()
        if not self._live or not polls.is_due():
            return [group for group in groups if group.due_s <= now_s]
        due = [group for group in groups if group.due_s <= now_s or group.has_news(now_s)]
        polls.done()
        return due

    def _stop_if_broken(self, working: Iterable[object]) -> None:
        if list(working):
            self._stop.set()  # an interrupt: no more waiting for the server's better days

    def _new_groups(self, found: Found, busy: Mapping[Log, RunSync]) -> List[Group]:
        """Return the runs that have something to do, as groups of their logs."""
        runs = self._chooser.fresh(found.logs, found.unusable, busy)
        wanted_id = self._options.target.run_id
        if wanted_id and len(runs) > 1:
            raise UsageError(f"--id {wanted_id} would merge {len(runs)} runs into one", hint="give one path")
        if runs:
            logs = [log for segments in runs for log, _, _ in segments]
            n_bytes = sum(_size(log) for log in logs)
            self._emit("found", {"n_logs": len(logs), "n_runs": len(runs), "n_bytes": n_bytes})
        return [self._visits.group(segments) for segments in runs]

    def _note(self, outcome: Outcome, is_settled: bool) -> None:
        """Take an outcome, from any thread; the last one of a log is told."""
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
            **outcome.counts,
        }
        self._emit("run_done", fields)

    def _emit(self, event: str, fields: Mapping[str, object]) -> None:
        with self._emit_lock:
            self._emit_unlocked(event, fields)


def _size(log: Log) -> int:
    try:
        return os.path.getsize(log.path)
    except OSError:
        return 0  # it is gone already


def _without_user(base_url: str) -> str:
    scheme, mark, rest = base_url.rstrip("/").partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{mark}{host.rpartition('@')[2]}{slash}{path}"
