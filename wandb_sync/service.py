"""Many runs: in what order, how many at once, until when.

`selection.py` says which, `visits.py` does them one by one, `outcomes.py` is what comes of it.

Rule 1: what happens to one run happens to that run only.  The others are synced; the exit code tells.
Rule 2: nothing here asks a question; whatever needs a decision is an option.
"""

from __future__ import annotations

import concurrent.futures
import math
import threading
import time
from collections import deque
from typing import Deque, Dict, Iterable, List, Mapping, Optional, Sequence

from wandb.errors import UsageError
from wandb.transaction_log.log_file import size
from wandb_sync.discover import Log
from wandb_sync.outcomes import Emit, Outcome, Report
from wandb_sync.run_sync import RunOptions, RunSync
from wandb_sync.selection import Chooser, Selection
from wandb_sync.transport.base import Transport
from wandb_sync.visits import Group, Visits

PARALLEL_RUNS = 5  # as wandb
VISIT_EVERY_S = 15.0  # how often a followed log is read; wandb posts as often
LOOK_EVERY_S = 30.0  # how often new runs are looked for when watching; listing a tree is dear on a cluster
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
        emit: Emit = lambda event, fields: None,
        stop: Optional[threading.Event] = None,
    ) -> None:
        """Prepare; nothing is read or sent.

        Args:
            live: Whether runs that go on are followed until they end.
            watch: Whether, beyond that, new runs are looked for until somebody stops us.
            emit: Gets what happens, by event name, from any thread but never from two at once.
            stop: Ends the work when set, at the next request.
        """
        self._options = options
        self._parallel = max(1, parallel)
        self._watch = watch
        self._emit_unlocked = emit
        self._emit_lock = threading.Lock()
        self._stop = stop or threading.Event()
        self._outcomes: Dict[Log, Outcome] = {}
        self._visits = Visits(
            transport, _without_user(base_url), options, live=live or watch, emit=self._emit, stop=self._stop
        )
        self._chooser = Chooser(
            selection,
            options.state_dir,
            live=live or watch,
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
        look_at_s = 0.0
        pool = concurrent.futures.ThreadPoolExecutor(self._parallel, thread_name_prefix="sync")
        try:
            while not self._stop.is_set():
                now_s = time.monotonic()
                if now_s >= look_at_s:
                    look_at_s = now_s + LOOK_EVERY_S if self._watch else math.inf
                    busy = {run.log: run for group in (*groups, *working.values()) for run in group.logs}
                    groups.extend(self._new_groups(paths, busy))
                for group in [group for group in groups if group.due_s <= now_s]:
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
                        group.due_s = time.monotonic() + VISIT_EVERY_S
                        groups.append(group)
        finally:
            self._stop_if_broken(working)
            pool.shutdown(wait=True)
            for group in [*groups, *working.values()]:
                group.close()

    def _stop_if_broken(self, working: Iterable[object]) -> None:
        if list(working):
            self._stop.set()  # an interrupt: no more waiting for the server's better days

    def _new_groups(self, paths: Sequence[str], busy: Mapping[Log, RunSync]) -> List[Group]:
        """Return the runs that have something to do, as groups of their logs."""
        runs = self._chooser.fresh(paths, busy)
        wanted_id = self._options.target.run_id
        if wanted_id and len(runs) > 1:
            raise UsageError(f"--id {wanted_id} would merge {len(runs)} runs into one", hint="give one path")
        if runs:
            logs = [log for segments in runs for log, _, _ in segments]
            n_bytes = sum(size(log.path) for log in logs)
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


def _without_user(base_url: str) -> str:
    scheme, mark, rest = base_url.rstrip("/").partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{mark}{host.rpartition('@')[2]}{slash}{path}"
