"""Where files wait between `artifact.add_file()` and the run that logs the artifact.

That is `wandb/staging/` beside the run directories (below WANDB_DATA_DIR, if that is set): on the same file
system, so that a file gets into the run by a change of its name.

Rule 1: each process has a directory of its own below, whose name says which process that is.  It goes when
        the process ends; what a killed one leaves behind, the next process that stages something removes.
"""

from __future__ import annotations

import atexit
import itertools
import os
import shutil
from typing import Iterator, Optional
from urllib.parse import quote, unquote

from wandb.processes import Life, ProcessId, life_of

_BETWEEN = ","  # the parts of a directory's name; `quote` never leaves one in them

_directory: Optional[str] = None
_pid = 0
_numbers: Iterator[int] = itertools.count()


def new_path() -> str:
    """Return a path at which there is no file yet.

    Raises:
        OSError: No directory can be made for it.
    """
    return os.path.join(directory(), str(next(_numbers)))


def directory() -> str:
    """Return this process's directory.

    Raises:
        OSError: It cannot be made.
    """
    global _directory, _pid
    if _directory is None or _pid != os.getpid() or not os.path.isdir(_directory):
        root = _root()
        mine = os.path.join(root, _name_of(ProcessId.current()))
        try:
            os.makedirs(mine, exist_ok=True)
        except FileNotFoundError:  # who was the last in it has just removed `root`
            os.makedirs(mine, exist_ok=True)
        _remove_leftovers(root)
        _directory, _pid = mine, os.getpid()
        atexit.register(_remove_mine, mine, _pid)
    return _directory


def _root() -> str:
    from wandb import env
    from wandb.sdk import active, wandb_setup

    given = env.get("WANDB_DATA_DIR")
    if given:
        return os.path.join(os.path.abspath(os.path.expanduser(given)), "artifacts", "staging")
    if active.current is not None and not active.current.disabled:
        return os.path.join(os.path.dirname(active.current.sync_dir), "staging")
    return os.path.join(os.path.abspath(wandb_setup.setup().settings.wandb_dir), "staging")


def _name_of(process: ProcessId) -> str:
    fields = (process.pid, process.start_ticks, process.boot_id, process.namespace, process.host)
    return _BETWEEN.join(quote(str(field), safe="") for field in fields)


def _process_of(name: str) -> Optional[ProcessId]:
    """Return the process that a directory is named after; None if that is no such name."""
    try:
        pid, start_ticks, boot_id, namespace, host = map(unquote, name.split(_BETWEEN))
        return ProcessId(host, boot_id, int(pid), int(start_ticks), namespace)
    except ValueError:
        return None


def _remove_leftovers(root: str) -> None:
    """Remove what processes have left here that are dead for certain."""
    for name in os.listdir(root):
        process = _process_of(name)
        if process is not None and life_of(process) is Life.DEAD:
            shutil.rmtree(os.path.join(root, name), ignore_errors=True)


def _remove_mine(path: str, pid: int) -> None:
    """Remove this process's directory; a forked child leaves its parent's alone."""
    if pid != os.getpid():
        return
    shutil.rmtree(path, ignore_errors=True)
    try:
        os.rmdir(os.path.dirname(path))
    except OSError:
        pass  # others are here too
