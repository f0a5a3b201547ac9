"""`wandb.restore()`: a file of a run, from its run directory here or from a server.

A run that was recorded on this machine (or on a disk that it sees) is looked for first, so that a job which
goes on after a preemption gets its checkpoint back without a network.
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Callable, List, Optional, TextIO

from wandb.errors import UsageError, ValidationError
from wandb.sdk import active, wandb_setup

if TYPE_CHECKING:
    from wandb.sdk.wandb_run import Run


def restore(
    name: str, run_path: Optional[str] = None, replace: bool = False, root: Optional[str] = None
) -> Optional[TextIO]:
    """Get a file that was kept with a run.

    It is put below `root`, taken from the run's own directory if the run was recorded in the directory of
    runs here (the newest segment that has the file), else from the server.

    Args:
        name: The file, relative to the run's files: "checkpoints/last.ckpt".
        run_path: The run: "entity/project/id", or its id.  Default: the current run.
        replace: Get it although there is a file of that name below `root`; else that one is opened.
        root: The directory it is put into.  Default: the current run's files, else the working directory.

    Returns:
        The file, opened for reading; `.name` is its path.  None if nobody has it, and with a disabled run.

    Raises:
        UsageError: There is no run and no `run_path`, or `name` leads out of `root`.
        NeedsServerError: No run directory here has it, and offline nothing else is asked.
        CommError: The server cannot be reached, or does not know the run.
    """
    return restore_for(active.current, name, run_path, replace, root)


def restore_for(
    run: Optional[Run], name: str, run_path: Optional[str], replace: bool, root: Optional[str]
) -> Optional[TextIO]:
    """As `restore`, with `run` as the current one."""
    is_disabled = run is not None and run.disabled
    if is_disabled:
        run = None
    elif run is None and not run_path:
        raise ValidationError(
            "restore: run_path", "is required before wandb.init()", hint="entity/project/id"
        )
    base = os.path.abspath(root or (run.dir if run is not None else os.getcwd()))
    target = os.path.normpath(os.path.join(base, name))
    if target == base or os.path.commonpath([base, target]) != base:
        raise ValidationError("restore: name", f"{name!r} leads out of {base}")
    if os.path.exists(target) and not replace:
        return open(target)
    if is_disabled:
        return None
    path = run_path or (run.path if run is not None else "")
    entity, project, run_id = _parts(path, run.entity if run is not None else "")
    for found in _recorded_here(run, run_id, os.path.relpath(target, base)):
        if os.path.realpath(found) != os.path.realpath(target):
            _put(target, lambda scratch: shutil.copyfile(found, scratch))
        return open(target)
    return _from_server(run, target, os.path.relpath(target, base), entity, project, run_id)


def _parts(path: str, entity: str) -> List[str]:
    parts = [part for part in path.strip("/").split("/") if part and part != "runs"]
    if not 1 <= len(parts) <= 3:
        raise UsageError(f"restore: {path!r} is no run", hint="give entity/project/id")
    settings = wandb_setup.setup().settings
    return [entity or settings.entity or "", settings.project or "", ""][: 3 - len(parts)] + parts


def _recorded_here(run: Optional[Run], run_id: str, name: str) -> List[str]:
    """Return where run directories of this run have the file, the newest segment first."""
    from wandb.backend import segments

    runs = wandb_setup.setup().settings.wandb_dir if run is None else os.path.dirname(run.sync_dir)
    directories = [os.path.dirname(one.log) for one in segments.find(runs, run_id)]
    places = [os.path.join(directory, "files", name) for directory in reversed(directories)]
    return [place for place in places if os.path.isfile(place)]


def _from_server(
    run: Optional[Run], target: str, name: str, entity: str, project: str, run_id: str
) -> Optional[TextIO]:
    from wandb.apis.run_files import fetch
    from wandb.sdk.server_call import server_for

    server = server_for(f"restore: no run directory of {run_id} here has {name}; it", run.mode if run else "")
    content = fetch(
        server.base_url,
        server.api_key,
        entity,
        project,
        run_id,
        name.replace(os.sep, "/"),
        any_certificate=server.any_certificate,
    )
    if content is None:
        return None

    def write(scratch: str) -> None:
        with open(scratch, "wb") as file:
            file.write(content)

    _put(target, write)
    return open(target)


def _put(target: str, write: Callable[[str], object]) -> None:
    """Replace the file as a whole: a reader sees the old or the new one."""
    os.makedirs(os.path.dirname(target), exist_ok=True)
    scratch = f"{target}.{os.getpid()}.partial"
    try:
        write(scratch)
        os.replace(scratch, target)
    except BaseException:
        if os.path.lexists(scratch):
            os.unlink(scratch)
        raise
