"""Paths that a user gives -> logs to be synced.

A path may be a log, a run directory, a directory of run directories, or a directory that has one called
`wandb`; a glob that the shell has left alone is expanded.  Without paths, `./wandb`.

Rule 1: every log once: `latest-run` and other links are resolved, so the real directory is the one that is
        used.
Rule 2: the order is that of the names, which begin with a time stamp.
Rule 3: a directory is "offline" or "online" by its real name; one that was renamed counts as offline, for
        it is there and nobody else will upload it.
"""

from __future__ import annotations

import glob
import os
from pathlib import Path
from typing import AbstractSet, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Set, Tuple

from wandb.errors import UsageError

LOG_SUFFIX = ".wandb"


class Log(NamedTuple):
    """One log on disk.

    Attributes:
        path: The file, links resolved.
        shown: The path as a person would give it.
        is_named: Whether the user named this log or its run directory, and not one that it was found in.
    """

    path: Path
    shown: str
    is_named: bool = False

    @property
    def directory(self) -> Path:
        return self.path.parent

    @property
    def files_dir(self) -> Path:
        return self.directory / "files"

    @property
    def is_online(self) -> bool:
        """Whether wandb made it in online mode, so that it is probably on the server already."""
        return self.directory.name.startswith("run-")


class Sidecars(NamedTuple):
    """The syncer's own files of one log."""

    checkpoint: Path
    receipt: Path
    lease: Path
    synced: Path
    syncstate: Path


def sidecars(log: Log, state_dir: Optional[Path] = None) -> Sidecars:
    """Return where the syncer's files of a log are: beside it, or in a directory of their own.

    Args:
        state_dir: For logs in places that cannot be written to.
    """
    base = log.path
    if state_dir is not None:
        base = state_dir / f"{log.directory.name}-{log.path.name}"
    name = base.name
    return Sidecars(
        base.with_name(name + ".checkpoint"),
        base.with_name(name + ".receipt"),
        base.with_name(name + ".lease"),
        base.with_name(name + ".synced"),
        base.with_name(name + ".syncstate"),
    )


def discover(paths: Sequence[str], working_dir: Optional[Path] = None) -> List[Log]:
    """Return the logs that `paths` mean.

    Raises:
        UsageError: A path does not exist, or holds no log.
    """
    here = working_dir or Path()
    if not paths:
        default = here / "wandb"
        return _unique(_logs_below(default)) if default.is_dir() else []
    found: List[Path] = []
    named: Set[Path] = set()
    for path in paths:
        places = _expanded(here, path)
        logs = [log for place in places for log in _logs_below(place)]
        named.update(log for log in logs if log in places or log.parent in places)
        if not logs:
            exists = os.path.lexists(here / path)
            reason = "holds no run" if exists else "does not exist"
            raise UsageError(
                f"{path}: {reason}", hint="give a run directory, a .wandb file, or a wandb directory"
            )
        found += logs
    return _unique(found, named)


def _expanded(here: Path, path: str) -> List[Path]:
    if os.path.lexists(here / path) or not glob.has_magic(path):
        return [here / path]
    return [Path(match) for match in sorted(glob.glob(str(here / path)))]


def _logs_below(path: Path) -> List[Path]:
    """Return the logs that one path means: itself, those in it, or those one level down."""
    if not path.is_dir():
        return [path] if path.is_file() and path.suffix == LOG_SUFFIX else []
    inside = sorted(_logs_in(path))
    if inside:
        return inside
    runs = sorted(log for directory in _directories(path) for log in _logs_in(directory))
    if runs or not (path / "wandb").is_dir():
        return runs
    return _logs_below(path / "wandb")


def _logs_in(directory: Path) -> Iterator[Path]:
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.name.endswith(LOG_SUFFIX) and entry.is_file():
                    yield directory / entry.name
    except OSError:
        return  # a directory of somebody else's, or one that was just removed


def _directories(directory: Path) -> Iterator[Path]:
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.is_dir() and not entry.name.startswith("."):
                    yield directory / entry.name
    except OSError:
        return


def _unique(paths: Iterable[Path], named: AbstractSet[Path] = frozenset()) -> List[Log]:
    found: Dict[Tuple[int, int], Log] = {}
    for path in paths:
        real = Path(os.path.realpath(path))
        try:
            status = real.stat()
        except OSError:
            continue  # gone since it was listed
        is_direct = path.parent.resolve() == path.parent.absolute()
        shown = path if is_direct else real
        key = (status.st_dev, status.st_ino)
        known = found.get(key)
        is_named = path in named or (known is not None and known.is_named)
        if known is not None and not is_direct:
            shown = Path(known.shown)
        found[key] = Log(real, str(shown), is_named)
    return sorted(found.values(), key=lambda log: (log.directory.name, str(log.path)))
