"""`run.status()`: how much of a run has reached the server."""

from __future__ import annotations

import os
from datetime import datetime
from typing import NamedTuple, Optional


class RunStatus(NamedTuple):
    """What has been synced.

    Attributes:
        sync_items_total: Bytes of the log.
        sync_items_pending: Those that the server has not acknowledged.
        sync_time: When the syncer last said so; None if there is none.
    """

    sync_items_total: int = 0
    sync_items_pending: int = 0
    sync_time: Optional[datetime] = None


def run_status(log: str) -> RunStatus:
    """Return how far the syncer of an online run is; offline, everything is pending."""
    from wandb import live_file  # which an offline run does without

    try:
        total = os.path.getsize(log)
    except OSError:
        total = 0
    path = live_file.path_of(log)
    news = live_file.read(path)
    if news is None:
        return RunStatus(total, total)
    try:
        told = datetime.fromtimestamp(os.path.getmtime(path))
    except OSError:
        told = None
    return RunStatus(total, max(0, total - news.offset), told)
