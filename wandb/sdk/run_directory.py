"""The run's directory: self-contained, can be moved, three files at most beside those that the user keeps.

<root>/wandb/offline-run-20261123_204014-ehp50xjv/      (run-... in online mode; -1, -2 if it exists)
    run-ehp50xjv.wandb                                   the log
    files/                                               what is uploaded as it is
    run-ehp50xjv.files.tar                               the same in one file, with bundle_files=True
<root>/wandb/latest-run -> offline-run-...               for people; tools resolve it
"""

from __future__ import annotations

import os
from typing import Tuple

from wandb.errors import LogWriteError
from wandb.internal.names import run_dir_name


class RunDirectory:
    """Absolute paths of one run directory.

    Attributes:
        parents: The directories above that have new entries, for who wants those on the disk.
    """

    __slots__ = ("path", "log", "files", "parents")

    def __init__(self, path: str, log: str, files: str, parents: Tuple[str, ...] = ()) -> None:
        self.path = path
        self.log = log
        self.files = files
        self.parents = parents

    def remove(self) -> None:
        """Take the directory away again, and the link to it: there will be no run."""
        latest = os.path.join(os.path.dirname(self.path), "latest-run")
        for remove, path in ((os.unlink, self.log), (os.rmdir, self.files), (os.rmdir, self.path)):
            try:
                remove(path)
            except OSError:
                continue
        try:
            if not os.path.exists(latest):
                os.unlink(latest)
        except OSError:
            return


def create(
    wandb_dir: str, run_id: str, start_time: float, mode: str, *, link_latest: bool = True
) -> RunDirectory:
    """Make a new run directory; two processes that ask in the same second get two.

    Args:
        wandb_dir: The directory that holds all runs; made if it is not there.
        start_time: Seconds since the epoch.
        mode: "offline-run" or "run".
        link_latest: Let `latest-run` point to it.

    Raises:
        LogWriteError: The directory cannot be made.
    """
    wandb_dir = os.path.abspath(wandb_dir)
    base = os.path.join(wandb_dir, run_dir_name(mode, start_time, run_id))
    parents = _directories_to_change(wandb_dir)
    try:
        os.makedirs(wandb_dir, exist_ok=True)
        path, attempt = base, 0
        while True:
            try:
                os.mkdir(path)
                break
            except FileExistsError:
                attempt += 1
                path = os.path.join(wandb_dir, run_dir_name(mode, start_time, run_id, attempt))
        files = os.path.join(path, "files")
        os.mkdir(files)
    except OSError as error:
        raise LogWriteError(
            f"the run directory {base} cannot be made: {error.strerror}",
            hint="choose another place with dir= or WANDB_DIR",
        ) from error
    if link_latest:
        _point_latest(wandb_dir, os.path.basename(path))
    return RunDirectory(path, os.path.join(path, f"run-{run_id}.wandb"), files, parents)


def _directories_to_change(wandb_dir: str) -> Tuple[str, ...]:
    """Return `wandb_dir`, and above it the directories that get a new entry when it has to be made first."""
    changed = [wandb_dir]
    while not os.path.isdir(changed[-1]) and os.path.dirname(changed[-1]) != changed[-1]:
        changed.append(os.path.dirname(changed[-1]))
    return tuple(changed)


def _point_latest(wandb_dir: str, name: str) -> None:
    """Let `latest-run` point to `name`; whoever looks sees the old or the new one, never none."""
    scratch = os.path.join(wandb_dir, f".latest-run-{os.getpid()}")
    try:
        os.symlink(name, scratch)
        os.replace(scratch, os.path.join(wandb_dir, "latest-run"))
    except OSError:  # no links on this filesystem: a convenience, nothing more
        try:
            os.unlink(scratch)
        except OSError:
            pass
