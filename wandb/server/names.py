"""Names that come from outside: which are acceptable, and the ids and names that we make ourselves."""

from __future__ import annotations

import base64
import binascii
import random
import re

from wandb.errors import UsageError

MAX_NAME_CHARS = 128
MAX_PATH_BYTES = 4096

# First parts of our own addresses; an entity of that name could not be reached.
RESERVED_ENTITIES = frozenset(
    "api artifacts artifactsV2 files graphql healthz login logout page sdk static upload".split(),
)

_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_ADJECTIVES = (
    "amber brisk calm clear crisp dawn deep dry early fair faint fresh gentle golden grand green hidden "
    "keen late light lively lucid mellow mild misty noble olive pale polar proud quick quiet rapid rosy "
    "ruby silent silver sleek snowy solar stark steady sunny swift tidal vivid warm wild wise young"
).split()
_NOUNS = (
    "acorn arrow aspen bay beacon birch breeze brook canyon cedar cliff cloud comet coral creek dale "
    "dune eagle ember falcon fern field fjord forest glade grove harbor haze heron hill island jade "
    "lagoon lake leaf maple meadow moon moss oak ocean orchid peak pine planet pond rain reef ridge "
    "river sky spark star stone summit tide tree valley wave willow wind"
).split()


def checked_name(what: str, name: str) -> str:
    """The name of an entity, project or run as it came, or UsageError."""
    if not name or len(name) > MAX_NAME_CHARS:
        raise UsageError(f"The {what} must have 1 to {MAX_NAME_CHARS} characters")
    if _CONTROL.search(name) or "/" in name or "\\" in name or name in (".", ".."):
        raise UsageError(f"The {what} {name!r} has a character that cannot be part of it")
    if what == "entity" and name in RESERVED_ENTITIES:
        raise UsageError(f"The entity cannot be called {name!r}: the server uses that address itself")
    return name


def checked_file_path(path: str) -> str:
    """A file's path inside a run as it came, or UsageError if it could mean anything outside of it."""
    if not path or len(path.encode("utf-8", "replace")) > MAX_PATH_BYTES or _CONTROL.search(path):
        raise UsageError(f"The file path {path[:200]!r} is empty, too long or has control characters")
    parts = re.split(r"[/\\]", path)
    if ".." in parts or "." in parts or "" in parts or re.match(r"[A-Za-z]:", path):
        raise UsageError(f"The file path {path[:200]!r} is not a plain relative path")
    return path


def random_display_name(number: int) -> str:
    """A name for a run that has none: two words and its number in the project."""
    return f"{random.choice(_ADJECTIVES)}-{random.choice(_NOUNS)}-{number}"


def storage_id(kind: str, number: int) -> str:
    """The opaque id of a row, as GraphQL clients see it."""
    return base64.b64encode(f"{kind}:v1:{number}".encode()).decode()


def number_of(kind: str, text: str) -> int:
    """The row that `storage_id(kind, ...)` named, or -1 (which no row has)."""
    try:
        found, _, number = base64.b64decode(text, validate=True).decode().split(":")
    except (ValueError, binascii.Error):
        return -1
    return natural_number(number) if found == kind else -1


def run_id_of(text: str) -> int:
    return number_of("Run", text)


def natural_number(text: str) -> int:
    """What digits say, or -1 if that is no number that a row or a time could have."""
    return int(text) if re.fullmatch("[0-9]{1,15}", text) else -1
