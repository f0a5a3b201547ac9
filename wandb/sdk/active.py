"""The process's current run: what `wandb.run`, `wandb.log` and the other module-level names talk to."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Dict, List, NoReturn, Optional, Sequence, Union

from wandb.errors import Error

if TYPE_CHECKING:
    from wandb.sdk.wandb_metric import Metric
    from wandb.sdk.wandb_run import Run

current: Optional[Run] = None


def make_current(run: Run) -> None:
    """Let `wandb.run`, `wandb.log` and their kind mean this run.

    A script that has said `wandb.config = {...}` before (many do) gets the run's own config from here on, as
    with wandb.
    """
    global current
    current = run
    package = vars(sys.modules["wandb"])
    for name in ("run", "config", "summary"):
        package.pop(name, None)


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


def define_metric(
    name: str,
    step_metric: Union[str, Metric, None] = None,
    step_sync: Optional[bool] = None,
    hidden: Optional[bool] = None,
    summary: Optional[str] = None,
    overwrite: Optional[bool] = None,
    goal: Optional[str] = None,
) -> Metric:
    """Define a metric of the current run; see `wandb.Run.define_metric`."""
    run = require("wandb.define_metric()")
    return run.define_metric(name, step_metric, step_sync, hidden, summary, overwrite, goal)


def save(
    glob_str: Union[str, os.PathLike[str], None] = None,
    base_path: Union[str, os.PathLike[str], None] = None,
    policy: str = "live",
    glob: bool = True,
) -> Union[bool, List[str]]:
    """Keep files with the current run; see `wandb.Run.save`."""
    return require("wandb.save()").save(glob_str, base_path, policy, glob)


def alert(title: str, text: str, level: Any = None, wait_duration: Any = None) -> None:
    """Send a message through the current run; see `wandb.Run.alert`."""
    require("wandb.alert()").alert(title, text, level, wait_duration)


def log_artifact(*args: Any, **options: Any) -> Any:
    """Keep files as an output of the current run; see `wandb.Run.log_artifact`."""
    return require("wandb.log_artifact()").log_artifact(*args, **options)


def link_artifact(*args: Any, **options: Any) -> Any:
    """Have an artifact stand in another collection too; see `wandb.Run.link_artifact`."""
    return require("wandb.link_artifact()").link_artifact(*args, **options)


def link_model(*args: Any, **options: Any) -> Any:
    """Keep a model and link it; see `wandb.Run.link_model`."""
    return require("wandb.link_model()").link_model(*args, **options)


def log_model(*args: Any, **options: Any) -> Any:
    """Keep a model as an output of the current run; see `wandb.Run.log_model`."""
    return require("wandb.log_model()").log_model(*args, **options)


def use_artifact(*args: Any, **options: Any) -> Any:
    """Say that an artifact is an input of the current run; see `wandb.Run.use_artifact`."""
    return require("wandb.use_artifact()").use_artifact(*args, **options)


def use_model(*args: Any, **options: Any) -> Any:
    """Use a model; see `wandb.Run.use_model`."""
    return require("wandb.use_model()").use_model(*args, **options)


def mark_preempting() -> None:
    """Say that the scheduler is about to take the machine away; see `wandb.Run.mark_preempting`."""
    require("wandb.mark_preempting()").mark_preempting()


def watch(models: Any, *args: Any, **options: Any) -> Any:
    """Record histograms of a PyTorch model; see `wandb.Run.watch`."""
    return require("wandb.watch()").watch(models, *args, **options)


def unwatch(models: Any = None) -> None:
    """Stop what `watch` began; see `wandb.Run.unwatch`."""
    require("wandb.unwatch()").unwatch(models)


def pin_config_keys(keys: Sequence[str] = ()) -> None:
    """Have keys of the current run's config shown at the top of its page; see `wandb.Run.pin_config_keys`."""
    require("wandb.pin_config_keys()").pin_config_keys(keys)


def ensure_configured() -> None:
    """Do nothing: nothing has to be prepared.  Kept for scripts that call it."""
