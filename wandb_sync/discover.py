"""Paths that a user gives -> logs to be synced.

A path may be a log, a run directory, a directory of run directories, or a directory that has one called
`wandb`; a glob that the shell has left alone is expanded.  Without paths, it is where a script that is
started here records: `wandb` or `.wandb`, here or in WANDB_DIR.

Rule 1: every log once: `latest-run` and other links are resolved, so the real directory is the one that is
        used.
Rule 2: the order is that of the names, which begin with a time stamp.
Rule 3: a log is called as it was recorded, `run-<id>.wandb`, also if it was compressed since: its checkpoint
        and the segments that follow it know it by that name (see log_file.py).
Rule 4: a directory is "offline" or "online" by its real name; one that was renamed counts as offline, for
        it is there and nobody else will upload it.
"""

from __future__ import annotations

import glob
import os
import re
from pathlib import Path
from typing import AbstractSet, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Set, Tuple

from wandb import env, live_file, settings_file
from wandb.errors import UsageError
from wandb.transaction_log.format import LOG_SUFFIX, SIDE_MARK
from wandb.transaction_log.log_file import on_disk, plain_name, status

_PACK = re.compile(r"\.tar\.zst(\.0*1)?\Z")
_RUN_DIRECTORY = re.compile(r"(?:offline-)?run-\d{8}_\d{6}-((.+?)(?:-\d+)?)\Z")
_SIDE_DIRECTORY = re.compile(r"(?:offline-)?run-\d{8}_\d{6}-(.+)-side(?:-\d+)?\Z")


class Log(NamedTuple):
    """One log on disk.

    Attributes:
        path: The log's plain name, links resolved; open it with `log_file.open_log` or a `Reader`.
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
    live: Path
    printed: Path

    @property
    def refused(self) -> Path:
        """Whose name, with the destination in it, is that of a refusal; see refusal.py."""
        return self.checkpoint.with_suffix(".refused")

    def are_begun(self) -> bool:
        """Whether any upload of the log has begun, to whatever destination."""
        return self.checkpoint.exists() or bool(_per_destination(self.checkpoint))

    def is_leased(self) -> bool:
        """Whether a syncer is at work on the log, or was when it was killed."""
        return self.lease.exists() or bool(_per_destination(self.lease))

    def leases(self) -> List[Path]:
        """Return the leases under which syncers are at work on the log, or were."""
        return [self.lease, *_per_destination(self.lease)]

    def refusals(self) -> List[Path]:
        """Return the refusals that are kept for the log."""
        return _per_destination(self.refused)

    def is_one(self, name: str) -> bool:
        """Say whether a file beside them is one of them, or what a kill has left of one."""
        kinds = "|".join(path.suffix[1:] for path in (*self, self.refused))
        log = re.escape(self.checkpoint.stem)
        return re.fullmatch(rf"{log}(\.[0-9a-f]{{8}})?\.({kinds})(\..+)?", name) is not None


def _per_destination(shared: Path) -> List[Path]:
    return sorted(shared.parent.glob(f"{glob.escape(shared.stem)}.????????{shared.suffix}"))


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
        base.with_name(name + live_file.SUFFIX),
        base.with_name(name + ".printed"),
    )


def is_pack(path: str) -> bool:
    """Whether a path is called as packs are (schema/pack): FILE.tar.zst, or the first part of one."""
    return bool(_PACK.search(path))


class Unusable(NamedTuple):
    """A path that means no log.

    Attributes:
        error: Why it could not even be looked at; None if it just holds no run.
    """

    path: str
    reason: str
    error: Optional[OSError]

    @property
    def is_side(self) -> bool:
        """Whether it holds a part of a shared run whose main log is not here."""
        return self.error is None and _is_side_directory(Path(self.path))


def discover(paths: Sequence[str], working_dir: Optional[Path] = None) -> List[Log]:
    """Return the logs that `paths` mean.

    Raises:
        UsageError: There are paths, and none of them means a log.
    """
    logs, unusable = find(paths, working_dir)
    if unusable and not logs:
        raise usage_error(unusable[0])
    return logs


def find(paths: Sequence[str], working_dir: Optional[Path] = None) -> Tuple[List[Log], List[Unusable]]:
    """Return the logs that `paths` mean, and the paths that mean none."""
    here = working_dir or Path()
    if not paths:
        place = default_directory(here)
        logs = _logs_below(place)
        return _unique(logs), _lone_sides([place], logs)
    found: List[Path] = []
    named: Set[Path] = set()
    unusable: List[Unusable] = []
    looked_at: List[Path] = []
    for path in paths:
        places = _expanded(here, path)
        looked_at += places
        logs = [log for place in places for log in _logs_below(place)]
        named.update(log for log in logs if log in places or log.parent in places)
        if not logs and not any(map(_is_side_directory, places)):
            unusable.append(_unusable(here, path))
        found += logs
    return _unique(found, named), _lone_sides(looked_at, found) + unusable


def find_in(directory: Path) -> List[Log]:
    """Return the logs in a run directory; none if it is no such thing, or not there."""
    return _unique(logs_in(directory))


def directories_by_run(tree: Path) -> Dict[str, List[str]]:
    """Return the names of run directories by the run that they may be of.

    "...-x-1" may be the second of "x" or the first of "x-1".  What was renamed is under "".
    """
    found: Dict[str, List[str]] = {}
    for path in _entries(tree):
        match = _RUN_DIRECTORY.match(path.name)
        for run_id in set(match.groups()) if match else ("",):
            found.setdefault(run_id, []).append(path.name)
    return found


def side_directories_by_run(tree: Path) -> Dict[str, List[Path]]:
    """Return the directories of side logs (of shared runs' other processes) by the ids of their runs."""
    found: Dict[str, List[Path]] = {}
    for path in _entries(tree):
        match = _SIDE_DIRECTORY.match(path.name)
        if match:
            found.setdefault(match.group(1), []).append(path)
    return found


def default_directory(working_dir: Path) -> Path:
    """Return the directory in which a script that is started in `working_dir` records its runs.

    As `Settings.wandb_dir` of the SDK: what the environment, the directory's settings and the user's say.
    """
    places = (settings_file.workspace_path(str(working_dir)), settings_file.global_path(env.snapshot()))
    files = [settings_file.read(path) for path in places]

    def said(variable: str, key: str) -> str:
        return env.get(variable) or next(filter(None, (file.get(key) for file in files)), "")

    root = working_dir / os.path.expanduser(said("WANDB_DIR", "root_dir"))
    use_dot_wandb = env.as_bool(said("WANDB_USE_DOT_WANDB", "use_dot_wandb"))
    return Path(settings_file.workspace_path(str(root), use_dot_wandb)).parent


def usage_error(unusable: Unusable) -> UsageError:
    """Return the error for a path that means no log, where there is no other."""
    return UsageError(
        f"{unusable.path}: {unusable.reason}",
        hint="give a run directory, a .wandb file, or a wandb directory",
    )


def _unusable(here: Path, path: str) -> Unusable:
    try:
        os.stat(here / path)
        if os.path.isdir(here / path):
            os.scandir(here / path).close()
    except FileNotFoundError as error:
        return Unusable(path, "does not exist", error)
    except OSError as error:
        return Unusable(path, f"cannot be read: {error.strerror}", error)
    return Unusable(path, "holds no run", None)


def _expanded(here: Path, path: str) -> List[Path]:
    if os.path.lexists(here / path) or not glob.has_magic(path):
        return [here / path]
    return [Path(match) for match in sorted(glob.glob(str(here / path)))]


def _logs_below(path: Path) -> List[Path]:
    """Return the logs that one path means: itself, those in it, or those one level down."""
    if not os.path.isdir(path):
        log = Path(plain_name(path))
        return [log] if log.suffix == LOG_SUFFIX and os.path.isfile(on_disk(path)) else []
    inside = sorted(logs_in(path))
    if inside:
        return inside
    runs = sorted(log for directory in _directories(path) for log in logs_in(directory))
    if runs or not os.path.isdir(path / "wandb"):
        return runs
    return _logs_below(path / "wandb")


def _is_side_directory(path: Path) -> bool:
    """Say whether a path is named as the directory of a process that is not a shared run's primary one."""
    return _SIDE_DIRECTORY.match(path.name) is not None


def _lone_sides(places: Sequence[Path], logs: Sequence[Path]) -> List[Unusable]:
    """Return the directories of side logs whose main logs are not among `logs`."""
    main = {log.name for log in logs}
    found = []
    for place in places:
        for directory in (place, place / "wandb"):
            for path in filter(_is_side_directory, (directory, *_entries(directory))):
                names = {
                    entry.name.partition(SIDE_MARK)[0] for entry in _entries(path) if SIDE_MARK in entry.name
                }
                reason = "holds a part of a shared run whose main log is not here: it is synced with that one"
                if names - main:
                    found.append(Unusable(str(path), reason, None))
    return found


def logs_in(directory: Path) -> Set[Path]:
    """Return the logs of a directory by their plain names, whichever form they are in."""
    files = (path for path in _entries(directory) if plain_name(path.name).endswith(LOG_SUFFIX))
    return {Path(plain_name(path)) for path in files if os.path.isfile(path)}


def _directories(directory: Path) -> Iterator[Path]:
    return (path for path in _entries(directory) if not path.name.startswith(".") and os.path.isdir(path))


def _entries(directory: Path) -> List[Path]:
    try:
        return [directory / name for name in os.listdir(directory)]
    except OSError:
        return []  # a directory of somebody else's, or one that was just removed


def _unique(paths: Iterable[Path], named: AbstractSet[Path] = frozenset()) -> List[Log]:
    found: Dict[Tuple[int, int], Log] = {}
    for path in paths:
        real = Path(plain_name(os.path.realpath(on_disk(path))))
        try:
            found_there = status(real)
        except OSError:
            continue  # gone since it was listed
        is_direct = path.parent.resolve() == path.parent.absolute()
        shown = path if is_direct else real
        key = (found_there.st_dev, found_there.st_ino)
        known = found.get(key)
        is_named = path in named or (known is not None and known.is_named)
        if known is not None and not is_direct:
            shown = Path(known.shown)
        found[key] = Log(real, str(shown), is_named)
    return sorted(found.values(), key=lambda log: (log.directory.name, str(log.path)))
