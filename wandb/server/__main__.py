"""`python -m wandb.server` is `wandb server start`."""

from __future__ import annotations

import sys

from wandb import term
from wandb.cli.server import start
from wandb.errors import Error

if __name__ == "__main__":
    try:
        start(prog_name="python -m wandb.server")
    except Error as error:
        term.termerror(str(error))
        sys.exit(error.exit_code)
