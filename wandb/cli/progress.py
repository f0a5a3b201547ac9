"""What commands that take a while show: a line on a terminal, nothing in a pipe."""

from __future__ import annotations

import sys
import time
from typing import Any, Mapping

import click

from wandb_sync.report import size_text

SHOW_EVERY_S = 0.2


class Progress:
    """A context manager whose `event` takes what an engine tells; the line is gone when it is left."""

    def __init__(self, what: str, *, quiet: bool = False) -> None:
        self._what = what
        self._shows = not quiet and sys.stderr.isatty()
        self._shown_at_s = 0.0

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *error: object) -> None:
        self._clear()

    def event(self, name: str, fields: Mapping[str, Any]) -> None:
        """Take `progress` with `n_bytes` of `total`."""
        if name != "progress" or not self._shows or time.monotonic() - self._shown_at_s < SHOW_EVERY_S:
            return
        self._clear()
        self._shown_at_s = time.monotonic()
        done, total = fields["n_bytes"], max(1, fields["total"])
        text = f"wandb: {self._what} {100 * done // total:3d} %  {size_text(done)} of {size_text(total)}"
        click.echo(text, err=True, nl=False)

    def _clear(self) -> None:
        if self._shown_at_s:
            click.echo("\r\x1b[K", err=True, nl=False)
