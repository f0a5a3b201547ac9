"""Which files are a run's code: what `run.log_code()` collects."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Callable, List, Optional, Tuple

from wandb.errors import ValidationError

if TYPE_CHECKING:
    from wandb.sdk.artifacts.artifact import Artifact

Choice = Callable[..., bool]  # (path, root) or (path) -> whether

NOT_CODE = ("wandb", ".wandb")  # directories below the root that runs are recorded in


def is_code(path: str) -> bool:
    """Whether it is Python, or says what Python needs to run: requirements.txt, a Dockerfile."""
    name = os.path.basename(path)
    return name.endswith(".py") or name.startswith("Dockerfile") or name == "requirements.txt"


def is_below_runs(path: str, root: str) -> bool:
    """Whether it is in a directory that runs are recorded in."""
    return os.path.relpath(path, root).split(os.sep)[0] in NOT_CODE


def collect(root: str, include: Choice, exclude: Choice) -> List[Tuple[str, str]]:
    """Return (path, path below `root`) of all files that are code, sorted.

    Args:
        include, exclude: Asked of each file, with its path and, if they take two arguments, the root.

    Raises:
        ValidationError: `root` is no directory.
    """
    root = os.path.abspath(root)
    if not os.path.isdir(root):
        raise ValidationError("log_code: root", f"{root} is no directory")
    takes, leaves = _of_two(include), _of_two(exclude)
    found = []
    for top, _, names in os.walk(root):
        for name in names:
            path = os.path.join(top, name)
            if takes(path, root) and not leaves(path, root) and os.path.isfile(path):
                found.append((path, os.path.relpath(path, root)))
    return sorted(found)


def artifact(name: Optional[str], project: str, program: str, files: List[Tuple[str, str]]) -> Artifact:
    """Return the artifact of these files, not logged yet.

    Args:
        name: Its name; else one after project and program.
        files: As `collect` returns them.
    """
    from wandb.sdk.artifacts.artifact import Artifact
    from wandb.util import make_artifact_name_safe

    found = Artifact(name or make_artifact_name_safe(f"source-{project}-{program}"), type="source code")
    found._type = "code"  # which is refused from scripts, for names like this one
    for path, below in files:
        found.add_file(path, name=below)
    return found


def _of_two(choice: Choice) -> Choice:
    """Return a function of (path, root): older scripts give functions of the path only."""
    from inspect import signature

    try:
        takes_root = len(signature(choice).parameters) == 2
    except (TypeError, ValueError):  # a builtin's
        takes_root = False
    return choice if takes_root else lambda path, root: choice(path)
