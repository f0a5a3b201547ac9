"""The syncer: replays transaction logs to a W&B server, and remembers what the server has acknowledged.

import wandb_sync

report = wandb_sync.sync(["wandb/offline-run-20260102_030405-abc"])
report.exit_code, report.outcomes
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Sequence

if TYPE_CHECKING:
    from wandb_sync.outcomes import Report

__all__ = ["sync"]


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
