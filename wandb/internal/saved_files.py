"""Files that the user wants kept with the run: `run.save`.

They are put below the run directory's files/, so that the directory can be carried anywhere.  With policy
"now" the content of this moment is copied; with "live" and "end" a symlink stands in until the run ends, and
is then replaced by a copy, because what counts is the later content.
"""

from __future__ import annotations

import os
from typing import List, Optional, Tuple

from wandb.errors import ValidationError
from wandb.interface.records import END, LIVE, NOW

POLICIES = {"now": NOW, "end": END, "live": LIVE}


def select(
    pattern: str, base_path: Optional[str], use_glob: bool = True, runs: str = ""
) -> Tuple[str, List[str]]:
    """Return (base directory, absolute paths of the files) that a call of `save` means.

    Args:
        runs: The directory of runs; it is left out of directories that are taken whole.

    Raises:
        ValidationError: The pattern is the base directory itself, or a file does not lie below that.
    """
    import glob

    base = os.path.abspath(base_path) if base_path is not None else _default_base(pattern)
    pattern = os.path.abspath(os.path.expanduser(pattern))
    if pattern == base:
        raise ValidationError("save", f"{pattern} is the base path itself", hint="pass another base_path")
    found = sorted(glob.glob(pattern, recursive=True)) if use_glob else [pattern] * os.path.exists(pattern)
    paths: List[str] = []
    for path in found:
        if os.path.isdir(path):
            paths += _files_below(path, runs)
        else:
            paths.append(path)
    for path in paths:
        if os.path.commonpath([base, path]) != base:
            raise ValidationError(
                "save", f"{path} is not below the base path {base}", hint="pass another base_path"
            )
    return base, paths


def _files_below(directory: str, runs: str) -> List[str]:
    """Return all files; without runs, for a log would become a file of its own run."""
    found: List[str] = []
    for top, directories, names in os.walk(directory):
        directories[:] = [name for name in directories if not runs or os.path.join(top, name) != runs]
        found += [os.path.join(top, name) for name in names]
    return found


def _default_base(pattern: str) -> str:
    """Return the working directory, or for an absolute path the directory above the one that it ends in."""
    pattern = os.path.expanduser(pattern)
    if not os.path.isabs(pattern):
        return os.getcwd()
    fixed = os.path.dirname(os.path.dirname(os.path.abspath(pattern)))
    while any(mark in fixed for mark in "*?["):
        fixed = os.path.dirname(fixed)
    return fixed


def place(source: str, target: str, policy: int) -> None:
    """Put `source` at `target` below the run's files.

    Raises:
        OSError: The copy or the link could not be made; `target` is as it was.
    """
    import shutil

    if os.path.realpath(source) == os.path.realpath(target):
        return
    os.makedirs(os.path.dirname(target), exist_ok=True)
    scratch = f"{target}.{os.getpid()}.partial"
    try:
        if policy == NOW:
            shutil.copyfile(source, scratch)
        else:
            os.symlink(source, scratch)
        os.replace(scratch, target)
    except BaseException:
        if os.path.lexists(scratch):
            os.unlink(scratch)
        raise


def settle(target: str) -> None:
    """Replace the symlink at `target` by a copy of what it points to; leave it where that is gone."""
    import shutil

    if not os.path.islink(target):
        return
    scratch = f"{target}.{os.getpid()}.partial"
    try:
        shutil.copyfile(target, scratch)
        os.replace(scratch, target)
    except OSError:
        if os.path.lexists(scratch):
            os.unlink(scratch)
