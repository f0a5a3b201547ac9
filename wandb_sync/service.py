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
import random
import threading
import time
from collections import deque
from pathlib import Path
from typing import (
    AbstractSet,
    Callable,
    Deque,
    Dict,
    Iterable,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Set,
    Tuple,
)

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
from wandb_sync.follow import POLL_EVERY_S, has_ended
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
from wandb_sync.watch import Pace, Tree

PARALLEL_RUNS = 5  # as wandb
VISIT_EVERY_S = 15.0  # how often a followed run is seen to, though its log does not grow
SLICE_S = 1.0  # how long a run that is followed may keep the others from a turn
MAX_OPEN = 256  # followed runs whose logs and leases are held; more are taken up anew for each visit

RETRY_EVERY_S = (1.0, 60.0)  # a run that is followed, and cannot be uploaded now: at first, and at most
TELL_EVERY = 10  # how many attempts later it is told again

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
            patience_s: How long a followed run that cannot be uploaded now is tried again and again; None: for
                ever when watching, else not at all.
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
        self._poll_s = poll_s
        self._events = events
        self._patience_s = patience_s if patience_s is not None else math.inf if watch else 0.0
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
        tree = Tree(paths, poll_s=self._poll_s, events=self._events) if self._watch else None
        if tree is None:
            groups.extend(self._new_groups(*find(paths), {}, outcomes))
        polls = Pace(self._poll_s)
        pool = concurrent.futures.ThreadPoolExecutor(self._parallel, thread_name_prefix="sync")
        try:
            while not self._stop.is_set():
                found = tree.look() if tree is not None else None
                if found is not None:
                    busy = {run.log: run for group in (*groups, *working.values()) for run in group.logs}
                    groups.extend(self._new_groups(found.logs, found.unusable, busy, outcomes))
                for group in self._due(groups, polls):
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
                        groups.append(group)
        finally:
            self._stop_if_broken(working)
            if tree is not None:
                tree.close()
            pool.shutdown(wait=True)
            for group in [*groups, *working.values()]:
                group.close()

    def _due(self, groups: Iterable[_Group], polls: Pace) -> List[_Group]:
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

    # ---- which runs

    def _new_groups(
        self,
        logs: Sequence[Log],
        unusable: Optional[Sequence[Unusable]],
        busy: Mapping[Log, RunSync],
        outcomes: Dict[Log, Outcome],
    ) -> List[_Group]:
        """Return the runs that have something to do; those that are not wanted have their outcome at once.

        Args:
            logs, unusable: What paths mean; see discover.py.  If `unusable` is None, there are others too.
            busy: What is at work; it is told of the segments that have come since.
        """
        fresh: List[Log] = []
        n_bytes = 0
        if unusable is not None:
            self._tell_unusable(unusable, bool(logs), outcomes)
            self._forget_gone({*logs, *busy})
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
            with contextlib.suppress(OSError):  # gone already
                n_bytes += os.path.getsize(log.path)
        if not fresh:
            return []
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

    def _forget_gone(self, there: AbstractSet[Log]) -> None:
        """Forget logs whose directories were moved or removed since they were seen."""
        for log in [log for log in self._seen if log not in there and not log.path.exists()]:
            del self._seen[log]

    def _tell_unusable(
        self, unusable: Sequence[Unusable], are_others: bool, outcomes: Dict[Log, Outcome]
    ) -> None:
        """Say what becomes of paths that mean no run; a watch waits for one to come there."""
        if unusable and not are_others and not self._watch:
            raise usage_error(unusable[0])
        for path, reason, error in unusable:
            log = Log(Path(path), path, is_named=True)
            if self._watch:
                if path not in self._awaited:
                    self._emit("awaited", {"path": path, "reason": reason})
                self._awaited.add(path)
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
        began_s = time.monotonic()
        try:
            self._visit_logs(group, outcomes)
        finally:
            group.visited(began_s, time.monotonic())

    def _visit_logs(self, group: _Group, outcomes: Dict[Log, Outcome]) -> None:
        for run in list(group.logs):
            if self._stop.is_set():
                return
            outcome = self._visit(run)
            if self._live and self._goes_on(outcome, group):
                outcomes[run.log] = outcome
                if outcome.status is not Status.RUNNING or len(self._leases) > MAX_OPEN:
                    run.close()
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

    def _goes_on(self, outcome: Outcome, group: _Group) -> bool:
        """Say whether a log that is followed is to be looked at again; if there is trouble, a while later."""
        if outcome.status is Status.EMPTY:
            return not has_ended(outcome.log.path, None, self._options.assume_dead_after_s, time.time())
        if outcome.status is not Status.LOCKED and outcome.exit_code != TransientError.exit_code:
            group.troubles.pop(outcome.log, None)
            return outcome.status is Status.RUNNING
        now_s = time.monotonic()
        trouble = group.troubles.setdefault(outcome.log, _Trouble(now_s))
        if now_s - trouble.since_s >= self._patience_s:
            return False
        wait_s = trouble.next_wait_s()
        if trouble.n_attempts % TELL_EVERY == 1:
            fields = {"log": outcome.log.shown, "operation": "sync", "error": outcome.reason}
            self._emit("waiting", {**fields, "wait_s": round(wait_s, 1)})
        return True

    def _visit(self, run: RunSync) -> Outcome:
        try:
            if self._live and not run.log.path.exists():
                return Outcome(run.log, Status.SKIPPED, "the log was moved or removed")
            return run.visit(SLICE_S if self._live else math.inf)
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
        self._seen.setdefault(outcome.log, _Seen()).settle(outcome.log)
        if self._live and not outcome.log.path.exists():
            self._seen.pop(outcome.log, None)
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
    """The logs of one run that are still to be synced, in order.

    Attributes:
        due_s: When it is to be visited in any case; by the monotonic clock, as all times here.
        troubles: The logs that could not be uploaded at the last visit, though they may be later.
    """

    def __init__(self, logs: Sequence[RunSync]) -> None:
        self.logs: List[RunSync] = list(logs)
        self.due_s = 0.0
        self.troubles: Dict[Log, _Trouble] = {}
        self._resting_until_s = 0.0

    def has_news(self, now_s: float) -> bool:
        """Say whether a visit is worth while before it is due."""
        if now_s < self._resting_until_s:
            return False
        try:
            return any(run.has_news() for run in self.logs if run.log not in self.troubles)
        except OSError:
            return True

    def visited(self, began_s: float, ended_s: float) -> None:
        """Plan the next visit; a server that is slow, or asks for patience, gets as long a rest."""
        self._resting_until_s = ended_s + (ended_s - began_s)
        waits = [self.troubles[run.log].wait_s for run in self.logs if run.log in self.troubles]
        if len(waits) < len(self.logs):
            waits.append(0.0 if any(run.is_behind for run in self.logs) else VISIT_EVERY_S)
        self.due_s = ended_s + min(waits, default=0.0)

    def waits_for(self, run: RunSync) -> bool:
        """Say whether there are logs that have to wait until `run` is through."""
        others = [other for other in self.logs if other is not run]
        return bool(others) and not all(other.says_where_it_begins for other in others)

    def close(self) -> None:
        for run in self.logs:
            run.close()


class _Trouble:
    """A followed log that cannot be uploaded now: since when, and how long until the next attempt."""

    def __init__(self, since_s: float) -> None:
        self.since_s = since_s
        self.n_attempts = 0
        self.wait_s = 0.0

    def next_wait_s(self) -> float:
        """Count an attempt; return how long to wait: twice as long each time, and not all at one moment."""
        first_s, highest_s = RETRY_EVERY_S
        self.wait_s = random.uniform(0.5, 1.0) * min(highest_s, first_s * 2.0 ** min(self.n_attempts, 20))
        self.n_attempts += 1
        return self.wait_s


class _Seen:
    """What is known of a log that was looked at."""

    def __init__(self) -> None:
        self.first: Optional[Peek] = None
        self._was: Tuple[int, ...] = ()  # size and time of change when it was settled

    def settle(self, log: Log) -> None:
        """Note that it is done with, until it changes."""
        self._was = _signature(log)

    def is_due(self, log: Log) -> bool:
        return _signature(log) != self._was


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
