"""The server's protocol for artifacts: what we ask, and what of the answer we use.

As in protocol.py: functions here build requests and read answers; they send nothing and remember nothing.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from wandb.errors import RejectedError
from wandb.proto.record_pb2 import ArtifactRecord
from wandb_sync.protocol import Bucket, Upload, graphql_request, header, read_answer
from wandb_sync.transport.base import Request, Response

FULL, INCREMENTAL, PATCH = "FULL", "INCREMENTAL", "PATCH"
MANIFEST_NAMES = {
    FULL: "wandb_manifest.json",
    INCREMENTAL: "wandb_manifest.incremental.json",
    PATCH: "wandb_manifest.patch.json",
}
COMMITTED, PENDING = "COMMITTED", "PENDING"
ARTIFACT_SCHEME, CLIENT_SCHEME = "wandb-artifact", "wandb-client-artifact"

_CREATED = "id state digest versionIndex artifactSequence { id latestArtifact { id } }"
_QUERIES = {
    "ClientIDMapping": """
query ClientIDMapping($clientID: ID!) { clientIDMapping(clientID: $clientID) { serverID } }""",
    "ArtifactByID": """
query ArtifactByID($id: ID!) {
  artifact(id: $id) {
    %s
    artifactSequence { name project { name entity { name } } }
  }
}"""
    % _CREATED,
    "ArtifactByName": """
query ArtifactByName($entity: String!, $project: String!, $name: String!) {
  project(name: $project, entityName: $entity) { artifact(name: $name) { %s } }
}"""
    % _CREATED,
    "CollectionVersions": """
query CollectionVersions($entity: String!, $project: String!, $name: String!) {
  project(name: $project, entityName: $entity) {
    artifactCollection(name: $name) { artifacts { edges { version node { %s } } } }
  }
}"""
    % _CREATED,
    "CreateArtifact": """
mutation CreateArtifact($input: CreateArtifactInput!) { createArtifact(input: $input) { artifact { %s } } }"""
    % _CREATED,
    "CreateArtifactManifest": """
mutation CreateArtifactManifest(
  $artifactID: ID!, $baseArtifactID: ID, $name: String!, $digest: String!, $entityName: String!,
  $projectName: String!, $runName: String!, $manifestType: ArtifactManifestType!, $includeUpload: Boolean!
) {
  createArtifactManifest(input: {
    artifactID: $artifactID, baseArtifactID: $baseArtifactID, name: $name, digest: $digest,
    entityName: $entityName, projectName: $projectName, runName: $runName, type: $manifestType
  }) {
    artifactManifest {
      id
      file { id uploadUrl @include(if: $includeUpload) uploadHeaders @include(if: $includeUpload) }
    }
  }
}""",
    "CreateArtifactFiles": """
mutation CreateArtifactFiles($input: CreateArtifactFilesInput!) {
  createArtifactFiles(input: $input) {
    files {
      edges {
        node {
          storagePath
          uploadUrl
          uploadHeaders
          uploadMultipartUrls { uploadID uploadUrlParts { partNumber uploadUrl } }
          artifact { id }
        }
      }
    }
  }
}""",
    "CompleteMultipartUploadArtifact": """
mutation CompleteMultipartUploadArtifact(
  $completeMultipartAction: CompleteMultipartAction!, $completedParts: [UploadPartsInput!]!,
  $artifactID: ID!, $storagePath: String!, $uploadID: String!
) {
  completeMultipartUploadArtifact(input: {
    completeMultipartAction: $completeMultipartAction, completedParts: $completedParts,
    artifactID: $artifactID, storagePath: $storagePath, uploadID: $uploadID
  }) { digest }
}""",
    "CommitArtifact": """
mutation CommitArtifact($artifactID: ID!) {
  commitArtifact(input: {artifactID: $artifactID}) { artifact { id digest versionIndex } }
}""",
    "UseArtifact": """
mutation UseArtifact($input: UseArtifactInput!) { useArtifact(input: $input) { artifact { id } } }""",
    "LinkArtifact": """
mutation LinkArtifact($input: LinkArtifactInput!) { linkArtifact(input: $input) { versionIndex } }""",
}


class Version(NamedTuple):
    """What the server says of a version.

    Attributes:
        version: Its number; None while it is pending.
        latest_id: The newest version of its sequence.
        place: entity, project and name of the sequence; empty if that was not asked for.
    """

    id: str
    state: str
    digest: str
    version: Optional[int]
    latest_id: str = ""
    place: Tuple[str, ...] = ()


class FileToSend(NamedTuple):
    """What is told of a file before it is sent.

    Attributes:
        md5: In base64.
        parts: MD5s, in hex, of the parts of a large file.
    """

    name: str
    md5: str
    mimetype: str = ""
    parts: Sequence[str] = ()


class FilePlace(NamedTuple):
    """Where a file goes.

    Attributes:
        upload: None if the server has the bytes already.
        birth_id: The artifact that the bytes have come with.
        parts: Where the parts of a large file go, by number; with `upload_id` and `storage_path` to end it.
    """

    upload: Optional[Upload]
    birth_id: str
    storage_path: str
    upload_id: str
    parts: Mapping[int, Upload]


def client_id_mapping(client_id: str) -> Request:
    return _request("ClientIDMapping", {"clientID": client_id})


def read_mapping(response: Response) -> str:
    """Return what an id that a client has made up is on the server; empty if the server does not know it."""
    found = read_answer(response, "ClientIDMapping").get("clientIDMapping") or {}
    return str(found.get("serverID") or "")


def artifact_by_id(id: str) -> Request:
    return _request("ArtifactByID", {"id": id})


def read_by_id(response: Response) -> Optional[Version]:
    found = read_answer(response, "ArtifactByID").get("artifact")
    return _version(found) if isinstance(found, dict) else None


def artifact_by_name(entity: str, project: str, name: str) -> Request:
    return _request("ArtifactByName", {"entity": entity, "project": project, "name": name})


def read_by_name(response: Response) -> Optional[Version]:
    found = (read_answer(response, "ArtifactByName").get("project") or {}).get("artifact")
    return _version(found) if isinstance(found, dict) else None


def collection_versions(entity: str, project: str, name: str) -> Request:
    return _request("CollectionVersions", {"entity": entity, "project": project, "name": name})


def read_versions(response: Response) -> List[Version]:
    """Return the versions of a collection, the newest first; none if there is no such collection."""
    project = read_answer(response, "CollectionVersions").get("project") or {}
    artifacts = (project.get("artifactCollection") or {}).get("artifacts") or {}
    nodes = [edge.get("node") for edge in artifacts.get("edges") or ()]
    return [_version(node) for node in nodes if isinstance(node, dict)]


def create_artifact(record: ArtifactRecord, where: Bucket, name: str, history_step: Optional[int]) -> Request:
    """Begin a version; all optional fields are sent, null if they are not set."""
    aliases = [{"artifactCollectionName": name, "alias": alias} for alias in record.aliases]
    body = {
        "entityName": where.entity,
        "projectName": where.project,
        "runName": where.name,
        "artifactTypeName": record.type,
        "artifactCollectionName": name,
        "digest": record.digest,
        "digestAlgorithm": record.digest_algorithm or "MANIFEST_MD5",
        "description": record.description or None,
        "aliases": aliases,
        "tags": [{"tagName": tag} for tag in record.tags],
        "metadata": record.metadata or None,
        "ttlDurationSeconds": record.ttl_duration_seconds or None,
        "historyStep": history_step,
        "enableDigestDeduplication": True,
        "distributedID": record.distributed_id or None,
        "clientID": record.client_id or None,
        "sequenceClientID": record.sequence_client_id or None,
    }
    return _request("CreateArtifact", {"input": body})


def read_created(response: Response) -> Version:
    found = (read_answer(response, "CreateArtifact").get("createArtifact") or {}).get("artifact")
    return _version(_object(found, "CreateArtifact", response))


def create_manifest(
    artifact_id: str, base_id: str, kind: str, where: Bucket, digest: str, *, with_upload: bool
) -> Request:
    variables = {
        "artifactID": artifact_id,
        "baseArtifactID": base_id or None,
        "name": MANIFEST_NAMES[kind],
        "digest": digest,
        "entityName": where.entity,
        "projectName": where.project,
        "runName": where.name,
        "manifestType": kind,
        "includeUpload": with_upload,
    }
    return _request("CreateArtifactManifest", variables)


def read_manifest(response: Response) -> Tuple[str, Optional[Upload]]:
    """Return the manifest's id, and where it goes if that was asked for."""
    answer = read_answer(response, "CreateArtifactManifest").get("createArtifactManifest") or {}
    manifest = _object(answer.get("artifactManifest"), "CreateArtifactManifest", response)
    file = manifest.get("file") or {}
    return str(manifest["id"]), _upload("wandb_manifest.json", file)


def create_files(artifact_id: str, manifest_id: str, files: Sequence[FileToSend]) -> Request:
    specs = [
        {
            "artifactID": artifact_id,
            "artifactManifestID": manifest_id,
            "name": file.name,
            "md5": file.md5,
            "mimetype": file.mimetype or None,
            "uploadPartsInput": [
                {"partNumber": number, "hexMD5": md5} for number, md5 in enumerate(file.parts, 1)
            ],
        }
        for file in files
    ]
    return _request("CreateArtifactFiles", {"input": {"artifactFiles": specs, "storageLayout": "V2"}})


def read_files(response: Response, names: Sequence[str]) -> List[FilePlace]:
    """Return where the files go, in the order of `names`.

    Raises:
        RejectedError: The server did not answer for every file.
    """
    answer = read_answer(response, "CreateArtifactFiles").get("createArtifactFiles") or {}
    nodes = [edge.get("node") or {} for edge in (answer.get("files") or {}).get("edges") or ()]
    if len(nodes) != len(names):
        said = f"the server has answered for {len(nodes)} of {len(names)} files"
        raise RejectedError(f"CreateArtifactFiles: {said}", status=response.status)
    places = []
    for name, node in zip(names, nodes):
        several = node.get("uploadMultipartUrls") or {}
        parts = {
            int(part["partNumber"]): Upload(name, str(part["uploadUrl"]), {})
            for part in several.get("uploadUrlParts") or ()
        }
        places.append(
            FilePlace(
                _upload(name, node),
                str((node.get("artifact") or {}).get("id") or ""),
                str(node.get("storagePath") or ""),
                str(several.get("uploadID") or ""),
                parts,
            )
        )
    return places


def complete_multipart(artifact_id: str, place: FilePlace, parts: Sequence[str]) -> Request:
    variables = {
        "completeMultipartAction": "Complete",
        "completedParts": [{"partNumber": number, "hexMD5": md5} for number, md5 in enumerate(parts, 1)],
        "artifactID": artifact_id,
        "storagePath": place.storage_path,
        "uploadID": place.upload_id,
    }
    return _request("CompleteMultipartUploadArtifact", variables)


def commit_artifact(artifact_id: str) -> Request:
    return _request("CommitArtifact", {"artifactID": artifact_id})


def read_committed(response: Response) -> Version:
    found = (read_answer(response, "CommitArtifact").get("commitArtifact") or {}).get("artifact")
    return _version(_object(found, "CommitArtifact", response))


def use_artifact(artifact_id: str, where: Bucket) -> Request:
    body = {
        "artifactID": artifact_id,
        "entityName": where.entity,
        "projectName": where.project,
        "runName": where.name,
    }
    return _request("UseArtifact", {"input": body})


def link_artifact(artifact_id: str, entity: str, project: str, name: str, aliases: Sequence[str]) -> Request:
    body = {
        "artifactID": artifact_id,
        "artifactPortfolioName": name,
        "entityName": entity,
        "projectName": project,
        "aliases": [{"artifactCollectionName": name, "alias": alias} for alias in aliases],
    }
    return _request("LinkArtifact", {"input": body})


def hex_id(id: str) -> str:
    """Return a server's id as addresses of artifacts have it."""
    try:
        return base64.b64decode(id, validate=True).hex()
    except (binascii.Error, ValueError):
        return id.encode().hex()


def _request(operation: str, variables: Dict[str, Any]) -> Request:
    return graphql_request(operation, _QUERIES[operation], variables)


def _version(found: Mapping[str, Any]) -> Version:
    sequence = found.get("artifactSequence") or {}
    project = sequence.get("project") or {}
    place = ((project.get("entity") or {}).get("name"), project.get("name"), sequence.get("name"))
    index = found.get("versionIndex")
    return Version(
        str(found["id"]),
        str(found.get("state") or ""),
        str(found.get("digest") or ""),
        int(index) if isinstance(index, int) else None,
        str((sequence.get("latestArtifact") or {}).get("id") or ""),
        tuple(str(part) for part in place) if all(place) else (),
    )


def _object(found: Any, operation: str, response: Response) -> Mapping[str, Any]:
    if not isinstance(found, dict) or not found.get("id"):
        raise RejectedError(f"{operation}: the server's answer holds none", status=response.status)
    return found


def _upload(name: str, node: Mapping[str, Any]) -> Optional[Upload]:
    url = node.get("uploadUrl")
    return Upload(name, str(url), dict(map(header, node.get("uploadHeaders") or ()))) if url else None
