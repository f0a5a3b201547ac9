"""The errors of artifacts, under the name that wandb has for their module."""

from wandb.errors import (
    ArtifactFinalizedError,
    ArtifactNotLoggedError,
    ArtifactStatusError,
    WaitTimeoutError,
)

__all__ = ["ArtifactFinalizedError", "ArtifactNotLoggedError", "ArtifactStatusError", "WaitTimeoutError"]
