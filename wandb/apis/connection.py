"""A connection for one call of the user's."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wandb_sync.transport.base import Transport

DEADLINE_S = 60.0  # of one request with its repetitions: a person waits


def connect(base_url: str, api_key: str, *, any_certificate: bool = False) -> Transport:
    """Return a transport that tries again for a minute; whoever asks for it closes it."""
    from wandb_sync.transport.http import HttpTransport
    from wandb_sync.transport.retry import Retry

    http = HttpTransport(base_url, api_key, verify=False if any_certificate else None)
    return Retry(http, deadline_s=DEADLINE_S)
