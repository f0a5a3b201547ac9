"""The process's current run: what `wandb.run`, `wandb.log` and the other module-level names talk to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, NoReturn, Optional

from wandb.errors import Error

if TYPE_CHECKING:
    from wandb.sdk.wandb_run import Run

current: Optional[Run] = None


def require(name: str) -> Run:
    """Return the current run.

    Raises:
        Error: There is none; `name` says in the message what was asked for.
    """
    if current is None:
        raise Error(f"You must call wandb.init() before {name}")
    return current


class BeforeInit:
    """`wandb.config` and `wandb.summary` while there is no run: every use says what is missing."""

    def __init__(self, name: str) -> None:
        object.__setattr__(self, "_name", name)

    def __getattr__(self, key: str) -> Any:
        if key.startswith("__"):
            raise AttributeError(key)
        self._refuse(f".{key}")

    def __setattr__(self, key: str, value: Any) -> None:
        self._refuse(f".{key}")

    def __getitem__(self, key: str) -> Any:
        self._refuse(f"[{key!r}]")

    def __setitem__(self, key: str, value: Any) -> None:
        self._refuse(f"[{key!r}]")

    def update(self, *args: Any, **more: Any) -> None:
        self._refuse(".update")

    def _refuse(self, use: str) -> NoReturn:
        raise Error(f"You must call wandb.init() before {self._name}{use}")


def log(
    data: Dict[str, Any],
    step: Optional[int] = None,
    commit: Optional[bool] = None,
    sync: Optional[bool] = None,
) -> None:
    """Record a row of the current run; see `wandb.Run.log`."""
    if current is None:
        require("wandb.log()")
    else:
        current.log(data, step, commit)


def finish(exit_code: Optional[int] = None, quiet: Optional[bool] = None) -> None:
    """Finish the current run; without one, do nothing."""
    if current is not None:
        current.finish(exit_code, quiet)


join = finish


def define_metric(name: str, *args: Any, **options: Any) -> Any:
    """Define a metric of the current run; see `wandb.Run.define_metric`."""
    return require("wandb.define_metric()").define_metric(name, *args, **options)


def save(*args: Any, **options: Any) -> Any:
    """Keep a file with the current run; see `wandb.Run.save`."""
    return require("wandb.save()").save(*args, **options)


def alert(*args: Any, **options: Any) -> None:
    """Send a message through the current run; see `wandb.Run.alert`."""
    require("wandb.alert()").alert(*args, **options)


def log_artifact(*args: Any, **options: Any) -> Any:
    """Keep files as an output of the current run; see `wandb.Run.log_artifact`."""
    return require("wandb.log_artifact()").log_artifact(*args, **options)


def mark_preempting() -> None:
    """Say that the scheduler is about to take the machine away; see `wandb.Run.mark_preempting`."""
    require("wandb.mark_preempting()").mark_preempting()
