"""/graphql, of artifacts: what answers the questions about them.

As in graph.py, a field is answered by the attribute or method of its name.
"""

from __future__ import annotations

import abc
import base64
import json
import mimetypes
from typing import Any, Dict, List, Mapping, Optional, Sequence
from urllib.parse import quote

from wandb.errors import UsageError
from wandb.server.access import Access
from wandb.server.answers import connection, iso_time, payload
from wandb.server.artifacts import FULL, PORTFOLIO, SEQUENCE, Artifacts, Place, tag_names
from wandb.server.names import number_of, storage_id
from wandb.server.store import NotFound, RunKey, Store

Input = Mapping[str, Any]
Row = Dict[str, Any]
ORDERS = ("name", "createdAt", "updatedAt", "versionIndex")
MANIFEST_FILE = "wandb_manifest.json"


class ArtifactQuestions(abc.ABC):
    """The part of Query and Mutation that is about artifacts."""

    store: Store
    access: Access
    artifacts: Artifacts
    base_url: str

    @abc.abstractmethod
    def project(self, info: Any, name: Optional[str] = None, entityName: Optional[str] = None) -> Any:
        """A project by its name."""

    @abc.abstractmethod
    def run_of(self, run_id: Optional[int]) -> Any:
        """A run by its number; None if it is gone."""

    @abc.abstractmethod
    def _key(self, input: Mapping[str, Any], run: str) -> RunKey:
        """The run that an input means."""

    # -- queries --------------------------------------------------------------------------------------------

    def artifact(self, info: Any, id: str) -> Optional[Artifact]:
        row = self.artifacts.find(number_of("Artifact", id))
        return Artifact(self, row) if row is not None else None

    def artifactCollection(self, info: Any, id: str) -> Optional[Collection]:
        row = self.artifacts.collection(number_of("ArtifactCollection", id))
        return Collection(self, row) if row is not None else None

    def clientIDMapping(self, info: Any, clientID: str) -> Optional[Dict[str, Any]]:
        row = self.artifacts.by_client_id(clientID)
        return {"serverID": storage_id("Artifact", row["id"])} if row is not None else None

    # -- a version comes ------------------------------------------------------------------------------------

    def createArtifact(self, info: Any, input: Input) -> Row:
        run = None
        if input.get("runName"):
            run = self.store.run(self._key(input, input["runName"]))["id"]
        return payload(input, artifact=Artifact(self, self.artifacts.create(input, run)))

    def createArtifactManifest(self, info: Any, input: Input) -> Row:
        base = input.get("baseArtifactID")
        row = self.artifacts.add_manifest(
            number_of("Artifact", input["artifactID"]),
            input.get("type") or FULL,
            input["digest"],
            number_of("Artifact", base) if base else None,
        )
        return payload(input, artifactManifest=Manifest(self, row))

    def updateArtifactManifest(self, info: Any, input: Input) -> Row:
        base = input.get("baseArtifactID")
        row = self.artifacts.change_manifest(
            number_of("ArtifactManifest", input["artifactManifestID"]),
            input.get("digest"),
            number_of("Artifact", base) if base else None,
        )
        return payload(input, artifactManifest=Manifest(self, row))

    def createArtifactFiles(self, info: Any, input: Input) -> Row:
        specs = input["artifactFiles"]
        ids = [number_of("Artifact", spec["artifactID"]) for spec in specs]
        places = self.artifacts.add_files(specs, ids)
        nodes = [
            FileToUpload(self, place, [part["partNumber"] for part in spec.get("uploadPartsInput") or ()])
            for place, spec in zip(places, specs)
        ]
        return payload(input, files={"totalCount": len(nodes), **connection(nodes, len(nodes), None)})

    def completeMultipartUploadArtifact(self, info: Any, input: Input) -> Row:
        parts = [(part["partNumber"], part["hexMD5"]) for part in input["completedParts"]]
        md5 = self.artifacts.join_parts(number_of("ArtifactFile", input["uploadID"]), parts)
        return payload(input, digest=base64.b64encode(bytes.fromhex(md5)).decode())

    def commitArtifact(self, info: Any, input: Input) -> Row:
        row = self.artifacts.commit(number_of("Artifact", input["artifactID"]))
        return payload(input, artifact=Artifact(self, row))

    # -- what becomes of it ---------------------------------------------------------------------------------

    def useArtifact(self, info: Any, input: Input) -> Row:
        key = self._key(input, input["runName"])
        row = self.artifacts.use(number_of("Artifact", input["artifactID"]), key, input.get("usedAs"))
        return payload(input, artifact=Artifact(self, row))

    def updateArtifact(self, info: Any, input: Input) -> Row:
        row = self.artifacts.change(number_of("Artifact", input["artifactID"]), input)
        return payload(input, artifact=Artifact(self, row))

    def deleteArtifact(self, info: Any, input: Input) -> Row:
        with_aliases = bool(input.get("deleteAliases"))
        row = self.artifacts.delete(number_of("Artifact", input["artifactID"]), with_aliases)
        return payload(input, artifact=Artifact(self, {**row, "state": "DELETED"}))

    def linkArtifact(self, info: Any, input: Input) -> Row:
        artifact_id = number_of("Artifact", input.get("artifactID") or "")
        if input.get("clientID"):
            made = self.artifacts.by_client_id(input["clientID"])
            artifact_id = made["id"] if made is not None else artifact_id
        where = (input.get("entityName"), input.get("projectName"), input.get("artifactPortfolioName"))
        if input.get("artifactPortfolioID"):
            known = self.artifacts.collection(number_of("ArtifactCollection", input["artifactPortfolioID"]))
            if known is None:
                raise NotFound("There is no such portfolio")
            where = (known["entity"], known["project"], known["name"])
        entity, project, portfolio = where
        aliases = [one["alias"] for one in input.get("aliases") or ()]
        row = self.artifacts.link(
            artifact_id,
            entity or self.store.default_entity,
            project or "uncategorized",
            portfolio or "",
            aliases,
        )
        return payload(input, versionIndex=row["version_index"], artifactMembership=Membership(self, row))

    def unlinkArtifact(self, info: Any, input: Input) -> Row:
        portfolio = number_of("ArtifactCollection", input["artifactPortfolioID"])
        self.artifacts.unlink(number_of("Artifact", input["artifactID"]), portfolio)
        return payload(input, success=True)

    def addAliases(self, info: Any, input: Input) -> Row:
        self.artifacts.change_aliases(number_of("Artifact", input["artifactID"]), input["aliases"], add=True)
        return payload(input, success=True)

    def deleteAliases(self, info: Any, input: Input) -> Row:
        self.artifacts.change_aliases(number_of("Artifact", input["artifactID"]), input["aliases"], add=False)
        return payload(input, success=True)

    # -- collections ----------------------------------------------------------------------------------------

    def updateArtifactSequence(self, info: Any, input: Input) -> Row:
        values = {"name": input.get("name"), "description": input.get("description")}
        return _changed(self, input, input["artifactSequenceID"], values)

    def updateArtifactPortfolio(self, info: Any, input: Input) -> Row:
        values = {"name": input.get("name"), "description": input.get("description")}
        return _changed(self, input, input["artifactPortfolioID"], values)

    def moveArtifactSequence(self, info: Any, input: Input) -> Row:
        values = {"type": input["destinationArtifactTypeName"]}
        return _changed(self, input, input["artifactSequenceID"], values)

    def deleteArtifactSequence(self, info: Any, input: Input) -> Row:
        return _deleted(self, input, input["artifactSequenceID"], SEQUENCE)

    def deleteArtifactPortfolio(self, info: Any, input: Input) -> Row:
        return _deleted(self, input, input["artifactPortfolioID"], PORTFOLIO)

    def createArtifactCollectionTagAssignments(self, info: Any, input: Input) -> Row:
        collection = _named_collection(self, input)
        tags = list(dict.fromkeys([*json.loads(collection["tags"]), *tag_names(input["tags"])]))
        self.artifacts.change_collection(collection["id"], {"tags": json.dumps(tags)})
        return {"tags": [_tag(name) for name in tags]}

    def deleteArtifactCollectionTagAssignments(self, info: Any, input: Input) -> Row:
        collection = _named_collection(self, input)
        gone = tag_names(input["tags"])
        tags = [tag for tag in json.loads(collection["tags"]) if tag not in gone]
        self.artifacts.change_collection(collection["id"], {"tags": json.dumps(tags)})
        return payload(input, success=True)


def _changed(root: ArtifactQuestions, input: Input, id: str, values: Row) -> Row:
    row = root.artifacts.change_collection(number_of("ArtifactCollection", id), values)
    return payload(input, artifactCollection=Collection(root, row))


def _deleted(root: ArtifactQuestions, input: Input, id: str, kind: str) -> Row:
    number = number_of("ArtifactCollection", id)
    found = root.artifacts.collection(number)
    if found is None or found["kind"] != kind:
        raise NotFound(f"There is no such {kind.lower()}")
    gone = Collection(root, root.artifacts.delete_collection(number))
    gone.state = "DELETED"
    return payload(input, artifactCollection=gone)


def _named_collection(root: ArtifactQuestions, input: Input) -> Row:
    where = (input["entityName"], input["projectName"], input["artifactCollectionName"])
    found = root.artifacts.find_collection(*where)
    if found is None:
        raise NotFound(f"There is no collection {'/'.join(where)}")
    return found


class ArtifactType:
    """All artifacts of a project that are called a dataset, a model ..."""

    def __init__(self, root: ArtifactQuestions, project: Any, row: Row) -> None:
        self._root = root
        self._project = project
        self.id = storage_id("ArtifactType", row["id"])
        self.name = row["name"]
        self.createdAt = iso_time(row["created_at"])

    def artifactCollections(
        self,
        info: Any,
        first: Optional[int] = None,
        after: Optional[str] = None,
        filters: Optional[str] = None,
        order: Optional[str] = None,
    ) -> Row:
        rows = self._root.artifacts.collections(self._project.entityName, self._project.name, self.name)
        return collection_page(self._root, rows, first, after, filters, order)

    def artifactCollection(self, info: Any, name: str) -> Optional[Collection]:
        row = self._root.artifacts.find_collection(self._project.entityName, self._project.name, name)
        return Collection(self._root, row) if row is not None and row["type"] == self.name else None


class Collection:
    """A sequence or a portfolio."""

    def __init__(self, root: ArtifactQuestions, row: Row) -> None:
        self._root = root
        self._row = row
        self.__typename = "ArtifactSequence" if row["kind"] == SEQUENCE else "ArtifactPortfolio"
        self.id = storage_id("ArtifactCollection", row["id"])
        self.name = row["name"]
        self.description = row["description"]
        self.state = "READY"
        self.createdAt = iso_time(row["created_at"])
        self.updatedAt = iso_time(row["updated_at"])
        self.digestAlgorithm = "MANIFEST_MD5"
        self.tags = {"edges": [{"node": _tag(name)} for name in json.loads(row["tags"])]}

    def project(self, info: Any) -> Any:
        return self._root.project(info, self._row["project"], self._row["entity"])

    def defaultArtifactType(self, info: Any) -> ArtifactType:
        return ArtifactType(self._root, self.project(info), {**self._row, "name": self._row["type"]})

    def aliases(self, info: Any, first: Optional[int] = None, after: Optional[str] = None) -> Row:
        rows = self._root.artifacts.aliases(collection_id=self._row["id"])
        return connection([Alias(self._root, row) for row in rows], first, after)

    def artifacts(
        self,
        info: Any,
        first: Optional[int] = None,
        after: Optional[str] = None,
        order: Optional[str] = None,
        filters: Optional[str] = None,
    ) -> Row:
        rows = self._root.artifacts.members(self._row["id"])
        pairs = [(row, self._root.artifacts.get(row["artifact_id"])) for row in rows]
        wanted = _filters(filters, ("state", "tags"))
        for name, values in wanted.items():
            pairs = [
                (row, version)
                for row, version in pairs
                if values & ({version["state"]} if name == "state" else {*json.loads(version["tags"])})
            ]
        _check_order(order)
        if order and not order.startswith("-"):
            pairs.reverse()
        page = connection([Artifact(self._root, version) for _, version in pairs], first, after)
        for edge in page["edges"]:
            edge["version"] = f"v{pairs[int(edge['cursor']) - 1][0]['version_index']}"
        return {"totalCount": len(pairs), **page}

    def artifactMembership(self, info: Any, aliasName: str) -> Optional[Membership]:
        row = self._root.artifacts.member(self._row["id"], aliasName)
        return Membership(self._root, row) if row is not None else None

    def latestArtifact(self, info: Any) -> Optional[Artifact]:
        row = self._root.artifacts.latest(self._row["id"])
        return Artifact(self._root, row) if row is not None else None


class Membership:
    """A version in a collection."""

    def __init__(self, root: ArtifactQuestions, row: Row) -> None:
        self._root = root
        self._row = row
        self.id = storage_id("ArtifactCollectionMembership", row["artifact_id"]) + f":{row['collection_id']}"
        self.versionIndex = row["version_index"]
        self.createdAt = iso_time(row["created_at"])

    def artifactCollection(self, info: Any) -> Optional[Collection]:
        row = self._root.artifacts.collection(self._row["collection_id"])
        return Collection(self._root, row) if row is not None else None

    def artifact(self, info: Any) -> Artifact:
        return Artifact(self._root, self._root.artifacts.get(self._row["artifact_id"]))

    def aliases(self, info: Any) -> List[Alias]:
        where = {"artifact_id": self._row["artifact_id"], "collection_id": self._row["collection_id"]}
        return [Alias(self._root, row) for row in self._root.artifacts.aliases(**where)]

    def files(
        self,
        info: Any,
        names: Optional[Sequence[str]] = None,
        first: Optional[int] = None,
        after: Optional[str] = None,
    ) -> Row:
        return self.artifact(info).files(info, names, first, after)


class Artifact:
    """One version."""

    def __init__(self, root: ArtifactQuestions, row: Row) -> None:
        self._root = root
        self._row = row
        self.id = storage_id("Artifact", row["id"])
        self.versionIndex = row["version_index"]
        self.description = row["description"]
        self.metadata = row["metadata"]
        self.ttlDurationSeconds = row["ttl_s"] if row["ttl_s"] is not None else -2  # as W&B says "for ever"
        self.ttlIsInherited = row["ttl_s"] is None
        self.tags = [_tag(name) for name in json.loads(row["tags"])]
        self.historyStep = row["history_step"]
        self.state = row["state"]
        self.size = row["n_bytes"]
        self.digest = row["digest"]
        self.digestAlgorithm = row["digest_algorithm"]
        self.commitHash = f"{row['id']:020x}" if row["state"] == "COMMITTED" else None
        self.fileCount = row["n_files"]
        self.createdAt = iso_time(row["created_at"])
        self.updatedAt = iso_time(row["updated_at"])

    def artifactSequence(self, info: Any) -> Collection:
        row = self._root.artifacts.collection(self._row["collection_id"])
        assert row is not None
        return Collection(self._root, row)

    def artifactType(self, info: Any) -> ArtifactType:
        return self.artifactSequence(info).defaultArtifactType(info)

    def aliases(self, info: Any) -> List[Alias]:
        return [Alias(self._root, row) for row in self._root.artifacts.aliases(artifact_id=self._row["id"])]

    def currentManifest(self, info: Any) -> Optional[Manifest]:
        row = self._root.artifacts.manifest(self._row["id"])
        return Manifest(self._root, row) if row is not None else None

    def createdBy(self, info: Any) -> Any:
        return self._root.run_of(self._row["run_id"])

    def usedBy(self, info: Any, first: Optional[int] = None, after: Optional[str] = None) -> Row:
        runs = [self._root.run_of(number) for number in self._root.artifacts.users(self._row["id"])]
        return {"totalCount": len(runs), **connection(runs, first, after)}

    def artifactMemberships(self, info: Any, first: Optional[int] = None, after: Optional[str] = None) -> Row:
        rows = self._root.artifacts.memberships(self._row["id"])
        return connection([Membership(self._root, row) for row in rows], first, after)

    def files(
        self,
        info: Any,
        names: Optional[Sequence[str]] = None,
        first: Optional[int] = None,
        after: Optional[str] = None,
    ) -> Row:
        rows = self._root.artifacts.files(self._row["id"])
        if names:
            rows = [row for row in rows if row["path"] in names]
        nodes = [ArtifactFile(self._root, row) for row in rows]
        return {"totalCount": len(nodes), **connection(nodes, first, after)}

    def filesByManifestEntries(
        self,
        info: Any,
        entries: Optional[Sequence[Input]] = None,
        storageLayout: Optional[str] = None,
        manifestVersion: Optional[str] = None,
        storageRegion: Optional[str] = None,
        first: Optional[int] = None,
        after: Optional[str] = None,
    ) -> Row:
        return self.files(info, [entry["name"] for entry in entries or ()], first, after)


class Manifest:
    """The list of an artifact's files."""

    def __init__(self, root: ArtifactQuestions, row: Row) -> None:
        self._root = root
        self._row = row
        self.id = storage_id("ArtifactManifest", row["id"])
        self.type = row["kind"]
        self.digest = row["digest"]
        self.size = row["n_bytes"]

    def file(self, info: Any) -> Row:
        number = self._row["id"]
        upload = self._root.access.signed_path(f"/upload/artifact/manifest/{number}", MANIFEST_FILE)
        download = self._root.access.signed_path(f"/artifacts/manifest/{number}", MANIFEST_FILE)
        return {
            "id": f"{self.id}:{MANIFEST_FILE}",
            "name": MANIFEST_FILE,
            "uploadUrl": self._root.base_url + upload,
            "uploadHeaders": [],
            "directUrl": self._root.base_url + download,
            "url": lambda info, upload=False: self._root.base_url + download,
            "sizeBytes": self.size,
        }


class ArtifactFile:
    """A file of an artifact whose bytes are here."""

    def __init__(self, root: ArtifactQuestions, row: Row) -> None:
        self._root = root
        self._row = row
        self.id = storage_id("ArtifactFile", row["id"])
        self.name = self.displayName = row["path"]
        self.sizeBytes = row["n_bytes"]
        self.md5 = self.digest = base64.b64encode(bytes.fromhex(row["md5"])).decode()
        self.mimetype = row["mimetype"] or mimetypes.guess_type(row["path"])[0]
        self.updatedAt = iso_time(row["uploaded_at"])
        self.storagePath = f"artifact/{row['id']}/{quote(row['path'])}"

    def directUrl(self, info: Any) -> str:
        folder = f"/artifacts/file/{self._row['id']}"
        return self._root.base_url + self._root.access.signed_path(folder, self._row["path"])

    def url(self, info: Any, upload: Optional[bool] = False) -> str:
        return self.directUrl(info)

    def artifact(self, info: Any) -> Optional[Artifact]:
        """The one that the bytes came with."""
        row = self._root.artifacts.find(self._row["birth_id"])
        return Artifact(self._root, row or self._root.artifacts.get(self._row["artifact_id"]))


class FileToUpload(ArtifactFile):
    """A file that is announced; its address is null if its bytes are here."""

    def __init__(self, root: ArtifactQuestions, place: Place, parts: Sequence[int]) -> None:
        super().__init__(root, place.file)
        self.uploadHeaders: List[str] = []
        number, path = place.file["id"], place.file["path"]
        self.uploadUrl: Optional[str] = None
        self.uploadMultipartUrls: Optional[Row] = None
        if place.is_wanted:
            url = root.access.signed_path(f"/upload/artifact/file/{number}", path)
            self.uploadUrl = root.base_url + url
            self.uploadHeaders = [f"Content-MD5:{self.md5}"]
        if place.is_wanted and parts:
            urls = [
                {
                    "partNumber": part,
                    "uploadUrl": root.base_url
                    + root.access.signed_path(f"/upload/artifact/part/{number}", str(part)),
                }
                for part in parts
            ]
            self.uploadMultipartUrls = {"uploadID": self.id, "uploadUrlParts": urls}


class Alias:
    """A name of a version in a collection."""

    def __init__(self, root: ArtifactQuestions, row: Row) -> None:
        self._root = root
        self._row = row
        self.id = storage_id("ArtifactAlias", row["collection_id"]) + f":{row['alias']}"
        self.alias = row["alias"]

    def artifactCollection(self, info: Any) -> Optional[Collection]:
        row = self._root.artifacts.collection(self._row["collection_id"])
        return Collection(self._root, row) if row is not None else None


def collection_page(
    root: ArtifactQuestions,
    rows: List[Row],
    first: Optional[int],
    after: Optional[str],
    filters: Optional[str],
    order: Optional[str],
) -> Row:
    """One page of a list of collections, as asked for."""
    for name, values in _filters(filters, ("name",)).items():
        rows = [row for row in rows if row[name] in values]
    _check_order(order)
    if order:
        column = {"createdAt": "created_at", "updatedAt": "updated_at"}.get(order.lstrip("+-"), "name")
        rows = sorted(rows, key=lambda row: row[column], reverse=order.startswith("-"))
    return {"totalCount": len(rows), **connection([Collection(root, row) for row in rows], first, after)}


def _filters(text: Optional[str], known: Sequence[str]) -> Dict[str, "set[str]"]:
    """Values by field, of a filter that asks for equality; UsageError for what we cannot answer."""
    wanted: Dict[str, "set[str]"] = {}
    try:
        asked = json.loads(text) if text else {}
        for name, value in (asked or {}).items():
            values = value["$in"] if isinstance(value, dict) else [value]
            if name not in known or not all(isinstance(one, str) for one in values):
                raise ValueError(name)
            wanted[name] = set(values)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UsageError(f"The filter {text!r} is not understood; equality of {known} is") from None
    return wanted


def _check_order(order: Optional[str]) -> None:
    if order and order.lstrip("+-") not in ORDERS:
        raise UsageError(f"The order {order!r} is not understood; one of {', '.join(ORDERS)} is")


def _tag(name: str) -> Row:
    return {"id": storage_id("Tag", 0) + f":{name}", "name": name}
