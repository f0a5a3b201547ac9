"""Where wandb has `ConfigError`."""

from wandb.errors import ConfigError as ConfigError
