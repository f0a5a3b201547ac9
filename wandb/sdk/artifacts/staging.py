"""Where files wait between `artifact.add_file()` and the run that logs the artifact.

That is `wandb/staging/` beside the run directories (below WANDB_DATA_DIR, if that is set): on the same file
system, so that a file gets into the run by a change of its name.

Rule 1: each process has a directory of its own below, which goes when it ends; what a killed one leaves
        behind, the next process that stages something removes.
"""

from __future__ import annotations

import atexit
import itertools
import json
import os
from typing import Iterator, Optional

from wandb.internal import names
from wandb.processes import Life, ProcessId, life_of

_OWNER = "owner.json"

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
        os.makedirs(root, exist_ok=True)
        _remove_leftovers(root)
        mine = os.path.join(root, f"{os.getpid()}-{names.generate_id()}")
        os.mkdir(mine)
        with open(os.path.join(mine, _OWNER), "w", encoding="utf-8") as file:
            json.dump(ProcessId.current().to_json(), file)
        _directory, _pid = mine, os.getpid()
        atexit.register(_remove, mine, _pid)
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


def _remove_leftovers(root: str) -> None:
    """Remove what processes have left here that are dead for certain."""
    for name in os.listdir(root):
        left = os.path.join(root, name)
        try:
            with open(os.path.join(left, _OWNER), encoding="utf-8") as file:
                owner = ProcessId(**json.load(file))
        except (OSError, ValueError, TypeError):
            continue  # it is being made, or is none of ours
        if life_of(owner) is Life.DEAD:
            _remove(left)


def _remove(path: str, pid: Optional[int] = None) -> None:
    """Remove a directory of ours; a forked child leaves its parent's alone."""
    if pid is None or pid == os.getpid():
        import shutil

        shutil.rmtree(path, ignore_errors=True)
        try:
            os.rmdir(os.path.dirname(path))
        except OSError:
            pass  # others are here too
