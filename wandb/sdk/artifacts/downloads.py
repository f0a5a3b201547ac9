"""The files of a recorded artifact, put where the user wants them.

A file comes from what is nearest: the directory itself, the run directory that recorded it, the cache, and
last the server.

Rule 1: a file is in its place with the digest that the manifest says, or not at all.
Rule 2: nothing of the user's is removed or changed but a file that has an entry's name and other content
        (`checkout` says what else it removes).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, List, Optional
from urllib.parse import urlparse

from wandb import env
from wandb.errors import ArtifactNotHereError, UnreadableFileError
from wandb.internal.content_store import SourceError, copy_hashed, file_digest, remove
from wandb.sdk.artifacts.checks import entry_path
from wandb.sdk.artifacts.references import local_path_of

if TYPE_CHECKING:
    from wandb.sdk.artifacts.logged_artifact import LoggedArtifact
    from wandb.sdk.artifacts.artifact_manifest_entry import ArtifactManifestEntry


def default_root(artifact: LoggedArtifact, with_version: bool = True) -> str:
    """Return the directory that an artifact is downloaded to if nobody says otherwise.

    Without a version, which only a server knows, the digest tells one content from another.
    """
    collection, _, version = artifact.name.partition(":")
    name = f"{collection}:{version or artifact.digest[:8]}" if with_version else collection
    return os.path.join(env.get("WANDB_ARTIFACT_DIR") or os.path.join(".", "artifacts"), name)


def place(
    artifact: LoggedArtifact,
    entry: ArtifactManifestEntry,
    root: str,
    keep: bool = True,
    is_last_try: bool = False,
) -> str:
    """Put the content of an entry below a directory, unless it is there, and return its path.

    Args:
        keep: Put what comes from elsewhere into the cache too.
        is_last_try: It was brought from elsewhere just now.

    Raises:
        ArtifactNotHereError: The content is on no place that is known here.
        UnreadableFileError: What a reference leads to is gone, or has changed.
        OSError: It cannot be written.
    """
    target = os.path.join(root, *entry_path(entry.path).split("/"))
    if has_content(target, entry):
        return target
    os.makedirs(os.path.dirname(target) or ".", exist_ok=True)
    for source in sources(artifact, entry):
        scratch = f"{target}.{os.getpid()}.partial"
        remove(scratch)
        try:
            digest, size = copy_hashed(source, scratch, entry.algorithm)
            if digest == entry.digest or (entry.ref is not None and size == entry.size):
                os.replace(scratch, target)
                return target
        except SourceError:
            continue  # it has just gone; perhaps another place has it
        finally:
            remove(scratch)
    if entry.ref is not None and urlparse(entry.ref).scheme == "file":
        raise UnreadableFileError(
            "artifact", f"Local file reference: {entry.ref} is not there any more, or is not what it was"
        )
    if is_last_try:
        raise not_here(artifact, entry)
    return artifact._fetched(entry, root, keep)


def is_here(artifact: LoggedArtifact, entry: ArtifactManifestEntry, root: str) -> bool:
    """Tell whether the content of an entry need not be brought from elsewhere."""
    target = os.path.join(root, *entry.path.split("/"))
    return bool(sources(artifact, entry)) or has_content(target, entry)


def sources(artifact: LoggedArtifact, entry: ArtifactManifestEntry) -> List[str]:
    """Return the files on this machine that may hold the content of an entry."""
    if entry.ref is not None:
        if urlparse(entry.ref).scheme == "file":
            return [local_path_of(entry.ref)]
        return [path for path in [artifact._cache.etag_path(entry.ref, entry.digest)] if os.path.isfile(path)]
    found = [entry.local_path] if entry.local_path is not None else []
    for store in artifact._stores:
        found.append(store.path_of(entry.digest, entry.algorithm))
    return [path for path in dict.fromkeys(found) if os.path.isfile(path)]


def has_content(path: str, entry: ArtifactManifestEntry) -> bool:
    """Tell whether a file has the content of an entry."""
    try:
        if entry.size is not None and os.path.getsize(path) != entry.size:
            return False
        return file_digest(path, entry.algorithm) == entry.digest
    except OSError:
        return False


def remove_others(artifact: LoggedArtifact, root: str) -> None:
    """Remove the files below a directory that are none of the artifact's."""
    for directory, _, names in os.walk(root):
        for name in names:
            path = os.path.join(directory, name)
            if os.path.relpath(path, root).replace(os.sep, "/") not in artifact.manifest.entries:
                os.unlink(path)


def not_here(artifact: LoggedArtifact, entry: Optional[ArtifactManifestEntry] = None) -> ArtifactNotHereError:
    """Return the error that says what is not on this machine."""
    what = artifact.name if entry is None else f"{entry.path} of {artifact.name}"
    return ArtifactNotHereError(
        f"{what} is neither in the cache nor in a run directory that is known here",
        hint="`wandb artifact get` brings it into the cache where there is a server; WANDB_CACHE_DIR can be "
        "carried to where there is none",
    )
