"""What a server holds of a project's artifacts, as one value to compare."""

from __future__ import annotations

import json
import urllib.request
from typing import Any, Dict, List

from fixtures_server import TestServer

QUERY = """
query Everything($entity: String!, $project: String!) {
  project(entityName: $entity, name: $project) {
    artifactCollections {
      edges { node { __typename name defaultArtifactType { name } artifacts { edges { version node {
        state digest description metadata ttlDurationSeconds historyStep size fileCount
        tags { name }
        aliases { alias artifactCollection { name } }
        currentManifest { file { directUrl } }
        createdBy { ... on Run { name } }
        usedBy { edges { node { name } } }
        files { edges { node { name md5 sizeBytes } } }
      } } } } }
    }
  }
}
"""


def artifacts_of(server: TestServer, entity: str, project: str) -> Dict[str, Any]:
    """Return collections by name, with their versions by number."""
    found = server.graphql(QUERY, {"entity": entity, "project": project})["project"]["artifactCollections"]
    state: Dict[str, Any] = {}
    for collection in (edge["node"] for edge in found["edges"]):
        versions = {}
        for edge in collection["artifacts"]["edges"]:
            version = edge["node"]
            version["tags"] = sorted(tag["name"] for tag in version["tags"])
            version["metadata"] = json.loads(version["metadata"] or "null")
            version["aliases"] = sorted(
                one["alias"]
                for one in version["aliases"]
                if one["artifactCollection"]["name"] == collection["name"]
            )
            version["createdBy"] = (version["createdBy"] or {}).get("name")
            version["usedBy"] = sorted(one["node"]["name"] for one in version["usedBy"]["edges"])
            version["files"] = {
                one["node"]["name"]: [one["node"]["md5"], one["node"]["sizeBytes"]]
                for one in version["files"]["edges"]
            }
            version["manifest"] = _manifest(version.pop("currentManifest")["file"]["directUrl"])
            versions[edge["version"]] = version
        state[collection["name"]] = {
            "type": collection["defaultArtifactType"]["name"],
            "kind": collection["__typename"],
            "versions": versions,
        }
    return state


def versions_of(server: TestServer, entity: str, project: str) -> Dict[str, List[str]]:
    """Return only which versions there are, by name."""
    return {name: sorted(one["versions"]) for name, one in artifacts_of(server, entity, project).items()}


def n_pending(server: TestServer) -> int:
    """Return how many versions were begun and not committed (of a server in this process)."""
    from sqlalchemy import text

    with server.backend.engine.connect() as connection:  # type: ignore[attr-defined]
        found = connection.scalar(text("SELECT count(*) FROM artifact WHERE state = 'PENDING'"))
        assert isinstance(found, int)
        return found


def _manifest(url: str) -> Dict[str, Any]:
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=60) as answer:
        manifest: Dict[str, Any] = json.loads(answer.read())
    for entry in manifest["contents"].values():
        for name in ("local_path", "birthArtifactID"):  # of the machine, of the server's counting
            entry.pop(name, None)
    return manifest
