"""Many runs: which of them, in what order, how many at once, and what the whole thing is worth.

Rule 1: what happens to one run happens to that run only.  The others are synced; the exit code tells.
Rule 2: logs of the same run are synced one after the other, each behind the one it follows, else by the time
        at which they began.  One that says where its lines begin waits for no other; of those that do not
        say, the later ones wait until the earlier ones are through.
Rule 3: nothing here asks a question; whatever needs a decision is an option.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import glob
import math
import os
import threading
import time
from collections import deque
from pathlib import Path
from typing import Callable, Deque, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

from wandb.errors import (
    AuthenticationError,
    Error,
    Interrupted,
    LeaseHeld,
    RejectedError,
    TransientError,
    UsageError,
)
import wandb_sync.protocol as protocol
from wandb_sync.discover import Log, Unusable, find, usage_error, sidecars
from wandb_sync.lease import RENEW_EVERY_S, Lease
from wandb_sync.follow import has_ended
from wandb_sync.run_sync import (
    Emit,
    Others,
    Outcome,
    Peek,
    RunOptions,
    RunSync,
    Status,
    is_damaged,
    peek,
)
from wandb_sync.transport.base import Transport

PARALLEL_RUNS = 5  # as wandb
VISIT_EVERY_S = 15.0  # how often a followed log is read; wandb posts as often
LOOK_EVERY_S = 30.0  # how often new runs are looked for when watching; listing a tree is dear on a cluster

RETRY_EVERY_S = (60.0, 900.0)  # what a watch does about a server that is down: at first, and at most

WAKE_EVERY_S = 0.2

EXIT_PARTIAL = 3
EXIT_INTERRUPTED = 130


class Selection(NamedTuple):
    """Which of the logs that were found are wanted.

    Attributes:
        include_online: Whether runs that wandb recorded online are wanted too, if nobody named them.
        include_offline: Whether the others are.
        wanted: Further says yes or no to a log.
    """

    include_online: bool = False
    include_offline: bool = True
    wanted: Callable[[Log], bool] = lambda log: True


class Report(NamedTuple):
    """What became of all runs."""

    outcomes: List[Outcome]
    was_interrupted: bool = False
    interrupt_code: int = EXIT_INTERRUPTED  # by what: Ctrl-C, SIGTERM

    @property
    def exit_code(self) -> int:
        """What a script is to be told; see README.md for the table.

        If all runs that are not well have the same trouble and no run is well, that trouble's code; else 3.
        """
        if self.was_interrupted:
            return self.interrupt_code
        codes = {outcome.exit_code for outcome in self.outcomes}
        if not codes:
            return 0
        return codes.pop() if len(codes) == 1 else EXIT_PARTIAL

    @property
    def by_status(self) -> Dict[str, int]:
        """How many runs have which status."""
        found: Dict[str, int] = {}
        for outcome in self.outcomes:
            found[outcome.status.value] = found.get(outcome.status.value, 0) + 1
        return found


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
        self._transport = transport
        self._base_url = _without_user(base_url)
        self._options = options
        self._selection = selection
        self._parallel = max(1, parallel)
        self._live = live or watch
        self._watch = watch
        self._emit_unlocked = emit
        self._emit_lock = threading.Lock()
        self._stop = stop or threading.Event()
        self._features: Optional[Mapping[str, bool]] = None
        self._features_lock = threading.Lock()
        self._leases: List[Lease] = []
        self._awaited: Set[str] = set()  # paths without a run that were told
        self._seen: Dict[Log, _Seen] = {}
        self._siblings_seen: Dict[Log, _Seen] = {}  # segments that nobody asked for

    def run(self, paths: Sequence[str] = ()) -> Report:
        """Sync what `paths` mean; see discover.py.

        Raises:
            UsageError: No path means a run; nothing was done.
        """
        keeper_stop = threading.Event()
        keeper = threading.Thread(target=self._keep_leases, args=(keeper_stop,), daemon=True)
        keeper.start()
        outcomes: Dict[Log, Outcome] = {}
        try:
            self._run(paths, outcomes)
        except KeyboardInterrupt:
            self._stop.set()
            return Report(list(outcomes.values()), was_interrupted=True)
        finally:
            keeper_stop.set()
        return Report(list(outcomes.values()), was_interrupted=self._stop.is_set())

    def _run(self, paths: Sequence[str], outcomes: Dict[Log, Outcome]) -> None:
        groups: Deque[_Group] = deque()
        working: Dict[concurrent.futures.Future[None], _Group] = {}
        look_again_s = 0.0
        pool = concurrent.futures.ThreadPoolExecutor(self._parallel, thread_name_prefix="sync")
        try:
            while not self._stop.is_set():
                now_s = time.monotonic()
                if now_s >= look_again_s and (self._watch or not self._seen):
                    look_again_s = now_s + LOOK_EVERY_S
                    busy = {run.log: run for group in (*groups, *working.values()) for run in group.logs}
                    groups.extend(self._new_groups(paths, busy, outcomes))
                for group in [group for group in groups if group.due_s <= now_s]:
                    if len(working) < self._parallel:
                        groups.remove(group)
                        working[pool.submit(self._visit_group, group, outcomes)] = group
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

    # ---- which runs

    def _new_groups(
        self, paths: Sequence[str], busy: Mapping[Log, RunSync], outcomes: Dict[Log, Outcome]
    ) -> List[_Group]:
        """Return the runs that have something to do; those that are not wanted have their outcome at once.

        Args:
            busy: What is at work; it is told of the segments that have come since.
        """
        fresh: List[Log] = []
        n_bytes = 0
        logs, unusable = find(paths)
        self._tell_unusable(unusable, bool(logs), outcomes)
        for log in logs:
            if log in busy or not self._selection.wanted(log):
                continue
            seen = self._seen.get(log)
            if seen is not None and not seen.is_due(log):
                continue
            self._seen[log] = seen = seen or _Seen()
            try:
                seen.first = peek(log.path)
            except Error as error:
                self._done(outcomes, Outcome(log, Status.FAILED, str(error), error.exit_code))
                continue
            if not self._is_wanted(log, seen.first):
                reason = "recorded online; --include-online syncs it" if log.is_online else "recorded offline"
                self._done(outcomes, Outcome(log, Status.SKIPPED, reason))
                continue
            if seen.first is None and (not self._live or is_damaged(log.path)):
                self._done(outcomes, self._without_run(log))
                continue
            fresh.append(log)
            n_bytes += os.path.getsize(log.path)
        groups = [
            _Group([self._run_sync(log, others) for log, others in run]) for run in self._runs_of(fresh, busy)
        ]
        wanted_id = self._options.target.run_id
        if wanted_id and len(groups) > 1:
            raise UsageError(
                f"--id {wanted_id} would merge {len(groups)} runs into one", hint="give one path"
            )
        if groups:
            n_logs = sum(len(group.logs) for group in groups)
            self._emit("found", {"n_logs": n_logs, "n_runs": len(groups), "n_bytes": n_bytes})
        return groups

    def _tell_unusable(
        self, unusable: Sequence[Unusable], are_others: bool, outcomes: Dict[Log, Outcome]
    ) -> None:
        """Say what becomes of paths that mean no run; a watch waits for one to come there."""
        if unusable and not are_others and not self._watch:
            raise usage_error(unusable[0])
        for path, reason, error, is_side in unusable:
            log = Log(Path(path), path, is_named=True)
            if self._watch:
                if path not in self._awaited:
                    self._emit("awaited", {"path": path, "reason": reason})
                self._awaited.add(path)
            elif is_side:
                self._done(outcomes, Outcome(log, Status.INCOMPLETE, reason, EXIT_PARTIAL))
            elif error is None:
                self._done(outcomes, Outcome(log, Status.EMPTY, reason))
            else:
                code = UsageError.exit_code if isinstance(error, FileNotFoundError) else Error.exit_code
                self._done(outcomes, Outcome(log, Status.FAILED, reason, code))

    def _runs_of(self, fresh: Sequence[Log], busy: Mapping[Log, RunSync]) -> List[List[Tuple[Log, Others]]]:
        """Return fresh logs by run, in order, each with the run's other segments, be those fresh or not."""
        by_run: Dict[Tuple[str, ...], List[Log]] = {}
        for log, seen in self._seen.items():
            first = seen.first
            run = (first.entity, first.project, first.run_id) if first else ("", "", str(log.path))
            by_run.setdefault(run, []).append(log)
        for log in fresh:
            first = self._seen[log].first
            if log.is_named and first is not None:
                logs = by_run[(first.entity, first.project, first.run_id)]
                known = {other.path for other in logs}
                logs += [other for other in self._siblings(log, first) if other.path not in known]
        found = []
        for logs in by_run.values():
            firsts = {log: self._first_of(log) for log in logs}
            logs.sort(key=lambda log: _place(log, firsts))
            ends = {first.previous: first.previous_end for first in firsts.values()}
            wanted = []
            for number, log in enumerate(logs):
                # Who does not say what he follows did not know of the others.
                after = [other for other in logs[number + 1 :] if firsts[other].previous]
                before = logs[:number] if firsts[log].previous else []
                others = Others(before, after, ends.get(_name(log), 0))
                if log in fresh:
                    wanted.append((log, others))
                elif log in busy:
                    busy[log].others = others
            if wanted:
                found.append(wanted)
        return found

    def _first_of(self, log: Log) -> Peek:
        seen = self._seen.get(log) or self._siblings_seen[log]
        return seen.first or _NOTHING

    def _siblings(self, log: Log, first: Peek) -> List[Log]:
        """Return segments beside one that was named, if they were uploaded: that one may not be the last."""
        found = []
        for path in log.directory.parent.glob(f"*run-*/{glob.escape(log.path.name)}"):
            other = Log(path.resolve(), str(path))
            if other.path == log.path or not sidecars(other, self._options.state_dir).checkpoint.exists():
                continue
            with contextlib.suppress(Error):
                seen = _Seen()
                seen.first = peek(path)
                if seen.first is not None and seen.first[:3] == first[:3]:
                    found.append(other)
                    self._siblings_seen.setdefault(other, seen)
        return found

    def _without_run(self, log: Log) -> Outcome:
        if is_damaged(log.path):
            reason = "the record that says which run it is is damaged"
            return Outcome(log, Status.INCOMPLETE, reason, EXIT_PARTIAL)
        return Outcome(log, Status.EMPTY, "the log does not say which run it is: nothing was recorded")

    def _is_wanted(self, log: Log, first: Optional[Peek]) -> bool:
        if not log.is_online:
            return self._selection.include_offline or log.is_named
        # Runs that wandb-ng records in online mode are uploaded by nobody else.
        is_ours = first is not None and first.is_ours
        return self._selection.include_online or log.is_named or is_ours

    def _run_sync(self, log: Log, others: Others) -> RunSync:
        return RunSync(
            log,
            self._transport,
            self._base_url,
            self._options,
            structured_console=self._structured_console,
            emit=self._emit,
            first=self._seen[log].first,
            others=others,
            leases=self._leases,
            stop=self._stop,
        )

    # ---- one run

    def _visit_group(self, group: _Group, outcomes: Dict[Log, Outcome]) -> None:
        """Visit the logs of a run in turn, as far as that goes now; what is done is taken off the group."""
        for run in list(group.logs):
            if self._stop.is_set():
                return
            outcome = self._visit(run)
            if self._live and self._goes_on(outcome):
                outcomes[run.log] = outcome
                if group.waits_for(run):
                    return
                continue
            run.close()
            group.logs.remove(run)
            self._done(outcomes, outcome)
            if outcome.status in _UNFINISHED and group.waits_for(run):
                for later in group.logs:
                    reason = f"an earlier part of the run is not uploaded: {run.log.shown}"
                    self._done(outcomes, Outcome(later.log, Status.FAILED, reason, outcome.exit_code))
                group.logs.clear()
                return

    def _goes_on(self, outcome: Outcome) -> bool:
        """Say whether a log that is followed is to be looked at again."""
        if outcome.status is not Status.EMPTY:
            return outcome.status is Status.RUNNING
        return not has_ended(outcome.log.path, None, self._options.assume_dead_after_s, time.time())

    def _visit(self, run: RunSync) -> Outcome:
        try:
            return run.visit()
        except Interrupted as error:
            reason = "the next sync goes on from what was acknowledged"
            return Outcome(run.log, Status.INTERRUPTED, reason, error.exit_code)
        except LeaseHeld as error:
            return Outcome(run.log, Status.LOCKED, str(error), error.exit_code)
        except Error as error:
            return Outcome(run.log, Status.FAILED, str(error), error.exit_code)
        except OSError as error:
            where = error.filename or run.log.shown
            return Outcome(run.log, Status.FAILED, f"{where}: {error.strerror or error}", 1)
        except Exception as error:  # a bug of ours must not take the other runs with it (rule 1)
            self._emit("internal_error", {"log": run.log.shown, "error": _trace(error)})
            return Outcome(run.log, Status.FAILED, f"internal error: {type(error).__name__}: {error}", 1)

    def _done(self, outcomes: Dict[Log, Outcome], outcome: Outcome) -> None:
        outcomes[outcome.log] = outcome
        self._seen.setdefault(outcome.log, _Seen()).settle(outcome)
        fields = {
            "log": outcome.log.shown,
            "status": outcome.status.value,
            "reason": outcome.reason,
            "exit_code": outcome.exit_code,
            "url": outcome.url,
            **outcome.counts,
        }
        self._emit("run_done", fields)

    # ---- shared by all runs

    def _structured_console(self) -> bool:
        with self._features_lock:
            if self._features is None:
                self._features = self._ask_features()
            return self._features.get("STRUCTURED_CONSOLE_LOGS", False)

    def _ask_features(self) -> Mapping[str, bool]:
        try:
            return protocol.read_features(self._transport.send(protocol.server_features()))
        except AuthenticationError:
            raise
        except RejectedError:
            return {}  # an old server, or one behind a proxy that knows its questions by name

    def _emit(self, event: str, fields: Mapping[str, object]) -> None:
        with self._emit_lock:
            self._emit_unlocked(event, fields)

    def _keep_leases(self, stop: threading.Event) -> None:
        while not stop.wait(RENEW_EVERY_S):
            for lease in list(self._leases):
                with contextlib.suppress(OSError):
                    lease.renew()


_NOTHING = Peek("", "", "", 0.0, False)
_UNFINISHED = (Status.FAILED, Status.LOCKED, Status.RUNNING)


class _Group:
    """The logs of one run that are still to be synced, in order."""

    def __init__(self, logs: Sequence[RunSync]) -> None:
        self.logs: List[RunSync] = list(logs)
        self.due_s = 0.0  # monotonic

    def waits_for(self, run: RunSync) -> bool:
        """Say whether there are logs that have to wait until `run` is through."""
        others = [other for other in self.logs if other is not run]
        return bool(others) and not all(other.says_where_it_begins for other in others)

    def close(self) -> None:
        for run in self.logs:
            run.close()


class _Seen:
    """What is known of a log that was looked at."""

    def __init__(self) -> None:
        self.first: Optional[Peek] = None
        self._was: Tuple[int, ...] = ()  # size and time of change when it was settled
        self._retry_at_s = math.inf  # monotonic
        self._retry_after_s = RETRY_EVERY_S[0]

    def settle(self, outcome: Outcome) -> None:
        """Note what became of it: it is due when it changes, or after a while if the trouble may pass."""
        self._was = _signature(outcome.log)
        self._retry_at_s = math.inf
        if outcome.status is Status.LOCKED or outcome.exit_code == TransientError.exit_code:
            self._retry_at_s = time.monotonic() + self._retry_after_s
            self._retry_after_s = min(2 * self._retry_after_s, RETRY_EVERY_S[1])

    def is_due(self, log: Log) -> bool:
        return time.monotonic() >= self._retry_at_s or _signature(log) != self._was


def _signature(log: Log) -> Tuple[int, ...]:
    try:
        status = os.stat(log.path)
    except OSError:
        return ()
    return (status.st_size, status.st_mtime_ns)


def _place(log: Log, firsts: Mapping[Log, Peek]) -> Tuple[float, int, float, str]:
    """Return what sorts the segments of a run: since when it was rewound last, rows before, begin."""
    by_name = {_name(other): other for other in firsts}
    root, seen = log, {log}
    while (before := by_name.get(firsts[root].previous)) is not None and before not in seen:
        seen.add(before)
        root = before
    rewound_s = firsts[root].started_s if firsts[root].is_rewound else 0.0
    return (rewound_s, firsts[log].n_before, firsts[log].started_s, str(log.path))


def _name(log: Log) -> str:
    return f"{log.directory.name}/{log.path.name}"


def _without_user(base_url: str) -> str:
    scheme, mark, rest = base_url.rstrip("/").partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{mark}{host.rpartition('@')[2]}{slash}{path}"


def _trace(error: BaseException) -> str:
    import traceback

    return "".join(traceback.format_exception(type(error), error, error.__traceback__))
