"""Values of options that several commands have."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Optional

import click

from wandb.errors import UsageError

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_HOURS = {"s": 1 / 3600, "m": 1 / 60, "h": 1.0, "d": 24.0, "w": 168.0}


class Size(click.ParamType):  # type: ignore[type-arg]  # of newer clicks
    """A number of bytes: 500M, 4.7GB, 2GiB."""

    name = "size"

    def convert(self, value: Any, param: Optional[click.Parameter], ctx: Optional[click.Context]) -> int:
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?", str(value).strip().lower())
        if match is None:
            self.fail(f"{value!r} is no size; say 500M or 4G", param, ctx)
        unit = _UNITS[match[2]]
        if match[3]:
            unit = 1024 ** (len(str(unit)) // 3)
        return int(float(match[1]) * unit)


class Age(click.ParamType):  # type: ignore[type-arg]
    """A time, in hours if no unit is given: 12, 36h, 7d, 2w."""

    name = "age"

    def convert(self, value: Any, param: Optional[click.Parameter], ctx: Optional[click.Context]) -> float:
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhdw]?)", str(value).strip().lower())
        if match is None:
            self.fail(f"{value!r} is no time; say 36h or 7d", param, ctx)
        return float(match[1]) * _HOURS[match[2] or "h"]


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
