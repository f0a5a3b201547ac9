"""`wandb sync`: the syncer's own command."""

from wandb_sync.cli import sync as sync  # noqa: F401
