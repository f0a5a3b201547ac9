"""The one reader of `os.environ` in the recording half.

Rule 1: nothing else reads the environment, so that one grep finds every variable that matters.
Rule 2: nothing here is remembered; `wandb.setup()` decides when the environment is read.
Rule 3: nothing here writes to the environment.

`VARIABLES` is the documentation of every WANDB_* variable that has a meaning.  One that is not listed is
read all the same: `read()` returns all of them, and a setting `x_foo` may be given as `WANDB_X_FOO`.
"""

from __future__ import annotations

import os
from typing import Dict, Mapping, Optional

PREFIX = "WANDB_"

VARIABLES: Dict[str, str] = {
    # identity of the run
    "WANDB_ENTITY": "user or team that the run belongs to",
    "WANDB_PROJECT": "project of the run",
    "WANDB_RUN_ID": "id of the run; the same id again continues the run",
    "WANDB_NAME": "display name",
    "WANDB_NOTES": "notes, free text",
    "WANDB_TAGS": "tags, separated by commas",
    "WANDB_RUN_GROUP": "group of runs that belong together",
    "WANDB_JOB_TYPE": "what the run does in its group, e.g. train or eval",
    "WANDB_SWEEP_ID": "sweep that started the run",
    "WANDB_SWEEP_PARAM_PATH": "YAML file with the parameters that the sweep chose",
    "WANDB_HOST": "host name to record instead of the machine's",
    "WANDB_USERNAME": "user name to record",
    "WANDB_USER_EMAIL": "e-mail address to record",
    "WANDB_PROGRAM": "script to record instead of the one that Python was started with",
    "WANDB_ARGS": "arguments to record instead of sys.argv, as a JSON list",
    "WANDB_X_EXECUTABLE": "interpreter to record instead of sys.executable",
    "WANDB_ORGANIZATION": "organization that registry paths refer to",
    # mode
    "WANDB_MODE": "online, offline, disabled, shared; dryrun means offline, run means online",
    # server
    "WANDB_BASE_URL": "address of the server",
    "WANDB_APP_URL": "address of the server's web pages, where it differs",
    "WANDB_API_KEY": "key to the server",
    "WANDB_IDENTITY_TOKEN_FILE": "file with a JWT to exchange for access",
    "WANDB_CREDENTIALS_FILE": "file where exchanged credentials are kept",
    "WANDB_INSECURE_DISABLE_SSL": "true: do not check the server's certificate",
    "WANDB_HTTP_TIMEOUT": "seconds until a request is given up",
    # directories
    "WANDB_DIR": "directory in which wandb/ is made",
    "WANDB_CONFIG_DIR": "directory of the global settings file",
    "WANDB_ENFORCED_SETTINGS_FILE": "settings that win over everything; /etc/wandb/settings if unset",
    "WANDB_CACHE_DIR": "directory of caches",
    "WANDB_DATA_DIR": "directory of staged artifact files",
    "WANDB_ARTIFACT_DIR": "directory into which artifacts are downloaded",
    # behaviour
    "WANDB_CONFIG_PATHS": "YAML files with config values, separated by commas",
    "WANDB_CONSOLE": "off, wrap, redirect, auto",
    "WANDB_SAVE_CODE": "true: copy the main script into the run",
    "WANDB_DISABLE_CODE": "true: never copy code",
    "WANDB_DISABLE_GIT": "true: do not look for a git repository",
    "WANDB_GIT_ROOT": "root of the git repository",
    "WANDB_GIT_REMOTE": "name of the git remote to record; origin if unset",
    "WANDB_GIT_REMOTE_URL": "remote to record instead of the repository's",
    "WANDB_GIT_COMMIT": "commit to record instead of the repository's",
    "WANDB_IGNORE_GLOBS": "files never to upload, separated by commas",
    "WANDB_RESUME": "allow, must, never, auto",
    "WANDB_REINIT": "what a second init() does: return_previous, finish_previous, create_new",
    "WANDB_ALLOW_VAL_CHANGE": "true: config values may be changed",
    "WANDB_SILENT": "true: print nothing",
    "WANDB_QUIET": "true: print warnings and errors only",
    "WANDB_SHOW_INFO": "false: no informational messages",
    "WANDB_SHOW_WARNINGS": "false: no warnings",
    "WANDB_SHOW_ERRORS": "false: no errors",
    "WANDB_NOTEBOOK_NAME": "path of the notebook, where it cannot be found out",
    "WANDB_DOCKER": "image that the run runs in",
    "WANDB_ANONYMOUS": "accepted, without effect",
    "WANDB_MAGIC": "accepted, without effect",
    "WANDB_ERROR_REPORTING": "accepted, without effect: nothing is reported to anyone",
    "WANDB_SERVICE": "accepted, without effect: there is no service process",
    "WANDB_START_METHOD": "accepted, without effect: no process is started",
    "WANDB_DEBUG": "true: more detail in logs/debug.log",
    "WANDB_INIT_TIMEOUT": "seconds that init() may wait for an answer",
}

_TRUE = frozenset(("1", "true", "t", "yes", "y", "on"))
_FALSE = frozenset(("0", "false", "f", "no", "n", "off"))


def read(prefix: str = PREFIX) -> Dict[str, str]:
    """Return all variables whose names start with `prefix`, by full name, empty ones too."""
    return {name: os.environ[name] for name in os.environ if name.startswith(prefix)}


def snapshot() -> Dict[str, str]:
    """Return the variables that decide about settings and credentials, WANDB_* and NETRC, as they are now."""
    return {**read(), "NETRC": get("NETRC") or ""}


def for_child(changes: Mapping[str, str]) -> Dict[str, str]:
    """Return the whole environment with some variables changed, for a program that we start."""
    return {**os.environ, **changes}


def get(name: str, default: Optional[str] = None) -> Optional[str]:
    """Return the variable's text, or `default` if it is not set."""
    return os.environ.get(name, default)


def is_true(name: str, default: bool = False) -> bool:
    """Return what a yes-or-no variable says; `default` if it is unset or says neither."""
    said = as_bool(os.environ.get(name, ""))
    return default if said is None else said


def as_bool(text: str) -> Optional[bool]:
    """Return the truth value that `text` spells, None if it spells none."""
    word = text.strip().lower()
    return True if word in _TRUE else False if word in _FALSE else None
