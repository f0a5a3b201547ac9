"""What a session keeps of each log that it reads: of the run's main log, and of its side logs."""

from __future__ import annotations

import base64
from typing import Any, Dict, Mapping, Optional

from wandb.proto import record_pb2 as pb


class Source:
    """One log.

    Attributes:
        id: Of the side log; "" of the main log.
        offset: Where the last record that was added ends, in bytes.
        run: The fields of its first run record; None until it has said them.
        exit_code: Of its process; None until an exit record was added.
        files: Files of the run, by path relative to `files/` beside it, with their policy.
        last_at_us: When its process printed last, in microseconds since the epoch.
        pending_row, pending_step: What there is of the row that waits for its end.
    """

    __slots__ = ("id", "offset", "run", "exit_code", "files", "last_at_us", "pending_row", "pending_step")

    def __init__(self, id: str) -> None:
        self.id = id
        self.offset = 0
        self.run: Optional[pb.RunRecord] = None
        self.exit_code: Optional[int] = None
        self.files: Dict[str, int] = {}
        self.last_at_us = 0
        self.pending_row: Dict[str, Any] = {}
        self.pending_step = 0

    @property
    def label(self) -> str:
        return self.run.writer.label if self.run is not None else ""

    def state(self) -> Dict[str, Any]:
        """Return what `restore` takes; JSON."""
        return {
            "offset": self.offset,
            "run": None if self.run is None else base64.b64encode(self.run.SerializeToString()).decode(),
            "exit_code": self.exit_code,
            "files": self.files,
            "last_at_us": self.last_at_us,
            "pending_row": self.pending_row,
            "pending_step": self.pending_step,
        }

    @classmethod
    def restore(cls, id: str, state: Mapping[str, Any]) -> Source:
        source = cls(id)
        source.offset = state["offset"]
        if state["run"] is not None:
            source.run = pb.RunRecord.FromString(base64.b64decode(state["run"]))
        source.exit_code = state["exit_code"]
        source.files = dict(state["files"])
        source.last_at_us = state["last_at_us"]
        source.pending_row = dict(state["pending_row"])
        source.pending_step = state["pending_step"]
        return source
