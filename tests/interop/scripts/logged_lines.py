"""The logging module, and writers that keep a reference to the stream."""

import logging
import sys

early = logging.StreamHandler(sys.stderr)

import wandb  # noqa: E402

run = wandb.init(settings=wandb.Settings(console="wrap"))
logger = logging.getLogger("training")
logger.addHandler(early)
logger.warning("through a handler made before init")
write = sys.stdout.write
write("through a bound method\n")
try:
    raise ValueError("caught")
except ValueError:
    logger.exception("with a traceback")
sys.stderr.write("first half, ")
sys.stdout.write("other stream\n")
sys.stderr.write("second half\n")
run.finish()
