"""The syncer: replays transaction logs to a W&B server, and remembers what the server has acknowledged.

import wandb_sync

report = wandb_sync.sync(["wandb/offline-run-20260102_030405-abc"])
report.exit_code, report.outcomes

run = wandb_sync.read("wandb/latest-run")    # no server is needed to look at what was recorded
run.config, run.summary, [row.values for row in run.history(keys=["loss"], last=10)]
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Sequence, Union

if TYPE_CHECKING:
    from wandb_sync.outcomes import Report
    from wandb_sync.reading import RecordedRun

__all__ = ["read", "sync"]


def sync(paths: Sequence[str] = (), *, base_url: str = "", api_key: str = "", **options: Any) -> Report:
    """Upload runs and return what became of each.  Nothing is printed.

    Args:
        paths: As on the command line; none: ./wandb.
        base_url, api_key: The server; by default as `wandb sync` finds them.
        options: Fields of wandb_sync.run_sync.RunOptions.

    Raises:
        UsageError: No path means a run; nothing was done.
        AuthenticationError: There is no API key.
    """
    from wandb_sync.cli import chosen_base_url, find_key
    from wandb_sync.run_sync import RunOptions
    from wandb_sync.service import Service
    from wandb_sync.transport.http import HttpTransport
    from wandb_sync.transport.retry import Retry
    from wandb_sync.transport.throttle import Throttle

    base_url = chosen_base_url(base_url)
    transport = Retry(Throttle(HttpTransport(base_url, api_key or find_key(base_url))))
    try:
        return Service(transport, base_url, RunOptions(**options)).run(paths)
    finally:
        transport.close()


def read(
    run: Union[str, os.PathLike[str]], *, follow: bool = False, step_policy: str = "drop"
) -> RecordedRun:
    """Return a recorded run as typed records; finished, running, killed or damaged.  See wandb_sync/reading.py.

    Args:
        run: A run directory (all segments of its run that lie beside it are read), a .wandb file (only
            that), the id of a run below ./wandb, or the first characters of one.
        follow: Whether iterating waits for what is still to be written, until the run has ended.
        step_policy: What becomes of rows whose step goes back, as in `wandb sync`: drop, keep or rewind.

    Raises:
        UsageError: There is no such run, or more than one.
        LogError: The log cannot be read, or is none.
    """
    from wandb_sync.reading import RecordedRun
    from wandb_sync.run_lookup import find_run

    return RecordedRun(find_run(os.fspath(run)), follow=follow, step_policy=step_policy)
