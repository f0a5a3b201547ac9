"""References of artifacts: from an address to entries with digest and size.

One function per scheme; `_SCHEMES` says which.  Digests, sizes and names are those of wandb 0.31 (observed).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional
from urllib.parse import urlparse
from urllib.request import url2pathname

from wandb.errors import UnreadableFileError, ValidationError
from wandb.interface.values import kind_name
from wandb.internal.content_store import file_digest, new_hash, text_of
from wandb.sdk.artifacts.artifact_manifest_entry import ArtifactManifestEntry
from wandb.sdk.artifacts.directories import files_below
from wandb.term import termwarn

DEFAULT_MAX_OBJECTS = 10_000_000

Entries = List[ArtifactManifestEntry]


def entries_of(address: Any, name: Optional[str], checksum: bool, max_objects: Optional[int]) -> Entries:
    """Return the entries of a reference.

    Raises:
        ValidationError: It is no address, is not there, or has too many objects.
    """
    if not isinstance(address, str):
        raise ValidationError("add_reference", f"{kind_name(address)} is no address")
    scheme = urlparse(address).scheme
    if not scheme:
        raise ValidationError(
            "add_reference", "References must be URIs. To reference a local file, use file://"
        )
    entries = _SCHEMES.get(scheme, _unknown)
    return entries(address, name, checksum, max_objects or DEFAULT_MAX_OBJECTS)


def local_path_of(address: str) -> str:
    """Return the path that a file:// address, or a path, means."""
    return url2pathname(urlparse(address).path if address.startswith("file:") else address)


def _file(address: str, name: Optional[str], checksum: bool, max_objects: int) -> Entries:
    path = local_path_of(address)
    if os.path.isdir(path):
        files = files_below(path, follow_links=False)
        if len(files) > max_objects:
            raise _too_many(max_objects)
        return [
            _file_entry(os.path.join(name or "", inner), os.path.join(address, inner), found, checksum)
            for inner, found in files
        ]
    if not os.path.isfile(path):
        raise ValidationError("add_reference", f"Path {address!r} must be a valid file or directory path")
    return [_file_entry(name or os.path.basename(path), address, path, checksum)]


def _file_entry(name: str, address: str, path: str, checksum: bool) -> ArtifactManifestEntry:
    try:
        digest = file_digest(path) if checksum else _digest_of_text(Path(path).resolve().as_uri())
        return ArtifactManifestEntry(name, digest, ref=address, size=os.path.getsize(path))
    except OSError as error:
        raise UnreadableFileError("add_reference", f"{path} cannot be read: {error.strerror}") from None


def _unknown(address: str, name: Optional[str], checksum: bool, max_objects: int) -> Entries:
    if name is None:
        raise ValidationError(
            "add_reference",
            f'You must pass name="<entry_name>" when tracking references with unknown schemes: {address}',
        )
    termwarn(f"Artifact references with unsupported schemes cannot be checksummed: {address}")
    return [ArtifactManifestEntry(name, address, ref=address)]


def _too_many(max_objects: int) -> ValidationError:
    return ValidationError(
        "add_reference", f"Exceeded {max_objects} objects tracked, pass max_objects to add_reference"
    )


def _digest_of_text(text: str) -> str:
    hashed = new_hash()
    hashed.update(text.encode("utf-8", "surrogateescape"))
    return text_of(hashed.digest())


_SCHEMES: Dict[str, Callable[[str, Optional[str], bool, int], Entries]] = {"file": _file}
