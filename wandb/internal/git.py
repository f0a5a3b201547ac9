"""The state of a git repository, read from its files; git itself is not run.

What is read: `.git` (a directory, or a file that points to one: worktrees, submodules), HEAD, loose and
packed refs, and `remote.*.url` of the repository's own config.  What is not: included config files,
`insteadOf`, reftables, whether files were changed.

Rule: nothing raises; what cannot be read is None.
"""

from __future__ import annotations

import os
from typing import Dict, Optional

_MAX_FILE_BYTES = 8 << 20  # packed-refs of the largest repositories; more is not looked at


class GitState:
    """A repository's state.

    Attributes:
        root: The working tree.
        remote_url: Without credentials.
        commit: None in a repository without commits.
        branch: None if HEAD is detached.
    """

    __slots__ = ("root", "remote_url", "commit", "branch")

    def __init__(
        self, root: str, remote_url: Optional[str], commit: Optional[str], branch: Optional[str]
    ) -> None:
        self.root = root
        self.remote_url = remote_url
        self.commit = commit
        self.branch = branch


def git_state(start_dir: str, remote: str = "origin") -> Optional[GitState]:
    """Return the state of the repository that `start_dir` lies in; None if it lies in none.

    Args:
        start_dir: Where to look first; then its parents.
        remote: The remote whose URL is wanted.
    """
    try:
        directory = os.path.abspath(start_dir)
        while True:
            git_dir = _git_dir(directory)
            if git_dir is not None:
                return _state(directory, git_dir, remote)
            parent = os.path.dirname(directory)
            if parent == directory:
                return None
            directory = parent
    except (OSError, ValueError):  # the working directory is gone; a NUL in a path
        return None


def without_credentials(url: str) -> str:
    """Return a remote's URL without user name and password.

    Both go, because a token may stand in the place of either; `ssh://git@host` and `git@host:path` stay.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.lower() in ("ssh", "git+ssh", "file"):
        return url if ":" not in rest.partition("@")[0] else scheme + separator + _without_password(rest)
    authority, slash, path = rest.partition("/")
    return scheme + separator + authority.rpartition("@")[2] + slash + path


def _without_password(rest: str) -> str:
    authority, slash, path = rest.partition("/")
    user, at, host = authority.rpartition("@")
    return user.partition(":")[0] + at + host + slash + path


def _state(root: str, git_dir: str, remote: str) -> GitState:
    common = _line(os.path.join(git_dir, "commondir"))
    common_dir = os.path.normpath(os.path.join(git_dir, common)) if common else git_dir
    head = _line(os.path.join(git_dir, "HEAD")) or ""
    branch = commit = None
    if head.startswith("ref:"):
        ref = head[4:].strip()
        branch = ref[len("refs/heads/") :] if ref.startswith("refs/heads/") else None
        commit = _resolve(git_dir, common_dir, ref)
    elif _is_hash(head):
        commit = head
    url = _config(os.path.join(common_dir, "config")).get(f"remote.{remote}.url")
    return GitState(root, without_credentials(url) if url else None, commit, branch)


def _git_dir(directory: str) -> Optional[str]:
    path = os.path.join(directory, ".git")
    if os.path.isdir(path):
        return path if os.path.exists(os.path.join(path, "HEAD")) else None
    line = _line(path)
    if line is None or not line.startswith("gitdir:"):
        return None
    return os.path.normpath(os.path.join(directory, line[len("gitdir:") :].strip()))


def _resolve(git_dir: str, common_dir: str, ref: str) -> Optional[str]:
    for _ in range(5):  # git's own limit for refs that point to refs
        loose = _line(os.path.join(git_dir, ref)) or _line(os.path.join(common_dir, ref))
        if loose is None:
            return _packed(common_dir, ref)
        if not loose.startswith("ref:"):
            return loose if _is_hash(loose) else None
        ref = loose[4:].strip()
    return None


def _packed(common_dir: str, ref: str) -> Optional[str]:
    text = _text(os.path.join(common_dir, "packed-refs"))
    end = text.find(f" {ref}\n") if text is not None else -1
    if text is None or end < 0:
        return None
    name = text[text.rfind("\n", 0, end) + 1 : end]
    return name if _is_hash(name) else None


def _is_hash(text: str) -> bool:
    return len(text) in (40, 64) and not text.strip("0123456789abcdef")


def _line(path: str) -> Optional[str]:
    text = _text(path)
    return text.partition("\n")[0].strip() if text is not None else None


def _text(path: str) -> Optional[str]:
    try:
        with open(path, "rb") as file:
            return file.read(_MAX_FILE_BYTES).decode("utf-8", "replace")
    except (OSError, ValueError):
        return None


def _config(path: str) -> Dict[str, str]:
    """Return the values of a git config file by `section.subsection.name`; the last of equal names counts."""
    values: Dict[str, str] = {}
    section = ""
    for line in (_text(path) or "").replace("\r\n", "\n").replace("\\\n", "").split("\n"):
        line = line.strip()
        if line.startswith("["):
            header, _, line = line[1:].partition("]")
            name, _, subsection = header.partition(" ")
            subsection = subsection.strip()[1:-1].replace('\\"', '"').replace("\\\\", "\\")
            section = f"{name.strip().lower()}.{subsection}." if subsection else f"{name.strip().lower()}."
            line = line.strip()
        if line and line[0] not in "#;":
            key, _, value = line.partition("=")
            values[section + key.strip().lower()] = _unquoted(value.strip())
    return values


def _unquoted(text: str) -> str:
    """Take a config value's quotes, escapes and comment away."""
    value, quoted, escaped = "", False, False
    for char in text:
        if escaped:
            value += {"n": "\n", "t": "\t", "b": "\b"}.get(char, char)
            escaped = False
        elif char == "\\":
            escaped = True
        elif char == '"':
            quoted = not quoted
        elif char in "#;" and not quoted:
            break
        else:
            value += char
    return value.rstrip()
