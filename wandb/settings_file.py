"""The settings files: `./wandb/settings`, `~/.config/wandb/settings` and the administrator's file.

The format is the INI dialect of Python's configparser, because the real client reads and writes the same
files: keys as field names under `[default]`, `#` and `;` comments, `%%` for a percent sign.

Rule 1: reading a plain file does not import configparser (3 ms); whatever is not plain is left to it.
Rule 2: an edit touches the lines of its own keys; comments and the order of everything else stay.
Rule 3: a file that cannot be parsed is never written.
"""

from __future__ import annotations

import os

from wandb.errors import UsageError

TYPE_CHECKING = False  # the typing module costs more to import than all of this
if TYPE_CHECKING:
    from typing import Callable, Dict, List, Mapping, Optional

    Sections = Dict[str, Dict[str, str]]

SECTION = "default"  # the only section of a settings file that the real client knows


def workspace_path(directory: str, use_dot_wandb: Optional[bool] = None) -> str:
    """The settings file that counts for scripts started in `directory`."""
    if use_dot_wandb is None:
        use_dot_wandb = os.path.isdir(os.path.join(directory, ".wandb"))
    return os.path.join(directory, ".wandb" if use_dot_wandb else "wandb", "settings")


def global_path(environ: Mapping[str, str]) -> str:
    """The user's own settings file."""
    config_dir = environ.get("WANDB_CONFIG_DIR") or os.path.join("~", ".config", "wandb")
    return os.path.join(os.path.expanduser(config_dir), "settings")


def read_sections(path: str) -> Sections:
    """All sections of a settings file; empty if there is no file.

    Raises:
        UsageError: The file cannot be read or parsed; it names the file and the line.
    """
    return parse(_read_text(path), path)


def read(path: str) -> Dict[str, str]:
    """The keys and values of `[default]`; errors as in `read_sections`."""
    return read_sections(path).get(SECTION, {})


def edit(path: str, changes: Mapping[str, Optional[str]]) -> None:
    """Set keys of `[default]`, or remove those whose new value is None; the write is atomic.

    Raises:
        UsageError: The file cannot be read, parsed or written; it is unchanged.
    """
    text = _read_text(path)
    parse(text, path)
    after = edited(text, changes)
    if after == text:
        return
    try:
        write_atomically(path, after)
    except OSError as e:
        raise UsageError(f"cannot write the settings file {path}: {e.strerror or e}") from e


def parse(text: str, path: str = "<text>") -> Sections:
    """The sections of the text of a settings file, read as the real client reads it."""
    sections = _parse_plain(text)
    return _parse_any(text, path) if sections is None else sections


def edited(text: str, changes: Mapping[str, Optional[str]]) -> str:
    """The text of a settings file after the changes; `text` must be one that `parse` takes."""
    lines = text.splitlines()
    start = _section_start(lines)
    if start is None:
        if all(value is None for value in changes.values()):
            return text
        if lines and lines[-1].strip():
            lines.append("")
        lines.append(f"[{SECTION}]")
        start = len(lines)
    missing = {key.lower(): value for key, value in changes.items() if value is not None}
    kept = lines[:start]
    i = start
    while i < len(lines) and not _is_header(lines[i]):
        key = _key_of(lines[i])
        if key is None or key not in {name.lower() for name in changes}:
            kept.append(lines[i])
            i += 1
            continue
        if key in missing:
            kept.append(_line(key, missing.pop(key)))
        i = _end_of_value(lines, i)
    n_blank = 0
    while len(kept) > start and not kept[-1 - n_blank].strip() and len(kept) - n_blank > start:
        n_blank += 1
    at = len(kept) - n_blank
    kept[at:at] = [_line(key, value) for key, value in missing.items()]
    return "\n".join(kept + lines[i:]) + "\n"


def write_atomically(
    path: str, text: str, mode: Optional[int] = None, check: Optional[Callable[[str], None]] = None
) -> None:
    """Replace a small file as a whole, or leave it as it was; a symbolic link stays one.

    Args:
        path: The file; missing directories are made.
        text: Its new content, written as UTF-8.
        mode: Its permissions; those of the old file, or the usual ones, if None.
        check: Called with the path of the complete new file before it takes the old one's place; may raise.
    """
    path = os.path.realpath(path)
    directory = os.path.dirname(path)
    os.makedirs(directory, exist_ok=True)
    if mode is None and os.path.exists(path):
        mode = os.stat(path).st_mode & 0o7777
    temporary = os.path.join(directory, f".{os.path.basename(path)}.{os.getpid()}.{os.urandom(4).hex()}.tmp")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666 if mode is None else 0o600)
    try:
        with open(fd, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if mode is not None:
            os.chmod(temporary, mode)
        if check is not None:
            check(temporary)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _read_text(path: str) -> str:
    try:
        with open(path, encoding="utf-8-sig") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except (OSError, UnicodeDecodeError) as e:
        reason = e.strerror if isinstance(e, OSError) else "it is not UTF-8"
        raise UsageError(f"cannot read the settings file {path}: {reason}") from e


def _parse_plain(text: str) -> Optional[Sections]:
    """The sections of a file without continuation lines, duplicates and references; None for other files."""
    if "%(" in text:
        return None
    sections: Sections = {}
    current: Optional[Dict[str, str]] = None
    for line in text.split("\n"):
        stripped = line.strip()
        if not stripped or stripped[0] in "#;":
            continue
        if line[0].isspace() or not line.isprintable():
            return None
        if line[0] == "[":
            name = stripped[1:-1]
            if (
                stripped[-1] != "]"
                or not name
                or "[" in name
                or "]" in name
                or name in sections
                or name == "DEFAULT"
            ):
                return None
            current = sections[name] = {}
            continue
        key = _key_of(line)
        if not key or current is None or key in current:
            return None
        value = stripped[_delimiter_at(stripped) + 1 :].strip()
        current[key] = value.replace("%%", "%")
    return sections


def _parse_any(text: str, path: str) -> Sections:
    import configparser

    parser = configparser.ConfigParser()
    try:
        parser.read_string(text, path)
        return {name: dict(parser.items(name)) for name in parser.sections()}
    except configparser.Error as e:
        reason = " ".join(str(e).split())
        raise UsageError(
            f"cannot parse the settings file {path}: {reason}", hint="repair or remove it"
        ) from e


def _section_start(lines: List[str]) -> Optional[int]:
    """The index of the line after `[default]`."""
    for i, line in enumerate(lines):
        if _is_header(line) and line.strip() == f"[{SECTION}]":
            return i + 1
    return None


def _is_header(line: str) -> bool:
    return line.startswith("[")


def _key_of(line: str) -> Optional[str]:
    """The key that a line begins; None for comments, blank lines, headers and continuations."""
    if not line or line[0].isspace() or line[0] in "#;[":
        return None
    at = _delimiter_at(line)
    return line[:at].strip().lower() if at >= 0 else None


def _delimiter_at(line: str) -> int:
    """Where `=` or `:` ends the key, whichever comes first; -1 if neither does."""
    at_equals, at_colon = line.find("="), line.find(":")
    if at_equals < 0 or at_colon < 0:
        return max(at_equals, at_colon)
    return min(at_equals, at_colon)


def _end_of_value(lines: List[str], i: int) -> int:
    """One past the last line of the value that begins in line i: past continuations, not past comments."""
    end = i + 1
    for j in range(i + 1, len(lines)):
        line = lines[j]
        if not line.strip() or line.strip()[0] in "#;":
            continue  # part of the value only if a continuation follows
        if not line[0].isspace():
            break
        end = j + 1
    return end


def _line(key: str, value: str) -> str:
    flat = " ".join(value.split("\n"))
    return f"{key} = {flat.replace('%', '%%')}"
