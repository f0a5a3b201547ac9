"""Values of options that several commands have."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Optional

from wandb.errors import UsageError


def state_dir(path: Optional[str]) -> Optional[Path]:
    """Return --state-dir, made if need be.

    Raises:
        UsageError: It cannot be made.
    """
    if path is None:
        return None
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--state-dir {path}: {error.strerror}") from error
    return Path(path)
