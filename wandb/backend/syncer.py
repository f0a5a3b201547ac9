"""The syncer of a run that is recorded online: how it is started, and what it says.

It is a program of its own (wandb_sync/live.py): it knows the run directory and nothing else of us, and lets
go of us as soon as it runs.  What it says stands in a small file beside the log (wandb/live_file.py).

Rule 1: nothing of it is imported here, and no descriptor, terminal or group of processes is shared with it.
Rule 2: a credential goes to it through its environment, never as an argument or a file.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from typing import Mapping, Optional, Tuple

from wandb import live_file
from wandb.live_file import News

PROGRAM = os.path.join("wandb_sync", "live.py")  # beside the package
LET_GO_S = 10.0  # until it has left us: some milliseconds, but for a machine that can hardly breathe


class Syncer:
    """The syncer of one log.

    Args:
        log: The path of the log.
        environ: All that the syncer finds in its environment.
    """

    def __init__(self, log: str, environ: Mapping[str, str]) -> None:
        self._log = log
        self._environ = environ
        self._live_file = live_file.path_of(log)
        self._stamp: Tuple[int, ...] = ()
        self._news: Optional[News] = None

    @property
    def directory(self) -> str:
        """The run directory."""
        return os.path.dirname(self._log)

    def start(self) -> None:
        """Start it, in the place of one that has died; returns when it has let go of this process.

        Raises:
            OSError: There is no interpreter to run it, or no process to be had.
        """
        program = os.path.join(
            os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), PROGRAM
        )
        if not sys.executable or not os.path.exists(program):
            raise FileNotFoundError(f"there is no {'interpreter' if not sys.executable else program} to run")
        self._stamp, self._news = (), None
        with suppress(OSError):
            os.unlink(self._live_file)
        logs = os.path.join(self.directory, "logs")
        os.makedirs(logs, exist_ok=True)
        with open(os.path.join(logs, "debug-internal.log"), "ab") as log:
            process = subprocess.Popen(
                [sys.executable, program, self.directory],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(self._environ),
                start_new_session=True,
            )
        try:
            process.wait(LET_GO_S)
        except subprocess.TimeoutExpired:
            return

    def news(self) -> Optional[News]:
        """Return what it has said last; None as long as it has said nothing.  Costs a stat if that is old."""
        try:
            status = os.stat(self._live_file)
        except OSError:
            return self._news
        stamp = (status.st_ino, status.st_mtime_ns, status.st_size)
        if stamp != self._stamp:
            self._stamp = stamp
            self._news = live_file.read(self._live_file) or self._news
        return self._news
