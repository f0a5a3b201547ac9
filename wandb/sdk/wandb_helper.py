"""`wandb.helper.parse_config()`: the dict that anything which `wandb.init(config=...)` takes stands for."""

from __future__ import annotations

from typing import Any, Dict, Optional, Sequence

from wandb.errors import UsageError
from wandb.sdk import wandb_config


def parse_config(
    params: Any, exclude: Optional[Sequence[str]] = None, include: Optional[Sequence[str]] = None
) -> Dict[str, Any]:
    """Return the config that `params` mean, as a dict.

    Args:
        params: A mapping, a Namespace, absl FLAGS, a dataclass, or the path of a YAML file.
        exclude: Keys to leave out.
        include: Keys to take, and no others.

    Raises:
        UsageError: Both are given.
        ConfigError: The file cannot be read.
        ValidationError: `params` is no config.
    """
    if exclude and include:
        raise UsageError("Expected at most only one of exclude or include")
    return wandb_config.selected(wandb_config.parse_config(params), list(include or ()), list(exclude or ()))
