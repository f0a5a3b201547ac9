"""Artifacts of a server: what a name means, what is in it, and its files brought to this machine.

    server = ArtifactServer(base_url, api_key)
    facts = server.find("team", "digits", "data", "latest")      # None: there is none
    server.fetch(facts, facts["manifest"]["contents"], ContentStore(...))

Rule: a file that was brought has the digest that the manifest says, or it is not there.
"""

from __future__ import annotations

import concurrent.futures
import json
import os
from base64 import b64decode, b64encode
from types import TracebackType
from typing import Any, Callable, Dict, Iterable, List, Mapping, NamedTuple, Optional, Type
from urllib.parse import quote

from wandb.errors import RejectedError, TransientError

PIECE_BYTES = 8 * 1024**2  # of a file, in one request
PARALLEL_FILES = 8
PAGE = 500
RETRY_S = 60.0
DOWNLOAD = "download"

_VERSION = """
  id state digest description metadata ttlDurationSeconds size fileCount createdAt versionIndex
  artifactType { name }
  artifactSequence { name project { name entity { name } } }
  tags { name }
  aliases { alias artifactCollection { name project { name entity { name } } } }
"""
_FIND = """
query ArtifactByPath($entity: String!, $project: String!, $name: String!) {
  project(entityName: $entity, name: $project) {
    entity { name }
    artifactCollectionMembership(name: $name) {
      versionIndex
      artifactCollection { name project { name entity { name } } }
      artifact { %s currentManifest { file { directUrl } } }
    }
  }
}""" % _VERSION
_COLLECTIONS = """
query ArtifactCollections($entity: String!, $project: String!, $after: String, $first: Int) {
  project(entityName: $entity, name: $project) {
    artifactCollections(after: $after, first: $first) {
      edges { node { __typename name description defaultArtifactType { name } createdAt updatedAt } }
      pageInfo { endCursor hasNextPage }
    }
  }
}"""
_VERSIONS = """
query ArtifactVersions(
  $entity: String!, $project: String!, $collection: String!, $after: String, $first: Int
) {
  project(entityName: $entity, name: $project) {
    artifactCollection(name: $collection) {
      artifacts(after: $after, first: $first) {
        edges { version node { %s } }
        pageInfo { endCursor hasNextPage }
      }
    }
  }
}""" % _VERSION
_FILES = """
query ArtifactFiles($id: ID!, $after: String, $first: Int) {
  artifact(id: $id) {
    files(after: $after, first: $first) {
      edges { node { name directUrl } }
      pageInfo { endCursor hasNextPage }
    }
  }
}"""


class Collection(NamedTuple):
    """A line of versions; `is_portfolio`: of links to versions of others."""

    name: str
    type: str
    description: str
    is_portfolio: bool
    updated_at: str


class Version(NamedTuple):
    """One version of a collection; sizes in bytes."""

    version: str
    aliases: List[str]
    digest: str
    n_bytes: int
    n_files: int
    created_at: str
    state: str


class ArtifactServer:
    """The artifacts of one server; a context manager.  Safe for threads."""

    def __init__(self, base_url: str, api_key: str) -> None:
        """Prepare; nothing is sent.

        Raises:
            UsageError: The address is none.
        """
        from wandb_sync.transport.http import HttpTransport
        from wandb_sync.transport.retry import Retry

        self._base_url = base_url
        self._transport = Retry(HttpTransport(base_url, api_key), deadline_s=RETRY_S)

    def __enter__(self) -> ArtifactServer:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections.  Idempotent."""
        self._transport.close()

    def find(
        self, entity: str, project: str, collection: str, alias: str = "latest"
    ) -> Optional[Dict[str, Any]]:
        """Return what the server knows of a version, in the form of the cache's notes; None: it has none.

        Args:
            entity: Empty: the owner of the API key.

        Raises:
            CommError: The server cannot be asked.
        """
        name = f"{collection}:{alias}"
        variables = {"entity": entity or self.default_entity(), "project": project, "name": name}
        found = self._ask("ArtifactByPath", _FIND, variables).get("project") or {}
        member = found.get("artifactCollectionMembership")
        if not member:
            return None
        artifact, here = member["artifact"], member["artifactCollection"]
        entity, project = here["project"]["entity"]["name"], here["project"]["name"]
        source = artifact["artifactSequence"]
        version = f"v{member['versionIndex']}"
        aliases = sorted(one["alias"] for one in artifact["aliases"] if one["artifactCollection"] == here)
        known = {
            "id": artifact["id"],
            "state": artifact["state"],
            "entity": entity,
            "project": project,
            "version": version,
            "aliases": aliases,
            "tags": sorted(tag["name"] for tag in artifact["tags"]),
            "created_at": artifact["createdAt"],
            "source_entity": source["project"]["entity"]["name"],
            "source_project": source["project"]["name"],
            "source_version": f"v{artifact['versionIndex']}",
            "source_name": f"{source['name']}:v{artifact['versionIndex']}",
        }
        manifest = json.loads(self._get(artifact["currentManifest"]["file"]["directUrl"]))
        algorithms = {(entry.get("extra") or {}).get("alg") for entry in manifest["contents"].values()}
        return {
            "entity": entity,
            "project": project,
            "collection": here["name"],
            "version": version,
            "aliases": aliases,
            "type": artifact["artifactType"]["name"],
            "description": artifact["description"],
            "metadata": json.loads(artifact["metadata"] or "{}"),
            "client_id": "",
            "algorithm": "XXH128" if "XXH128" in algorithms else "MD5",
            "manifest": manifest,
            "stores": [],
            "known": known,
        }

    def collections(self, entity: str, project: str) -> List[Collection]:
        """Return the collections of a project, the newest first."""
        variables = {"entity": entity or self.default_entity(), "project": project}
        return [
            Collection(
                node["name"],
                node["defaultArtifactType"]["name"],
                node["description"] or "",
                node["__typename"] == "ArtifactPortfolio",
                node["updatedAt"] or node["createdAt"],
            )
            for node in (edge["node"] for edge in self._pages("ArtifactCollections", _COLLECTIONS, variables))
        ]

    def versions(self, entity: str, project: str, collection: str) -> List[Version]:
        """Return the versions of a collection, the newest first; none if there is no such collection."""
        where = {"entity": entity or self.default_entity(), "project": project, "collection": collection}
        found = []
        for edge in self._pages("ArtifactVersions", _VERSIONS, where):
            node = edge["node"]
            aliases = [
                one["alias"] for one in node["aliases"] if one["artifactCollection"]["name"] == collection
            ]
            size, n_files, state = int(node["size"]), int(node["fileCount"]), node["state"]
            digest, at = node["digest"], node["createdAt"]
            found.append(Version(edge["version"], sorted(aliases), digest, size, n_files, at, state))
        return found

    def default_entity(self) -> str:
        """Return where the owner of the key keeps what has no other place."""
        from wandb_sync import protocol

        response = self._transport.send(protocol.viewer())
        return str((protocol.read_answer(response, "Viewer").get("viewer") or {}).get("entity") or "")

    # ---- files

    def fetch(
        self,
        facts: Mapping[str, Any],
        paths: Iterable[str],
        place_of: Callable[[str, Mapping[str, Any]], str],
        on_done: Callable[[str, int], None] = lambda path, n_bytes: None,
    ) -> None:
        """Bring files of a version, several at a time; those that are in their places are left alone.

        Args:
            facts: As `find` returned them.
            paths: Names in the manifest; references among them are passed over.
            place_of: Gets name and entry of a file, and returns where it goes.
            on_done: Called in this thread for each file that is there, with its size.

        Raises:
            CommError: The server cannot be asked, or has other bytes than the manifest says.  What was
                brought before is in its place.
            OSError: A file cannot be written.
        """
        contents = facts["manifest"]["contents"]
        wanted = [path for path in paths if not contents[path].get("ref")]
        targets = {path: place_of(path, contents[path]) for path in wanted}
        missing = [path for path in wanted if not _has(targets[path], contents[path])]
        for path in set(wanted).difference(missing):
            on_done(path, contents[path].get("size") or 0)
        if not missing:
            return
        urls = self._urls(facts["known"]["id"])
        with concurrent.futures.ThreadPoolExecutor(PARALLEL_FILES) as pool:
            jobs = {
                pool.submit(
                    self._bring, urls.get(path) or self._address(facts, path), contents[path], targets[path]
                ): path
                for path in missing
            }
            try:
                for done in concurrent.futures.as_completed(jobs):
                    done.result()
                    on_done(jobs[done], contents[jobs[done]].get("size") or 0)
            except BaseException:
                for job in jobs:
                    job.cancel()
                raise

    def _urls(self, artifact_id: str) -> Dict[str, str]:
        edges = self._pages("ArtifactFiles", _FILES, {"id": artifact_id})
        return {edge["node"]["name"]: edge["node"]["directUrl"] for edge in edges}

    def _address(self, facts: Mapping[str, Any], path: str) -> str:
        """Return where a file is that the server has not given an address of."""
        entry, known = facts["manifest"]["contents"][path], facts["known"]
        place = (known["source_entity"], known["source_project"], known["source_name"].partition(":")[0])
        parts = ("default", *place, entry.get("birthArtifactID") or known["id"])
        name = path.rpartition("/")[2]
        md5 = b64decode(entry["digest"]).hex()
        return f"/artifactsV2/{'/'.join(quote(part, safe='') for part in parts)}/{md5}/{quote(name)}"

    def _bring(self, url: str, entry: Mapping[str, Any], target: str) -> None:
        size = int(entry.get("size") or 0)
        os.makedirs(os.path.dirname(target) or ".", exist_ok=True)
        scratch = f"{target}.{os.getpid()}.partial"
        hashed = _new_hash(entry)
        try:
            with open(scratch, "wb") as file:
                while file.tell() < size:
                    piece = self._get(url, file.tell(), min(size, file.tell() + PIECE_BYTES))
                    if not piece:
                        break
                    file.write(piece)
                    hashed.update(piece)
            if b64encode(hashed.digest()).decode() != entry["digest"]:
                raise RejectedError(f"{os.path.basename(target)}: the server has other bytes than it says")
            os.replace(scratch, target)
        finally:
            if os.path.exists(scratch):
                os.unlink(scratch)

    def _get(self, url: str, begin: int = 0, end: Optional[int] = None) -> bytes:
        from wandb_sync.transport.base import Request

        headers = {} if end is None else {"Range": f"bytes={begin}-{end - 1}"}
        response = self._transport.send(Request(DOWNLOAD, "GET", url, headers=headers, timeout_s=120.0))
        if end is None or response.status == 206:
            return response.body
        return response.body[begin:end]  # a server that does not know ranges

    # ---- questions

    def _ask(self, operation: str, query: str, variables: Dict[str, Any]) -> Dict[str, Any]:
        from wandb_sync import protocol

        response = self._transport.send(protocol.graphql_request(operation, query, variables))
        return protocol.read_answer(response, operation)

    def _pages(self, operation: str, query: str, variables: Dict[str, Any]) -> Iterable[Dict[str, Any]]:
        """Yield the edges of the one list that a question is about."""
        after = None
        while True:
            found: Any = self._ask(operation, query, {**variables, "after": after, "first": PAGE})
            while isinstance(found, dict) and "edges" not in found:
                found = next((value for value in found.values() if isinstance(value, dict)), None)
            if found is None:
                return
            yield from found["edges"]
            page = found["pageInfo"]
            if not page["hasNextPage"]:
                return
            if page["endCursor"] == after:
                raise TransientError(f"{operation}: the server gives the same page again")
            after = page["endCursor"]


def _has(path: str, entry: Mapping[str, Any]) -> bool:
    try:
        if os.path.getsize(path) != (entry.get("size") or 0):
            return False
        hashed = _new_hash(entry)
        with open(path, "rb") as file:
            for piece in iter(lambda: file.read(1 << 20), b""):
                hashed.update(piece)
        return bool(b64encode(hashed.digest()).decode() == entry["digest"])
    except OSError:
        return False


def _new_hash(entry: Mapping[str, Any]) -> Any:
    from wandb.internal.content_store import new_hash

    return new_hash((entry.get("extra") or {}).get("alg") or "MD5")
