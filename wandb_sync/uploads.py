"""How much of a log some server has acknowledged, by what the syncer has left beside it.

Rule: what cannot be read counts as nothing uploaded; nothing here proves anything (`wandb sync` does).
"""

from __future__ import annotations

import contextlib

from wandb.errors import Error
from wandb.transaction_log.log_file import size
from wandb_sync.checkpoint import checkpoints_of
from wandb_sync.discover import Log, Sidecars
from wandb_sync.receipts import read_receipts


def uploaded_bytes(log: Log, cars: Sidecars) -> int:
    """Return how many bytes of a log have arrived on the server that has most of it."""
    n_bytes = 0
    with contextlib.suppress(OSError, Error):
        n_there = size(log.path)
        if cars.synced.exists():  # wandb's own marker says no more than that
            return n_there
        for receipt in read_receipts(cars.receipt).values():
            with contextlib.suppress(KeyError, TypeError, ValueError):
                n_bytes = max(n_bytes, int(receipt["log"]["file_n_bytes"]))
        for entry in checkpoints_of(cars.checkpoint).values():
            with contextlib.suppress(KeyError, TypeError, ValueError):
                n_bytes = max(n_bytes, int(entry["identity"]["offset"]))
    return n_bytes
