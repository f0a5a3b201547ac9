"""TensorBoard event files, through tensorboardX: a directory per run, scalars by name, config and texts."""

from __future__ import annotations

import logging
import os
from typing import Any, Optional

from wandb.errors import Error, UsageError
from wandb_sync.exports import Runs, Wanted
from wandb_sync.exports.values import json_text

_OURS = ("_step", "_timestamp", "_runtime")  # TensorBoard has its own step and time


def write(runs: Runs, wanted: Wanted, path: Optional[str]) -> int:
    """Write all runs below the directory `path`; returns how many rows that were.

    Raises:
        UsageError: tensorboardX is not installed; or there are event files at `path` already, to which
            TensorBoard would add these.
    """
    try:
        from tensorboardX import SummaryWriter
    except ImportError as error:
        raise UsageError(
            f"event files are written by tensorboardX, which cannot be loaded: {error}",
            hint='pip install "wandb-ng[tensorboard]"',
        ) from error
    if path is None:
        raise UsageError("event files need a directory", hint="give -o PATH")
    logging.getLogger("tensorboardX.x2num").setLevel(
        logging.ERROR
    )  # it warns of each value that is not finite
    n_rows = 0
    for name, run in runs:
        directory = os.path.join(path, name.replace(os.sep, "_")) if len(runs) > 1 else path
        try:
            is_taken = os.path.isdir(directory) and any(
                ".tfevents." in file for file in os.listdir(directory)
            )
            if is_taken:
                raise UsageError(f"{directory}: has event files already", hint="give another -o")
            writer = SummaryWriter(directory, flush_secs=60)
        except OSError as error:
            raise Error(f"{directory}: cannot be written: {error.strerror}") from error
        try:
            if run.config:
                writer.add_text("config", _table(run.config), 0)
            for row in run.history(wanted.keys, step_from=wanted.step_from, step_to=wanted.step_to):
                n_rows += 1
                for key, value in row.flat().items():
                    if key in _OURS:
                        continue
                    if isinstance(value, (int, float)):
                        writer.add_scalar(key, _float(value), row.step, row.timestamp)
                    elif isinstance(value, str):
                        writer.add_text(key, value, row.step, row.timestamp)
        finally:
            writer.close()
    return n_rows


def _table(config: Any) -> str:
    """Return the config as the Markdown that TensorBoard shows."""
    lines = ["| key | value |", "|---|---|"]
    lines += [f"| {key} | {json_text(value)} |".replace("\n", " ") for key, value in config.items()]
    return "\n".join(lines)


def _float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")
