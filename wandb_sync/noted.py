"""Where in the log records are that are read again when their turn comes: those of artifacts."""

from __future__ import annotations

from typing import NamedTuple


class Noted(NamedTuple):
    """Where a record of an artifact is, that was made or used.

    Attributes:
        side: The id of the side log; "" for the main log.
        begin: Where the record before it ends, in bytes.
        step: How many steps were logged before; -1: none.
        name: Of the artifact; what is used may have an alias behind it.
        client_id: What its recorder calls it.
        sequence_client_id: What its recorder calls all versions of it.
    """

    side: str
    begin: int
    step: int
    name: str
    client_id: str
    sequence_client_id: str

    @property
    def key(self) -> str:
        return f"{self.side}:{self.begin}"
