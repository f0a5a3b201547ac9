"""The run's directory: self-contained, can be moved, three files at most beside those that the user keeps.

<root>/wandb/offline-run-20261123_204014-ehp50xjv/      (run-... in online mode; -1, -2 if it exists)
    run-ehp50xjv.wandb                                   the log
    run-ehp50xjv.wandb.side-3kq07c1x                     the log of another process that records the run too
    files/                                               what is uploaded as it is
    artifacts/md5/d4/1d8cd98f...                         files of artifacts, named by their digest
    run-ehp50xjv.files.tar                               the same in one file, with bundle_files=True
<root>/wandb/latest-run -> offline-run-...               for people; tools resolve it
"""

from __future__ import annotations

import os
from typing import Any, Callable, Optional, Tuple

from wandb.backend.base import Backend
from wandb.backend.log import LogBackend, LogConfig
from wandb.errors import LogWriteError
from wandb.file_systems import may_hang
from wandb.internal.file_bundle import FileBundle, path_of as bundle_path
from wandb.internal.names import run_dir_name
from wandb.internal.run_files import RunFiles
from wandb.transaction_log.format import LOG_SUFFIX, SIDE_MARK

Failed = Callable[[str, BaseException], None]  # the name of the call, and what went wrong in it


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


def log_name(run_id: str, side_id: str = "") -> str:
    """Return the name of a run's log, or of a side log.

    A side log's name does not end as a log's: the real `wandb sync` would take it for the run's only one.
    """
    return f"run-{run_id}{LOG_SUFFIX}" + (f"{SIDE_MARK}{side_id}" if side_id else "")


def log_config(settings: Any, directory: RunDirectory) -> LogConfig:
    """Return how the logs in a run directory are written."""
    return LogConfig(
        settings.durability,
        sync_interval_s=settings.x_log_sync_interval,
        backlog_bytes=settings.x_log_backlog_bytes,
        retry_s=settings.x_log_retry_interval,
        write_timeout_s=settings.x_log_write_timeout,
        thread=settings.x_log_writer_thread,
        raises=settings.on_error == "raise",
        directories=directory.parents,
    )


def open_log(settings: Any, directory: RunDirectory, path: str, failed: Failed) -> LogBackend:
    """Begin a log in a run directory, as the settings want it written.

    Raises:
        LogWriteError: It exists already, or cannot be created.
    """
    if settings.quota_bytes is None:
        return LogBackend(path, log_config(settings, directory), failed)
    from wandb.backend.limited_log import LimitedLogBackend

    return LimitedLogBackend(path, settings.quota_bytes, log_config(settings, directory), failed)


def run_files(
    settings: Any, directory: Optional[RunDirectory], backend: Backend, failed: Failed, is_alone: bool = True
) -> Optional[RunFiles]:
    """Return what puts files into a run directory; None if there is none.

    Args:
        is_alone: Whether nobody else writes the bundle that belongs to the directory's log.
    """
    if directory is None:
        return None
    bundle = FileBundle(bundle_path(directory.log)) if settings.bundle_files and is_alone else None
    waits = settings.x_log_writer_thread
    waits = may_hang(directory.files) if waits is None else waits
    timeout_s = settings.x_log_write_timeout if waits else None
    return RunFiles(directory.files, backend, failed, bundle=bundle, timeout_s=timeout_s)


def create(
    wandb_dir: str,
    run_id: str,
    start_time: float,
    mode: str,
    *,
    link_latest: bool = True,
    side_id: str = "",
) -> RunDirectory:
    """Make a new run directory; two processes that ask in the same second get two.

    Args:
        wandb_dir: The directory that holds all runs; made if it is not there.
        start_time: Seconds since the epoch.
        mode: "offline-run" or "run".
        link_latest: Let `latest-run` point to it.
        side_id: The directory is to hold a side log, of a process that has no part in the main one's.

    Raises:
        LogWriteError: The directory cannot be made.
    """
    wandb_dir = os.path.abspath(wandb_dir)
    name = f"{run_id}-side" if side_id else run_id
    base = os.path.join(wandb_dir, run_dir_name(mode, start_time, name))
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
                path = os.path.join(wandb_dir, run_dir_name(mode, start_time, name, attempt))
        files = os.path.join(path, "files")
        os.mkdir(files)
    except OSError as error:
        raise LogWriteError(
            f"the run directory {base} cannot be made: {error.strerror}",
            hint="choose another place with dir= or WANDB_DIR",
        ) from error
    if link_latest:
        _point_latest(wandb_dir, os.path.basename(path))
    return RunDirectory(path, os.path.join(path, log_name(run_id, side_id)), files, parents)


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
