"""Which program this is: its path, its place in the repository, its arguments, a copy of its code.

    started as                 program                         relpath, abspath
    python train.py            /home/me/exp/train.py           train.py (below the repository's root)
    python -m pkg.train        -m pkg.train                    none
    python -c ..., a prompt    <python with no main file>      none
    python < train.py          <stdin>                         none
    a notebook                 its path, as far as known       below Jupyter's root

Rule: nothing raises; what cannot be found out is None.
"""

from __future__ import annotations

import os
import sys
from typing import List, Optional

NO_MAIN_FILE = "<python with no main file>"
MASK = "***"

# A script is text; a "script" beyond this is a zip application or a mistake.
MAX_CODE_BYTES = 16 << 20

# Options whose value is never recorded, by the last words of their names ...
_SECRET_WORDS = (
    "password",
    "passwd",
    "pwd",
    "passphrase",
    "secret",
    "secrets",
    "apikey",
    "credential",
    "credentials",
)
_SECRET_PAIRS = tuple(
    f"{first}-{second}"
    for first in (
        "api",
        "access",
        "auth",
        "secret",
        "private",
        "encryption",
        "account",
        "bearer",
        "hf",
        "wandb",
    )
    for second in ("key", "token")
)
# ... and those whose value is recorded only if it does not look like a secret: `--image-key pixels` and
# `--pad-token <pad>` are common, and so is `--openai-key sk-...`.
_DOUBTFUL_WORDS = ("key", "token", "keys", "tokens")
_SECRET_LOOK_CHARS = 16


class Program:
    """What was started.

    Attributes:
        program: As in the table above.
        relpath: Below the repository's root, or below the working directory without one.
        abspath: None unless the file exists.
        local_path: Below the working directory.
    """

    __slots__ = ("program", "relpath", "abspath", "local_path")

    def __init__(
        self,
        program: str,
        relpath: Optional[str] = None,
        abspath: Optional[str] = None,
        local_path: Optional[str] = None,
    ) -> None:
        self.program = program
        self.relpath = relpath
        self.abspath = abspath
        self.local_path = local_path


def find_program(
    name: Optional[str] = None,
    root: Optional[str] = None,
    notebook: Optional[str] = None,
    notebook_root: Optional[str] = None,
) -> Program:
    """Find out what runs.

    Args:
        name: What the user says that it is (`Settings.program`, WANDB_PROGRAM); None to look.
        root: The repository's root; None for the working directory.
        notebook: The path of the notebook, if this is one; None if it is none or the path is unknown.
        notebook_root: Where `notebook` is relative to.
    """
    try:
        here = os.getcwd()
    except OSError:  # the directory was removed
        here = "/"
    program = name or notebook or _main_module() or NO_MAIN_FILE
    if notebook and notebook_root and not name:
        abspath = os.path.abspath(os.path.join(notebook_root, notebook))
        return Program(program, notebook, abspath if os.path.isfile(abspath) else None)
    abspath = os.path.normpath(os.path.join(here, program))
    if not os.path.isfile(abspath):
        return Program(program)
    relpath = _below(abspath, root or here)
    return Program(program, relpath, abspath, _below(abspath, here) if relpath else None)


def code_path(program: Program) -> Optional[str]:
    """Return where a copy of the main script belongs, relative to the run's files: `code/<relpath>`.

    Args:
        program: As `find_program` returned it.

    Returns:
        None if there is no script, or it is too large.
    """
    if program.abspath is None:
        return None
    relpath = program.relpath or os.path.basename(program.abspath)
    copy = os.path.normpath(os.path.join("code", relpath))
    if not copy.startswith("code" + os.sep):
        return None
    try:
        if os.path.getsize(program.abspath) > MAX_CODE_BYTES:
            return None
    except OSError:
        return None
    return copy


def arguments(argv: Optional[List[str]] = None) -> List[str]:
    """Return the program's arguments with secrets masked; sys.argv without its first if `argv` is None.

    Masked are the values of options that are named like a password, key or token (`--password x`,
    `api_key=x`, `db.secret=x`) and passwords inside URLs.  A secret under another name is not recognised.
    """
    masked = []
    secret_follows = ""
    for argument in sys.argv[1:] if argv is None else argv:
        argument = str(argument)
        name, equals, value = argument.partition("=")
        if secret_follows and not (argument.startswith("--") and len(argument) > 2):
            masked.append(MASK if _is_secret(secret_follows, argument) else _without_url_password(argument))
            secret_follows = ""
        elif equals and _is_secret(name, value):
            masked.append(f"{name}={MASK}")
            secret_follows = ""
        else:
            masked.append(_without_url_password(argument))
            secret_follows = argument if argument.startswith("-") and not equals else ""
    return masked


def _main_module() -> Optional[str]:
    main = sys.modules.get("__main__")
    if main is None or not hasattr(main, "__spec__"):
        return None
    if main.__spec__ is not None:
        return f"-m {main.__spec__.name}"
    return getattr(main, "__file__", None)


def _below(path: str, root: str) -> Optional[str]:
    try:
        relpath = os.path.relpath(path, root)
    except ValueError:  # another drive
        return None
    return None if relpath.startswith(os.pardir + os.sep) or relpath == os.pardir else relpath


def _is_secret(name: str, value: str) -> bool:
    words = name.lower().lstrip("-+").replace("_", "-").replace(".", "-").replace("/", "-").split("-")
    if words[-1] in _SECRET_WORDS or "-".join(words[-2:]) in _SECRET_PAIRS:
        return True
    looks_secret = len(value) >= _SECRET_LOOK_CHARS and any(char.isdigit() for char in value)
    return words[-1] in _DOUBTFUL_WORDS and looks_secret


def _without_url_password(argument: str) -> str:
    before, separator, rest = argument.partition("://")
    authority, slash, path = rest.partition("/")
    user, at, host = authority.rpartition("@")
    if not separator or not at or ":" not in user:
        return argument
    return f"{before}://{user.partition(':')[0]}:{MASK}@{host}{slash}{path}"
