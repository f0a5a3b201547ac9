"""Visits of runs: each as far as it goes now, and what becomes of one that goes wrong.

Rule 1: what happens to one run happens to that run only.
Rule 2: a run that is followed never holds up another: it has a slice of time at each visit, one that cannot
        be uploaded now is tried again later, and large files leave half of the places to others.
Rule 3: of the logs of one run, one that says where its lines begin waits for no other; of those that do not
        say, the later ones wait until the earlier ones are through.
"""

from __future__ import annotations

import contextlib
import math
import random
import threading
import time
from typing import Callable, Dict, List, Mapping, Optional, Sequence

from wandb.errors import (
    AuthenticationError,
    Error,
    Interrupted,
    LeaseHeld,
    RejectedError,
    TransientError,
)
from wandb.transaction_log.log_file import is_there
import wandb_sync.protocol as protocol
import wandb_sync.batching as batching
from wandb_sync.discover import Log
from wandb_sync.follow import has_ended
from wandb_sync.lease import RENEW_EVERY_S, Lease
from wandb_sync.outcomes import Emit, Outcome, Status
from wandb_sync.run_sync import RunSync
from wandb_sync.selection import ChosenRun
from wandb_sync.transport.base import Transport

VISIT_EVERY_S = 15.0  # how often a followed run is seen to, though its log does not grow
SLICE_S = 1.0  # how long a run that is followed may keep the others from a turn
MAX_OPEN = 256  # followed runs whose logs and leases are held; more are taken up anew for each visit
RETRY_EVERY_S = (1.0, 60.0)  # a run that is followed, and cannot be uploaded now: at first, and at most
TELL_EVERY = 10  # how many attempts later it is told again


class Visits:
    """What all visits of one process to one server share.  Safe for threads.

    Attributes:
        leases: Those that are held, to be renewed.
    """

    def __init__(
        self,
        transport: Transport,
        base_url: str,
        *,
        live: bool,
        parallel: int = 1,
        patience_s: float = 0.0,
        emit: Emit,
        stop: threading.Event,
    ) -> None:
        """Prepare; nothing is read or sent.

        Args:
            live: Whether runs that go on are visited again.
            parallel: How many are visited at a time.
            patience_s: How long such a run may fail for reasons that may pass.
            emit: Gets what happens, by event name, from any thread.
            stop: Ends the work when set, at the next request.
        """
        self._transport = transport
        self._base_url = base_url
        self._live = live
        self._patience_s = patience_s
        self._emit = emit
        self._stop = stop
        self._features: Optional[Mapping[str, bool]] = None
        self._features_lock = threading.Lock()
        self._batch = batching.BatchSize()
        self.leases: List[Lease] = []
        # A batch has no run that is kept waiting: all that is there is to be uploaded.
        self._large_files = threading.Semaphore(max(1, parallel // 2)) if live else None

    def group(self, segments: ChosenRun) -> Group:
        """Return the logs of a run, to be visited.  Nothing is read or sent."""
        return Group(
            segments,
            [
                RunSync(
                    log,
                    self._transport,
                    self._base_url,
                    options,
                    structured_console=self._structured_console,
                    emit=self._emit,
                    first=first if first.run_id else None,
                    others=others,
                    leases=self.leases,
                    batch=self._batch,
                    large_files=self._large_files,
                    stop=self._stop,
                )
                for log, first, others, options in segments
            ],
        )

    def visit(self, group: Group, note: Note) -> bool:
        """Visit the logs of a run in turn, as far as that goes now; what is done is taken off the group.

        Returns:
            True: it was visited.
        """
        began_s = time.monotonic()
        try:
            self._visit_in_turn(group, note)
        finally:
            group.visited(began_s, time.monotonic())
        return True

    def _visit_in_turn(self, group: Group, note: Note) -> None:
        for run in list(group.logs):
            if self._stop.is_set():
                return
            outcome = self._visit_one(run)
            if self._live and self._goes_on(run, outcome, group):
                note(outcome, False)
                if outcome.status is not Status.RUNNING or len(self.leases) > MAX_OPEN:
                    run.close()
                if group.waits_for(run):
                    return
                continue
            run.close()
            group.logs.remove(run)
            note(outcome, True)
            if outcome.status in _UNFINISHED and group.waits_for(run):
                for later in group.logs:
                    reason = f"an earlier part of the run is not uploaded: {run.log.shown}"
                    note(Outcome(later.log, Status.FAILED, reason, outcome.exit_code), True)
                group.logs.clear()
                return

    def _goes_on(self, run: RunSync, outcome: Outcome, group: Group) -> bool:
        """Say whether a log that is followed is to be looked at again; if there is trouble, a while later."""
        if outcome.status is Status.EMPTY:
            return not has_ended(outcome.log.path, None, run.options.assume_dead_after_s, time.time())
        if outcome.status is not Status.LOCKED and outcome.exit_code != TransientError.exit_code:
            group.troubles.pop(outcome.log, None)
            return outcome.status is Status.RUNNING
        now_s = time.monotonic()
        trouble = group.troubles.setdefault(outcome.log, Trouble(now_s))
        if now_s - trouble.since_s >= self._patience_s:
            return False
        wait_s = trouble.next_wait_s()
        if trouble.n_attempts % TELL_EVERY == 1:
            fields = {"log": outcome.log.shown, "operation": "sync", "error": outcome.reason}
            self._emit("waiting", {**fields, "wait_s": round(wait_s, 1)})
        return True

    def _visit_one(self, run: RunSync) -> Outcome:
        outcome = self._try(run)
        # It may have gone before the visit, or in the midst of it.
        if self._live and outcome.status in (*_UNFINISHED, Status.EMPTY) and not is_there(run.log.path):
            return Outcome(run.log, Status.SKIPPED, "the log was moved or removed")
        return outcome

    def _try(self, run: RunSync) -> Outcome:
        try:
            return run.visit(SLICE_S if self._live else math.inf)
        except Interrupted as error:
            reason = "the next sync goes on from what was acknowledged"
            exit_code = getattr(self._stop, "exit_code", error.exit_code)
            return Outcome(run.log, Status.INTERRUPTED, reason, exit_code)
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

    def close(self) -> None:
        """Release the connections."""
        self._transport.close()

    def keep_leases(self, stop: threading.Event) -> None:
        """Renew the leases until told to stop; for a thread of its own."""
        while not stop.wait(RENEW_EVERY_S):
            for lease in list(self.leases):
                with contextlib.suppress(OSError):
                    lease.renew()


_UNFINISHED = (Status.FAILED, Status.LOCKED, Status.RUNNING)
Note = Callable[[Outcome, bool], None]  # an outcome, and whether it is the last one of its log


class Group:
    """The logs of one run that are still to be synced, in order.

    Attributes:
        is_away: Whether another process visits them.
        due_s: When it is to be visited in any case; by the monotonic clock, as all times here.
        troubles: The logs that could not be uploaded at the last visit, though they may be later.
    """

    def __init__(self, segments: ChosenRun, logs: Sequence[RunSync]) -> None:
        self._segments = segments
        self.logs: List[RunSync] = list(logs)
        self.is_away = False
        self.due_s = 0.0
        self.troubles: Dict[Log, Trouble] = {}
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

    def segments(self) -> ChosenRun:
        """Return what is left, with what is known by now of the run's other segments."""
        others = {run.log: run.others for run in self.logs}
        return [s._replace(others=others[s.log]) for s in self._segments if s.log in others]

    def waits_for(self, run: RunSync) -> bool:
        """Say whether there are logs that have to wait until `run` is through."""
        others = [other for other in self.logs if other is not run]
        return bool(others) and not all(other.says_where_it_begins for other in others)

    def close(self) -> None:
        for run in self.logs:
            run.close()


class Trouble:
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


def _trace(error: BaseException) -> str:
    import traceback

    return "".join(traceback.format_exception(type(error), error, error.__traceback__))
