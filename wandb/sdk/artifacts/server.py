"""The one way from an artifact to a server; loaded when a server is asked.

Rule: whoever asks says why, and closes what it has opened.
"""

from __future__ import annotations

import os
from time import monotonic, sleep
from typing import Any, Dict, List, Mapping, Optional

from wandb.apis.artifacts import ArtifactServer
from wandb.errors import WaitTimeoutError
from wandb.sdk.artifacts.artifact_manifest import ArtifactManifest
from wandb.sdk.artifacts.cache import ArtifactCache
from wandb.sdk.artifacts.checks import LATEST, ArtifactPath
from wandb.sdk.server_call import server_for

POLL_S = 0.5


def opened(call: str, mode: str) -> ArtifactServer:
    """Return the server that the settings name.

    Args:
        call: What needs it, for the error.
        mode: The run's; empty: that of the settings.

    Raises:
        NeedsServerError: There is none, offline.
        AuthenticationError: There is no API key.
    """
    found = server_for(call, mode)
    return ArtifactServer(found.base_url, found.api_key)


def find(path: ArtifactPath, who: Mapping[str, Any], mode: str) -> Optional[Dict[str, Any]]:
    """Return what the server knows under a name; None if it knows none.

    Raises:
        CommError: It cannot be asked.
    """
    entity, project = path.entity or who["entity"], path.project or who["project"]
    with opened(f"use_artifact: {path}", mode) as server:
        return server.find(entity, project, path.collection, path.alias or LATEST)


def bring(
    facts: Mapping[str, Any], paths: List[str], mode: str, cache: ArtifactCache, root: Optional[str]
) -> None:
    """Bring files into the cache, or below a directory.

    Args:
        root: The directory; None: the cache.

    Raises:
        CommError: The server does not give them.
        OSError: They cannot be written.
    """

    def place_of(path: str, entry: Mapping[str, Any]) -> str:
        if root is not None:
            return os.path.join(root, *path.split("/"))
        algorithm = (entry.get("extra") or {}).get("alg") or "MD5"
        return cache.files.path_of(entry["digest"], algorithm)

    with opened(f"{len(paths)} files of {facts['collection']}", mode) as server:
        server.fetch(facts, paths, place_of)


def committed(
    collection: str,
    digest: str,
    who: Mapping[str, Any],
    aliases: List[str],
    mode: str,
    timeout_s: Optional[float],
) -> Dict[str, Any]:
    """Wait until the server has a version with this digest, and return what it knows of it.

    Raises:
        WaitTimeoutError: It takes longer.
        CommError: The server cannot be asked.
    """
    until_s = None if timeout_s is None else monotonic() + timeout_s
    with opened(f"wait: {collection}", mode) as server:
        while True:
            for alias in aliases:
                facts = server.find(who["entity"], who["project"], collection, alias)
                if facts is not None and facts["known"]["state"] == "COMMITTED":
                    algorithm = facts["algorithm"]
                    if ArtifactManifest.from_manifest_json(facts["manifest"], algorithm).digest() == digest:
                        return facts
            if until_s is not None and monotonic() > until_s:
                raise WaitTimeoutError(
                    f"Artifact upload wait timed out: {collection} is not on the server yet",
                    hint="it goes on; `run.finish()` waits for it too",
                )
            sleep(POLL_S)
