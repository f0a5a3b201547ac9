"""Backends without a file: for disabled mode, and for tests that want to see records."""

from __future__ import annotations

from typing import List

from wandb.backend.base import Backend


class NullBackend(Backend):
    """Takes everything and keeps nothing."""

    __slots__ = ()

    def append(self, body: bytes) -> None:
        pass


class MemoryBackend(Backend):
    """Keeps the serialized records in `records`."""

    __slots__ = ("records",)

    def __init__(self) -> None:
        super().__init__()
        self.records: List[bytes] = []

    def _write(self, payload: bytes) -> None:
        self.records.append(payload)
