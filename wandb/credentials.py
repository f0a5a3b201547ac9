"""API keys: where they are looked for, how they look, how they are kept.  Standard library only.

A key is looked for in WANDB_API_KEY, then in the settings files (`api_key`), then in the netrc file under the
host of the server's URL.  Both the SDK and the syncer ask here.

Rule 1: no message, repr or exception of this module contains a key.
Rule 2: a netrc entry counts for exactly its machine; the `default` entry is never sent to a W&B server.
Rule 3: the netrc file is replaced as a whole with mode 0600, and only if every other entry reads as before.
"""

from __future__ import annotations

import os

from wandb import env, settings_file
from wandb.errors import UsageError

TYPE_CHECKING = False  # see settings_file
if TYPE_CHECKING:
    from typing import Dict, List, Mapping, Optional, Tuple

    Hosts = Dict[str, Tuple[str, Optional[str], Optional[str]]]
    Token = Tuple[str, int, int]  # the word without quotes, its start, its end

MIN_KEY_CHARS = 40  # what W&B servers issue at least; older ones issue exactly this
LOGIN_NAME = "user"  # W&B ignores the login of an entry; the real client writes this one


def find_key(
    base_url: str, environ: Optional[Mapping[str, str]] = None, directory: Optional[str] = None
) -> Optional[Tuple[str, str]]:
    """The API key for a server and where it was found, or None.

    Args:
        base_url: The server, e.g. `https://api.wandb.ai`.
        environ: WANDB_API_KEY, WANDB_CONFIG_DIR and NETRC are read from it; the process's own if None.
        directory: Where `wandb/settings` is looked for; the working directory if None.

    Raises:
        UsageError: A settings file or the netrc file cannot be parsed.
    """
    environ = env.snapshot() if environ is None else environ
    key = environ.get("WANDB_API_KEY", "").strip()
    if key:
        return key, "the environment variable WANDB_API_KEY"
    workspace = settings_file.workspace_path(directory if directory is not None else os.curdir)
    for path in (workspace, settings_file.global_path(environ)):
        key = settings_file.read(path).get("api_key", "")
        if key:
            return key, path
    path = netrc_path(environ)
    found = read_netrc(path, base_url)
    return (found, path) if found else None


def key_problem(key: str) -> Optional[str]:
    """What is wrong with the form of a key, as a sentence without the key; None if nothing is.

    A key has 40 or more letters, digits, underscores or dashes, maybe after a prefix and a dash
    (`local-...`); three segments with dots between them are a token, whose form only the server knows.
    """
    if not key:
        return "API key is empty."
    if key != key.strip():
        return "API key cannot start or end with whitespace."
    segments = key.split(".")
    if len(segments) == 3 and all(segment and _is_word(segment) for segment in segments):
        return None
    secret = key.split("-", 1)[-1]
    if not secret or not _is_word(secret):
        return "API key may only contain the letters A-Z, digits and underscores."
    if len(secret) < MIN_KEY_CHARS:
        return f"API key must have {MIN_KEY_CHARS}+ characters, has {len(secret)}."
    return None


def netrc_path(environ: Mapping[str, str]) -> str:
    """The netrc file: NETRC, else `~/.netrc`, or `~/_netrc` where only that exists."""
    if environ.get("NETRC"):
        return os.path.expanduser(environ["NETRC"])
    unix, windows = os.path.expanduser("~/.netrc"), os.path.expanduser("~/_netrc")
    if os.path.exists(unix):
        return unix
    return windows if os.path.exists(windows) or os.name == "nt" else unix


def read_netrc(path: str, base_url: str) -> Optional[str]:
    """The key under the host of `base_url`; None if there is no file or no entry.

    Raises:
        UsageError: The file cannot be read or parsed.
    """
    entry = _hosts(path).get(host_of(base_url))
    return entry[2] if entry and entry[2] else None


def write_netrc(path: str, base_url: str, key: str) -> None:
    """Keep a key under the host of `base_url`, in place of the one that was there.

    Raises:
        UsageError: The key has a wrong form, or the file cannot be parsed or written; it is unchanged.
    """
    problem = key_problem(key)
    if problem:
        raise UsageError(problem)
    _replace_entry(path, host_of(base_url), key)


def remove_netrc(path: str, base_url: str) -> bool:
    """Forget the key of the host of `base_url`; False if there was none.  Errors as in `write_netrc`."""
    if read_netrc(path, base_url) is None:
        return False
    _replace_entry(path, host_of(base_url), None)
    return True


def host_of(base_url: str) -> str:
    """The machine name of a server in the netrc file: its host, with the port if the URL has one."""
    rest = base_url.split("://", 1)[-1]
    for mark in "/?#":
        rest = rest.split(mark, 1)[0]
    host = rest.rsplit("@", 1)[-1]
    if not host or host.split() != [host]:
        raise UsageError(f"not the URL of a server: {base_url!r}", hint="it looks like https://api.wandb.ai")
    return host


def _is_word(text: str) -> bool:
    return text.isascii() and text.replace("_", "a").replace("-", "a").isalnum()


def _hosts(path: str, described: str = "") -> Hosts:
    """What Python's own netrc module, and so every other reader, sees in a file; nothing if there is none."""
    import netrc

    try:
        return dict(netrc.netrc(path).hosts)
    except FileNotFoundError:
        return {}
    except netrc.NetrcParseError as e:
        # The exception's own message may quote a word of the file, and a word may be a password.
        raise UsageError(
            f"cannot parse the netrc file {described or path}, line {e.lineno}",
            hint="repair it, or set WANDB_API_KEY",
        ) from None
    except (OSError, UnicodeDecodeError) as e:
        reason = e.strerror if isinstance(e, OSError) else "it is not UTF-8"
        raise UsageError(f"cannot read the netrc file {path}: {reason}") from e


def _replace_entry(path: str, host: str, key: Optional[str]) -> None:
    before = _hosts(path)
    expected = {name: value for name, value in before.items() if name != host}
    entry = "" if key is None else f"machine {host}\n  login {LOGIN_NAME}\n  password {key}"

    def check(temporary: str) -> None:
        after = _hosts(temporary, described=f"{path} after the change")
        ours = after.pop(host, None)
        if after != expected or (ours[2] if ours else None) != key:
            raise UsageError(
                f"cannot change the netrc file {path} without damage to its other entries",
                hint=f"edit the entry of {host} by hand, or set WANDB_API_KEY",
            )

    try:
        text = _with_entry(_read_text(path), host, entry)
        settings_file.write_atomically(path, text, mode=0o600, check=check)
    except OSError as e:
        raise UsageError(f"cannot write the netrc file {path}: {e.strerror or e}") from e


def _read_text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", newline="") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def _with_entry(text: str, host: str, entry: str) -> str:
    """The text with all entries of the host replaced by one; a new one goes to the end, before `default`."""
    spans, at_default = _entries(text, host)
    for start, end in reversed(spans[1:] if entry else spans):
        # A whole line goes with its line end: a blank line inside an entry confuses Python's netrc module.
        if text[end : end + 1] == "\n" and text[start - 1 : start] in ("", "\n"):
            end += 1
        text = text[:start] + text[end:]
    if not entry:
        return text
    if spans:
        start, end = spans[0]
        return text[:start] + entry + text[end:]
    at = len(text) if at_default is None else at_default
    head = text[:at]
    if head and not head.endswith("\n"):
        head += "\n"
    return head + entry + "\n" + text[at:]


def _entries(text: str, host: str) -> Tuple[List[Tuple[int, int]], Optional[int]]:
    """Where entries of the host stand, and where `default` stands."""
    spans: List[Tuple[int, int]] = []
    at_default = None
    at = 0
    while True:
        token = _next_token(text, at)
        if token is None:
            return spans, at_default
        start, at = token[1], token[2]
        if token[0] == "macdef":
            end = text.find("\n\n", at)
            at = len(text) if end < 0 else end
        elif token[0] in ("machine", "default"):
            name = _next_token(text, at) if token[0] == "machine" else None
            at = name[2] if name else at
            if token[0] == "default" and at_default is None:
                at_default = start
            at = _end_of_entry(text, at)
            if name and name[0] == host:
                spans.append((start, at))


def _end_of_entry(text: str, at: int) -> int:
    """One past the last of the pairs (login NAME, password KEY, ...) that follow."""
    while True:
        field = _next_token(text, at)
        if field is None or field[0] not in ("login", "user", "account", "password"):
            return at
        value = _next_token(text, field[2])
        if value is None:
            return field[2]
        at = value[2]


def _next_token(text: str, at: int) -> Optional[Token]:
    """The next word, with quotes taken off, as (text, start, end); comments are skipped."""
    n = len(text)
    while at < n:
        if text[at].isspace():
            at += 1
        elif text[at] == "#":
            end = text.find("\n", at)
            at = n if end < 0 else end
        else:
            break
    if at >= n:
        return None
    start, quoted, word = at, text[at] == '"', ""
    at += quoted
    while at < n and (text[at] != '"' if quoted else not text[at].isspace()):
        if text[at] == "\\" and at + 1 < n:
            at += 1
        word += text[at]
        at += 1
    return word, start, min(at + quoted, n)
