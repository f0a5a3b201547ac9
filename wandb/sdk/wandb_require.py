"""`wandb.require()`: features of wandb that a script asks for before it uses them."""

from __future__ import annotations

from typing import Iterable, Union

from wandb.errors import UnsupportedError

# What wandb once had to be asked for; all of it is how things are.
ALWAYS_THERE = frozenset(("require", "service", "wandb-service", "core", "incremental-artifacts"))


def require(
    requirement: Union[str, Iterable[str], None] = None, experiment: Union[str, Iterable[str], None] = None
) -> None:
    """Ask for features; those that wandb had to be asked for ("service", "core") are always there.

    Args:
        requirement: Their names; what stands behind "@" or ":" does not count.
        experiment: The same.

    Raises:
        UnsupportedError: There is none of that name.
    """
    asked = requirement or experiment or ()
    for one in (asked,) if isinstance(asked, str) else asked:
        feature = one.partition("@")[0].partition(":")[0]
        if feature not in ALWAYS_THERE:
            raise UnsupportedError(
                f"require() unsupported requirement: {feature}",
                hint=f"known: {', '.join(sorted(ALWAYS_THERE))}",
            )
