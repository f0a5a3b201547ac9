"""What the syncer of an online run does, and what it tells; live.py has the rules."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any, Mapping, Optional

from wandb import env, live_file
from wandb.errors import AuthenticationError, Error, LeaseHeld, LogError, TransientError
from wandb.live_file import Arrival, News
from wandb_sync.engine import default_base_url, find_key
from wandb_sync.discover import Log
from wandb_sync.follow import is_over
from wandb_sync.outcomes import Outcome, Status
from wandb_sync.selection import Selection
from wandb_sync.service import Service
from wandb_sync.transport.base import UPLOAD, Request
from wandb_sync.transport.http import HttpTransport, checked_base_url
from wandb_sync.transport.retry import Retry
from wandb_sync.transport.shared import Shared, place_for
from wandb_sync.transport.stoppable import Stop
from wandb_sync.transport.throttle import N_SHARED, Throttle
from wandb_sync.transport.told import Told

GIVE_UP_AFTER_S = 3600.0  # without success, since the log was last written to
POLL_S = 0.5  # one log: that costs nothing, and `finish()` waits for it
WAITS_S = (1.0, 30.0)  # between attempts: at first, and at most
REQUEST_RETRY_S = 20.0  # long enough for all tries of a conflict
TELL_PROGRESS_EVERY_S = 0.3

_MAY_PASS = frozenset(error.exit_code for error in (TransientError, AuthenticationError, LeaseHeld))


class LiveSync:
    """Follows one run until all of it is on the server, or nothing more can be done."""

    def __init__(self, directory: str, log: str, news: News) -> None:
        """Prepare.

        Args:
            directory: The run directory.
            news: What was told already.
        """
        self._directory = directory
        self._log = log
        self._news = news
        self._stop = Stop()
        self._lock = threading.Lock()
        self._told_s = 0.0

    def run(self) -> None:
        """Follow the run; trouble is told, and waited for."""
        signal.signal(signal.SIGTERM, lambda number, frame: self._stop.set())
        n_failures = 0
        while True:
            offset = self._news.offset
            outcome = self._attempt()
            if outcome.exit_code not in _MAY_PASS or self._stop.is_set() or self._is_over():
                break
            n_failures = 1 if self._news.offset > offset else n_failures + 1
            lacks_key = outcome.exit_code == AuthenticationError.exit_code
            self._tell(trouble=outcome.reason, lacks_key=lacks_key)
            first_s, highest_s = WAITS_S
            self._stop.wait(random.uniform(0.5, 1.0) * min(highest_s, first_s * 2.0 ** min(n_failures, 20)))
        self._tell(trouble="", status=outcome.status.value, reason=outcome.reason)

    def _attempt(self) -> Outcome:
        """Follow the run as far as that goes now."""
        try:
            base_url = checked_base_url(default_base_url(os.environ))
            return self._follow(base_url, find_key(base_url))
        except Error as error:
            return Outcome(Log(Path(self._log), self._log), Status.FAILED, str(error), error.exit_code)

    def _follow(self, base_url: str, key: str) -> Outcome:
        verify = False if env.is_true("WANDB_INSECURE_DISABLE_SSL") else None
        http = HttpTransport(base_url, key, verify=verify, stop=self._stop)
        throttle = Throttle(
            Told(http, self._tell_waiting),
            shared=Shared(place_for(base_url), N_SHARED),
            sleep=self._stop.wait,
            tell=self._tell_waiting,
        )
        transport = Retry(
            throttle,
            deadline_s=REQUEST_RETRY_S,
            tell=self._tell_waiting,
            tell_after_s=0.0,
            stop=self._stop,
        )
        service = Service(
            transport,
            base_url,
            selection=Selection(include_online=True),
            live=True,
            poll_s=POLL_S,
            emit=self._event,
            stop=self._stop,
        )
        try:
            return service.run([self._directory]).outcomes[0]
        finally:
            transport.close()

    def _is_over(self) -> bool:
        """Say whether it is time to leave the rest to `wandb sync`: the run has ended, and that long ago.

        A laptop that slept has a log that is old, and a program that goes on with it.
        """
        try:
            is_old = time.time() - os.stat(self._log).st_mtime > GIVE_UP_AFTER_S
            return is_old and is_over(Path(self._log))
        except (OSError, LogError):
            return True

    # ---- what is told

    def _event(self, name: str, fields: Mapping[str, Any]) -> None:
        if name == "run_opened":
            what = {field: fields[field] for field in ("url", "entity", "project", "name")}
            self._tell(trouble="", lacks_key=False, **what)
        elif name == "progress":
            progress = {"offset": fields["offset"], "n_bytes": fields["n_bytes"]}
            now_s = time.monotonic()
            if self._news.trouble or now_s - self._told_s > TELL_PROGRESS_EVERY_S:
                self._tell(trouble="", lacks_key=False, **progress)
            else:
                self._news = self._news._replace(**progress)
            return
        elif name == "file_uploaded":
            self._news = self._news._replace(n_files=self._news.n_files + 1)
        elif name in ("artifact_uploaded", "artifact_failed"):
            self._tell_arrival(fields)
        elif name == "stop_asked":
            self._tell(is_asked_to_stop=True)
        self._note(name, fields)

    def _tell_waiting(self, request: Request, error: TransientError, wait_s: Optional[float]) -> None:
        if wait_s is not None or request.operation != UPLOAD:  # a large file is no trouble
            self._tell(trouble=error.message)
        self._note("waiting", {"operation": request.operation, "error": error.message, "wait_s": wait_s})

    def _tell_arrival(self, fields: Mapping[str, Any]) -> None:
        if not fields["client_id"]:
            return  # it was made elsewhere
        known = {field: fields[field] for field in Arrival._fields if field in fields}
        try:
            live_file.add_arrival(
                live_file.arrivals_path(self._log), Arrival(**known, error=fields.get("reason", ""))
            )
        except OSError as error:
            self._note("not_told", {"error": str(error)})

    def _tell(self, **changed: Any) -> None:
        """Tell whoever records."""
        with self._lock:
            self._news = self._news._replace(**changed)
            self._told_s = time.monotonic()
            try:
                live_file.write(live_file.path_of(self._log), self._news)
            except OSError as error:  # the disk is full, or the directory gone: they go without news
                self._note("not_told", {"error": str(error)})

    def _note(self, name: str, fields: Mapping[str, Any]) -> None:
        """Leave a line in the log that people look at when something is wrong."""
        line = {"time": round(time.time(), 3), "event": name, **fields}
        print(json.dumps(line, default=str), file=sys.stderr, flush=True)
