"""`wandb.AlertLevel`: how urgent a message of `run.alert()` is."""

from __future__ import annotations

from enum import Enum


class AlertLevel(Enum):
    """The levels that the server knows."""

    INFO = "INFO"
    WARN = "WARN"
    ERROR = "ERROR"
