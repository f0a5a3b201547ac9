"""What a server has refused for good: one small file per log and destination,
`run-ID.wandb.<destination>.refused`.

All of them together are the list that `wandb sync --failed` shows and tries again.  A run on it is left alone
by
syncs that nobody has asked for it by name: a cron job does not ask the same question every ten minutes.

Rule 1: only what the server said of this run counts: never trouble that may pass, a missing key or a
        certificate.
Rule 2: once the run has arrived, the file goes.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any, Dict, NamedTuple, Optional

from wandb.errors import AuthenticationError, CheckpointUnreadable, Error, RejectedError
from wandb_sync.checkpoint import replace_file, sealed, unsealed

FORMAT = "wandb-ng refusal"
VERSION = 1


class Refusal(NamedTuple):
    """What the server said.

    Attributes:
        destination: The key of the destination.
        reason: In words.
        status: Of HTTP; 200 for an error of GraphQL.
        n_tries: How often it was refused.
        last_s: When last, in seconds since the epoch.
        was_deleted: Whether the server has deleted the run.
        goes_on_as: Under which id the run is uploaded instead; empty: under none.
    """

    destination: str
    reason: str
    status: int
    n_tries: int
    last_s: float
    was_deleted: bool = False
    goes_on_as: str = ""

    @property
    def when(self) -> str:
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(self.last_s))


def read(path: Path) -> Optional[Refusal]:
    """Return what is kept; None if there is nothing that can be read."""
    with contextlib.suppress(OSError, CheckpointUnreadable, KeyError, TypeError):
        body: Dict[str, Any] = unsealed(path.read_bytes(), str(path))
        if body.get("format") == FORMAT and body.get("version") == VERSION:
            return Refusal(**body["refusal"])
    return None


def write(path: Path, refusal: Refusal) -> None:
    """Keep it; durable when this returns.

    Raises:
        SyncError: The file cannot be written.
    """
    replace_file(path, sealed({"format": FORMAT, "version": VERSION, "refusal": refusal._asdict()}))


def forget(path: Path) -> None:
    """Remove what is kept, if anything is."""
    with contextlib.suppress(OSError):
        path.unlink()


def is_for_good(error: Error) -> bool:
    """Say whether an error is the server's word on this run (rule 1)."""
    return (
        isinstance(error, RejectedError)
        and not isinstance(error, AuthenticationError)
        and (error.status == 200 or error.status >= 400)
    )


def was_deleted(error: RejectedError, *, is_open: bool) -> bool:
    """Say whether a refusal means that the run was deleted on the server.

    W&B answers 409 "was previously created and deleted" to whoever makes it again; servers that forget at
    once answer 404 to its lines.

    Args:
        is_open: Whether the server has taken the run before, in this sync.
    """
    return error.status in (409, 410) or (error.status == 404 and is_open)
