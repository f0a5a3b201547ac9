"""Visits of runs: each as far as it goes now, and what becomes of one that goes wrong.

Rule 1: what happens to one run happens to that run only.
Rule 2: of the logs of one run, one that says where its lines begin waits for no other; of those that do not
        say, the later ones wait until the earlier ones are through.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Callable, List, Mapping, Optional, Sequence

from wandb.errors import AuthenticationError, Error, Interrupted, LeaseHeld, RejectedError
import wandb_sync.protocol as protocol
import wandb_sync.batching as batching
from wandb_sync.follow import has_ended
from wandb_sync.lease import RENEW_EVERY_S, Lease
from wandb_sync.outcomes import Emit, Outcome, Status
from wandb_sync.run_sync import RunSync
from wandb_sync.selection import Segments
from wandb_sync.transport.base import Transport


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
        emit: Emit,
        stop: threading.Event,
    ) -> None:
        """Prepare; nothing is read or sent.

        Args:
            live: Whether runs that go on are visited again.
            emit: Gets what happens, by event name, from any thread.
            stop: Ends the work when set, at the next request.
        """
        self._transport = transport
        self._base_url = base_url
        self._live = live
        self._emit = emit
        self._stop = stop
        self._features: Optional[Mapping[str, bool]] = None
        self._features_lock = threading.Lock()
        self._batch = batching.BatchSize()
        self.leases: List[Lease] = []

    def group(self, segments: Segments) -> Group:
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
        self._visit_in_turn(group, note)
        return True

    def _visit_in_turn(self, group: Group, note: Note) -> None:
        for run in list(group.logs):
            if self._stop.is_set():
                return
            outcome = self._visit_one(run)
            if self._live and self._goes_on(run, outcome):
                note(outcome, False)
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

    def _goes_on(self, run: RunSync, outcome: Outcome) -> bool:
        """Say whether a log that is followed is to be looked at again."""
        if outcome.status is not Status.EMPTY:
            return outcome.status is Status.RUNNING
        return not has_ended(outcome.log.path, None, run.options.assume_dead_after_s, time.time())

    def _visit_one(self, run: RunSync) -> Outcome:
        try:
            return run.visit()
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
    """

    def __init__(self, segments: Segments, logs: Sequence[RunSync]) -> None:
        self._segments = segments
        self.logs: List[RunSync] = list(logs)
        self.is_away = False

    def segments(self) -> Segments:
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


def _trace(error: BaseException) -> str:
    import traceback

    return "".join(traceback.format_exception(type(error), error, error.__traceback__))
