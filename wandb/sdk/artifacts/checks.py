"""What names, types, aliases, tags and metadata of artifacts may be.  The rules are those of wandb 0.31
(observed); what breaks one raises a ValidationError, which is a ValueError too."""

from __future__ import annotations

import math
import os
import re
from pathlib import PurePath, PurePosixPath, PureWindowsPath
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Union

from wandb.errors import ValidationError
from wandb.interface.values import kind_name, plain

MAX_NAME_LENGTH = 128
MAX_METADATA_KEYS = 100
REGISTRY_PREFIX = "wandb-registry-"
LATEST = "latest"  # an alias that every logged artifact gets

_NAME = re.compile(r"[a-zA-Z0-9_\-.]+")
_TAG = re.compile(r"[-\w]+( +[-\w]+)*")
_VERSION = re.compile(r"v\d+")
_SEPARATORS = "/:"
_RESERVED_TYPES = "wandb-"  # types that begin so are the service's own
_RESERVED_NAMES = {
    "job": "",
    "run_table": "run-",
    "code": "source-",
}  # by type: what names may not begin with

StrPath = Union[str, "os.PathLike[str]"]


def artifact_name(name: Any) -> str:
    """Return the name.

    Raises:
        ValidationError: It has other characters than letters, digits, `_`, `-` and `.`, or too many.
    """
    if not isinstance(name, str):
        raise ValidationError("Artifact name", f"{kind_name(name)} is no text")
    if not _NAME.fullmatch(name):
        raise ValidationError(
            "Artifact name",
            "may only contain alphanumeric characters, dashes, underscores, and dots. "
            f"Invalid name: {name!r}",
        )
    if len(name) > MAX_NAME_LENGTH:
        raise ValidationError(
            "Artifact name", f"is longer than {MAX_NAME_LENGTH} characters: {name[:MAX_NAME_LENGTH]!r} ..."
        )
    return name


def artifact_type(kind: Any, name: str) -> str:
    """Return the type of an artifact of this name.

    Raises:
        ValidationError: It is one that the service has for itself.
    """
    if not isinstance(kind, str):
        raise ValidationError("Artifact type", f"{kind_name(kind)} is no text")
    reserved = _RESERVED_NAMES.get(kind)
    if kind.startswith(_RESERVED_TYPES) or (reserved is not None and name.startswith(reserved)):
        raise ValidationError(
            "Artifact type", f"{kind!r} is reserved for internal use. Please use a different type."
        )
    return kind


def aliases_of(aliases: Union[str, Iterable[str], None]) -> List[str]:
    """Return the aliases, each once, with `latest`, in alphabetical order.

    Raises:
        ValidationError: One has a character that stands between the parts of an artifact's path.
    """
    found = {*texts("aliases", aliases), LATEST}
    if any(char in alias for alias in found for char in _SEPARATORS):
        raise ValidationError("aliases", "Aliases must not contain any of the following characters: '/', ':'")
    return sorted(found)


def tags_of(tags: Union[str, Iterable[str], None]) -> List[str]:
    """Return the tags, each once, in the order given.

    Raises:
        ValidationError: One has other characters than letters, digits, `-`, `_` and spaces between them.
    """
    found = list(dict.fromkeys(texts("tags", tags)))
    if not all(_TAG.fullmatch(tag) for tag in found):
        raise ValidationError(
            "tags",
            "Invalid tag(s).  Tags must only contain alphanumeric characters separated by hyphens, "
            "underscores, and/or spaces.",
        )
    return found


def texts(what: str, given: Union[str, Iterable[str], None]) -> List[str]:
    """Return what is given as a list.

    Raises:
        ValidationError: It is neither text nor several of them.
    """
    if given is None:
        return []
    if isinstance(given, str):
        return [given]
    try:
        found = list(given)
    except TypeError:
        raise ValidationError(what, f"`{what}` must be Iterable or None, not {kind_name(given)}") from None
    for one in found:
        if not isinstance(one, str):
            raise ValidationError(what, f"{kind_name(one)} is no text")
    return found


def is_version(alias: str) -> bool:
    """Tell whether an alias is a version's: v0, v1 ..."""
    return _VERSION.fullmatch(alias) is not None


def logical_path(path: StrPath) -> str:
    """Return a path as names in artifacts are written: with slashes, and nothing superfluous."""
    return str(PurePosixPath(PurePath(os.fspath(path)).as_posix()))


def entry_path(path: StrPath) -> str:
    """Return the name of an entry.

    Raises:
        ValidationError: It is empty, absolute, leads out of the artifact, or is no valid text.
    """
    name = logical_path(path)
    there, elsewhere = PurePosixPath(name), PureWindowsPath(name)
    if name == "." or there.anchor or elsewhere.anchor or ".." in (*there.parts, *elsewhere.parts):
        raise ValidationError("artifact", f"Invalid artifact path: {os.fspath(path)!r}")
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        raise ValidationError(
            "artifact", f"Invalid artifact path: {name!r} is no valid UTF-8", hint="rename the file"
        ) from None
    return name


def metadata_of(metadata: Any) -> Dict[str, Any]:
    """Return metadata as plain values: a copy.

    Raises:
        ValidationError: It is no dict, holds what JSON cannot, or too many keys.
    """
    if isinstance(metadata, str):
        import json

        try:
            metadata = json.loads(metadata or "{}")
        except ValueError as error:
            raise ValidationError("metadata", f"is no JSON: {error}") from None
    if metadata is None:
        return {}
    if not isinstance(metadata, dict):
        raise ValidationError("metadata", f"Cannot parse {kind_name(metadata)} as artifact metadata")
    found = _without_nan(plain(metadata, "metadata"), "metadata")
    if len(found) > MAX_METADATA_KEYS:
        raise ValidationError(
            "metadata", f"Artifact must not have more than {MAX_METADATA_KEYS} metadata keys."
        )
    return found  # type: ignore[no-any-return]


def _without_nan(value: Any, path: str) -> Any:
    """Return the value with None for NaN, as wandb sends it."""
    if isinstance(value, dict):
        return {str(key): _without_nan(item, f"{path}.{key}") for key, item in value.items()}
    if isinstance(value, list):
        return [_without_nan(item, f"{path}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        if math.isnan(value):
            return None
        raise ValidationError(path, f"Out of range float values are not JSON compliant: {value}")
    return value


class ArtifactPath(NamedTuple):
    """The parts of `entity/project/collection:alias`; None where one is missing."""

    entity: Optional[str]
    project: Optional[str]
    collection: str
    alias: Optional[str]

    @classmethod
    def parse(cls, path: Any) -> ArtifactPath:
        """Return the parts.

        Raises:
            ValidationError: It has too many of them, or no name.
        """
        if not isinstance(path, str):
            raise ValidationError("artifact", f"{kind_name(path)} is no artifact and no name of one")
        place, colon, alias = path.partition(":")
        *above, collection = place.split("/")
        if len(above) > 2 or not collection:
            raise ValidationError(
                "artifact", f"Invalid artifact path: {path!r}", hint="write [[entity/]project/]name:alias"
            )
        entity, project = [None, None, *above][-2:]
        return cls(entity or None, project or None, collection, alias if colon else None)

    @property
    def is_registry(self) -> bool:
        """Whether it is a collection of a registry."""
        return (self.project or "").startswith(REGISTRY_PREFIX) and self.project != REGISTRY_PREFIX

    def __str__(self) -> str:
        parts = [part for part in (self.entity, self.project, self.collection) if part]
        return "/".join(parts) + (f":{self.alias}" if self.alias is not None else "")
