"""The syncer: replays transaction logs to a W&B server, and remembers what the server has acknowledged.

import wandb_sync

report = wandb_sync.sync(["wandb/offline-run-20260102_030405-abc"], project="digits", max_duration="45m")
report.exit_code, report.by_status
for outcome in report.outcomes:
    print(outcome.log.shown, outcome.status.value, outcome.reason, outcome.url)

run = wandb_sync.read("wandb/latest-run")    # no server is needed to look at what was recorded
run.config, run.summary, [row.values for row in run.history(keys=["loss"], last=10)]
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Mapping, Optional, Sequence, Union

if TYPE_CHECKING:
    from wandb_sync.options import SyncOptions
    from wandb_sync.outcomes import Emit, Report
    from wandb_sync.reading import RecordedRun
    from wandb_sync.transport.stoppable import Stop

__all__ = ["read", "sync"]


def sync(
    paths: Union[str, "os.PathLike[str]", Sequence[Union[str, "os.PathLike[str]"]]] = (),
    options: Optional[SyncOptions] = None,
    *,
    emit: Optional[Emit] = None,
    stop: Optional[Stop] = None,
    **more: Any,
) -> Report:
    """Upload runs and return what became of each: what the command `wandb sync` does, without a word.

    Args:
        paths: As on the command line; none: ./wandb.
        options: How; see wandb_sync.options.SyncOptions.
        emit: Called with the name and the members of each event of `--json`, from any thread but never from
            two at once.
        stop: A wandb_sync.transport.stoppable.Stop; when it is set, the sync ends after the requests under
            way.
        more: Fields of SyncOptions, in place of those of `options`; their names are those of the command
            line's options.

    Raises:
        UsageError: Options make no sense, or no path means a run; nothing was done.
        AuthenticationError: There is no API key; nothing was done.
    """
    import dataclasses

    from wandb.errors import UsageError
    from wandb_sync import engine
    from wandb_sync.options import SyncOptions
    from wandb_sync.transport.stoppable import Stop

    def nobody(event: str, fields: Mapping[str, Any]) -> None:
        pass

    try:
        options = dataclasses.replace(options or SyncOptions(), **more)
    except TypeError:
        unknown = sorted(set(more) - {field.name for field in dataclasses.fields(SyncOptions)})
        if not unknown:
            raise
        raise UsageError(f"sync: unknown option {', '.join(unknown)}", hint="see SyncOptions") from None
    several = [paths] if isinstance(paths, (str, os.PathLike)) else paths
    return engine.run([os.fspath(path) for path in several], options, emit or nobody, stop or Stop())


def read(
    run: Union[str, os.PathLike[str]], *, follow: bool = False, step_policy: str = "drop"
) -> RecordedRun:
    """Return a recorded run as typed records; finished, running, killed or damaged.

    Args:
        run: A run directory (all segments of its run that lie beside it are read), a .wandb file (only
            that), the id of a run below ./wandb, or the first characters of one.
        follow: Whether iterating waits for what is still to be written, until the run has ended.
        step_policy: What becomes of rows whose step goes back, as in `wandb sync`: drop, keep or rewind.

    Raises:
        UsageError: There is no such run, or more than one.
        LogError: The log cannot be read, or is none.
    """
    from wandb_sync.reading import RecordedRun
    from wandb_sync.run_lookup import find_run

    return RecordedRun(find_run(os.fspath(run)), follow=follow, step_policy=step_policy)
