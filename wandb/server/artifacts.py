"""Artifacts: collections of versions, their manifests and files; each method is one transaction.

A version is PENDING until it is committed.  Only then it has a number, aliases and a place in its sequence:
a client that dies in between leaves nothing that anybody sees, and one that goes on finds what it had begun
by the id that it made up for it (`clientID`).

Rule 1: committing needs the manifest and the bytes of every file in it; what is committed is whole.
Rule 2: the same question asked again has the same effect: a client does not know whether its answer was lost.
Rule 3: `latest` is the newest version of a sequence, and moves with it; `vN` needs no row.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
import time
from typing import Any, BinaryIO, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

from sqlalchemy import Connection, Select, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from wandb.errors import UsageError
from wandb.server.blobs import Incoming
from wandb.server.database import (
    artifact,
    artifact_alias,
    artifact_collection,
    artifact_file,
    artifact_manifest,
    artifact_membership,
    artifact_part,
    artifact_use,
    project,
)
from wandb.server.names import checked_file_path, checked_name
from wandb.server.store import NotFound, RunKey, Store, checked_object, insert_row, unused_digests

PENDING, COMMITTED, DELETED = "PENDING", "COMMITTED", "DELETED"
SEQUENCE, PORTFOLIO = "SEQUENCE", "PORTFOLIO"
FULL, INCREMENTAL, PATCH, WHOLE = "FULL", "INCREMENTAL", "PATCH", "WHOLE"
LATEST = "latest"
DEFAULT_ALGORITHM = "MANIFEST_MD5"
MAX_MANIFEST_BYTES = 2**30
MAX_PARTS = 10_000
_VERSION = re.compile(r"v(\d{1,9})")

_COLLECTIONS = select(artifact_collection, project.c.entity, project.c.name.label("project")).join(
    project, project.c.id == artifact_collection.c.project_id
)
_ARTIFACTS = (
    select(
        artifact,
        artifact_collection.c.name.label("collection"),
        artifact_collection.c.type.label("type"),
        artifact_membership.c.version_index,
    )
    .join(artifact_collection, artifact_collection.c.id == artifact.c.collection_id)
    .outerjoin(
        artifact_membership,
        (artifact_membership.c.collection_id == artifact.c.collection_id)
        & (artifact_membership.c.artifact_id == artifact.c.id),
    )
)

Row = Dict[str, Any]


class Place(NamedTuple):
    """Where a file of an artifact goes: the row, and whether its bytes are to be sent."""

    file: Row
    is_wanted: bool


class Artifacts:
    """The artifacts of one server."""

    def __init__(self, store: Store) -> None:
        self._store = store

    # -- what is there --------------------------------------------------------------------------------------

    def find(self, artifact_id: int) -> Optional[Row]:
        """A version that is not deleted."""
        return self._one(_ARTIFACTS.where((artifact.c.id == artifact_id) & (artifact.c.state != DELETED)))

    def get(self, artifact_id: int) -> Row:
        """Like `find`; raises NotFound."""
        found = self.find(artifact_id)
        if found is None:
            raise NotFound("There is no such artifact")
        return found

    def by_client_id(self, client_id: str) -> Optional[Row]:
        """The version that a client has made up this id for; for that of a sequence, its newest one."""
        where = (artifact.c.client_id == client_id) & (artifact.c.state != DELETED)
        found = self._all(_ARTIFACTS.where(where).order_by(artifact.c.state == PENDING, artifact.c.id))
        if found:
            return found[0]
        sequence = self._one(_COLLECTIONS.where(artifact_collection.c.client_id == client_id).limit(1))
        return self.latest(sequence["id"]) if sequence is not None else None

    def collection(self, collection_id: int) -> Optional[Row]:
        return self._one(_COLLECTIONS.where(artifact_collection.c.id == collection_id))

    def collections(self, entity: str, project_name: str, type: Optional[str] = None) -> List[Row]:
        """Those of a project, the newest first."""
        query = _COLLECTIONS.where((project.c.entity == entity) & (project.c.name == project_name))
        if type is not None:
            query = query.where(artifact_collection.c.type == type)
        return self._all(query.order_by(artifact_collection.c.id.desc()))

    def find_collection(self, entity: str, project_name: str, name: str) -> Optional[Row]:
        where = (project.c.entity == entity) & (project.c.name == project_name)
        return self._one(_COLLECTIONS.where(where & (artifact_collection.c.name == name)))

    def types(self, entity: str, project_name: str) -> List[Row]:
        """Name and begin of each type of a project's artifacts."""
        types: Dict[str, Row] = {}
        for row in reversed(self.collections(entity, project_name)):
            types.setdefault(
                row["type"], {"id": row["id"], "name": row["type"], "created_at": row["created_at"]}
            )
        return list(types.values())

    def members(self, collection_id: int) -> List[Row]:
        """The versions of a collection as memberships, the newest first."""
        query = select(artifact_membership).where(artifact_membership.c.collection_id == collection_id)
        return self._all(query.order_by(artifact_membership.c.version_index.desc()))

    def memberships(self, artifact_id: int) -> List[Row]:
        """Where a version can be found."""
        query = select(artifact_membership).where(artifact_membership.c.artifact_id == artifact_id)
        return self._all(query.order_by(artifact_membership.c.collection_id))

    def membership(self, entity: str, project_name: str, name: str) -> Optional[Row]:
        """What `collection:alias` means; without alias, its latest."""
        collection_name, _, alias = name.partition(":")
        found = self.find_collection(entity, project_name, collection_name)
        return self.member(found["id"], alias or LATEST) if found is not None else None

    def member(self, collection_id: int, alias: str) -> Optional[Row]:
        """The membership of what has an alias in a collection, or is its version `vN`."""
        members = select(artifact_membership).where(artifact_membership.c.collection_id == collection_id)
        version = _VERSION.fullmatch(alias)
        if version is not None:
            return self._one(members.where(artifact_membership.c.version_index == int(version[1])))
        named = select(artifact_alias.c.artifact_id).where(
            (artifact_alias.c.collection_id == collection_id) & (artifact_alias.c.alias == alias)
        )
        return self._one(members.where(artifact_membership.c.artifact_id.in_(named)))

    def latest(self, collection_id: int) -> Optional[Row]:
        """The version that is called latest."""
        member = self.member(collection_id, LATEST)
        return self.find(member["artifact_id"]) if member is not None else None

    def aliases(self, *, artifact_id: Optional[int] = None, collection_id: Optional[int] = None) -> List[Row]:
        """The aliases of a version, of a collection, or of the one in the other."""
        query = select(artifact_alias)
        if artifact_id is not None:
            query = query.where(artifact_alias.c.artifact_id == artifact_id)
        if collection_id is not None:
            query = query.where(artifact_alias.c.collection_id == collection_id)
        return self._all(query.order_by(artifact_alias.c.collection_id, artifact_alias.c.alias))

    def files(self, artifact_id: int) -> List[Row]:
        """Those that are here, as the manifest names them; references have no bytes and are no files."""
        query = select(artifact_file).where(artifact_file.c.artifact_id == artifact_id)
        return self._all(query.where(artifact_file.c.sha256.is_not(None)).order_by(artifact_file.c.path))

    def manifest(self, artifact_id: int) -> Optional[Row]:
        """The row of the manifest that counts."""
        query = select(artifact_manifest).where(
            (artifact_manifest.c.artifact_id == artifact_id) & artifact_manifest.c.sha256.is_not(None)
        )
        return self._one(query.order_by(artifact_manifest.c.id.desc()).limit(1))

    def entries(self, artifact_id: int) -> Dict[str, Row]:
        """The manifest's files and references by name; none if it has not come yet."""
        row = self.manifest(artifact_id)
        if row is None:
            return {}
        with self._store.blob_lock:
            file = self._store.blobs.open(row["sha256"])
        with file:
            return _entries(file.read())

    def of_run(self, run_id: int) -> List[Row]:
        """What a run has made, and what is committed of it."""
        where = (artifact.c.run_id == run_id) & (artifact.c.state == COMMITTED)
        return self._all(_ARTIFACTS.where(where).order_by(artifact.c.id))

    def used_by_run(self, run_id: int) -> List[Row]:
        query = _ARTIFACTS.join(artifact_use, artifact_use.c.artifact_id == artifact.c.id)
        query = query.where((artifact_use.c.run_id == run_id) & (artifact.c.state == COMMITTED))
        return self._all(query.order_by(artifact_use.c.used_at, artifact.c.id))

    def users(self, artifact_id: int) -> List[int]:
        """The numbers of the runs that have used a version."""
        query = select(artifact_use.c.run_id).where(artifact_use.c.artifact_id == artifact_id)
        return [row["run_id"] for row in self._all(query.order_by(artifact_use.c.used_at))]

    # -- a version comes ------------------------------------------------------------------------------------

    def create(self, fields: Mapping[str, Any], run_id: Optional[int]) -> Row:
        """Begin a version, or find the one that was begun or is the same.

        Args:
            fields: the input of the `createArtifact` mutation.

        Returns:
            The version.  If it is COMMITTED there is nothing to be sent.

        Raises:
            UsageError: a name is not acceptable, or the collection has another type.
        """
        try:
            return self.get(self._create(fields, run_id))
        except IntegrityError:  # somebody else made the collection between our look and our insert
            return self.get(self._create(fields, run_id))

    def _create(self, fields: Mapping[str, Any], run_id: Optional[int]) -> int:
        names = [fields.get("artifactCollectionName"), *(fields.get("artifactCollectionNames") or ())]
        name = checked_collection_name(next(filter(None, names), ""))
        aliases = [_checked_alias(one["alias"]) for one in fields.get("aliases") or ()]
        metadata = fields.get("metadata")
        now = time.time()
        values = {
            "run_id": run_id,
            "digest": fields["digest"][:128],
            "digest_algorithm": fields.get("digestAlgorithm") or DEFAULT_ALGORITHM,
            "client_id": fields.get("clientID"),
            "distributed_id": fields.get("distributedID"),
            "wanted_aliases": json.dumps(aliases),
            "tags": json.dumps(tag_names(fields.get("tags"))),
            "description": fields.get("description"),
            "metadata": checked_object(metadata, "metadata") if metadata is not None else None,
            "ttl_s": _ttl(fields.get("ttlDurationSeconds")),
            "history_step": fields.get("historyStep"),
        }
        with self._store.writing() as connection:
            project_id = self._store.project_id(
                connection,
                checked_name("entity", fields["entityName"] or self._store.default_entity),
                checked_name("project", fields["projectName"] or "uncategorized"),
            )
            collection_id = self._sequence_id(
                connection, project_id, name, fields["artifactTypeName"], fields.get("sequenceClientID")
            )
            same = self._same(
                connection, collection_id, values, bool(fields.get("enableDigestDeduplication"))
            )
            if same is not None:
                if same["client_id"] != values["client_id"] and same["state"] == COMMITTED:
                    _name(connection, collection_id, same["id"], aliases)
                return int(same["id"])
            values.update(collection_id=collection_id, state=PENDING, created_at=now, updated_at=now)
            return insert_row(connection, artifact, **values)

    def _sequence_id(
        self, connection: Connection, project_id: int, name: str, type: str, client_id: Optional[str]
    ) -> int:
        where = (artifact_collection.c.project_id == project_id) & (artifact_collection.c.name == name)
        found = connection.execute(select(artifact_collection).where(where).with_for_update()).one_or_none()
        if found is not None:
            if found.kind != SEQUENCE or found.type != type:
                raise UsageError(
                    f"{name!r} is a {found.kind.lower()} of the type {found.type!r}, "
                    f"and no sequence of {type!r}"
                )
            return int(found.id)
        now = time.time()
        return insert_row(
            connection,
            artifact_collection,
            project_id=project_id,
            name=name,
            type=_checked_type(type),
            kind=SEQUENCE,
            client_id=client_id,
            created_at=now,
            updated_at=now,
        )

    @staticmethod
    def _same(
        connection: Connection, collection_id: int, values: Mapping[str, Any], by_digest: bool
    ) -> Optional[Mapping[str, Any]]:
        """The version that this one is, or was begun as."""
        here = (artifact.c.collection_id == collection_id) & (artifact.c.state != DELETED)
        for where, is_meant in (
            (artifact.c.client_id == values["client_id"], values["client_id"]),
            (artifact.c.distributed_id == values["distributed_id"], values["distributed_id"]),
            (
                (artifact.c.digest == values["digest"])
                & (artifact.c.state == COMMITTED)
                & (artifact.c.digest_algorithm == values["digest_algorithm"]),
                by_digest,
            ),
        ):
            if is_meant:
                query = select(artifact).where(here & where).order_by(artifact.c.id.desc()).limit(1)
                found = connection.execute(query).one_or_none()
                if found is not None:
                    return dict(found._mapping)
        return None

    def add_manifest(self, artifact_id: int, kind: str, digest: str, base_id: Optional[int]) -> Row:
        """Announce a manifest; one that has the same digest, and no bytes, is used again."""
        where = (
            (artifact_manifest.c.artifact_id == artifact_id)
            & (artifact_manifest.c.kind == kind)
            & (artifact_manifest.c.digest == digest)
            & artifact_manifest.c.sha256.is_(None)
        )
        with self._store.writing() as connection:
            self._pending(connection, artifact_id)
            if base_id is not None and kind == INCREMENTAL:
                connection.execute(
                    update(artifact).where(artifact.c.id == artifact_id).values(base_id=base_id)
                )
            found = connection.execute(select(artifact_manifest).where(where).limit(1)).one_or_none()
            if found is not None:
                return dict(found._mapping)
            manifest_id = insert_row(
                connection, artifact_manifest, artifact_id=artifact_id, kind=kind, digest=digest
            )
        return {"id": manifest_id, "artifact_id": artifact_id, "kind": kind, "digest": digest, "n_bytes": 0}

    def change_manifest(self, manifest_id: int, digest: Optional[str], base_id: Optional[int]) -> Row:
        """Say what the digest of a manifest's bytes, which are to come, is."""
        query = select(artifact_manifest).where(artifact_manifest.c.id == manifest_id)
        with self._store.writing() as connection:
            found = connection.execute(query).one_or_none()
            if found is None:
                raise NotFound("There is no such manifest")
            self._pending(connection, found.artifact_id)
            if digest is not None:
                connection.execute(
                    update(artifact_manifest)
                    .where(artifact_manifest.c.id == manifest_id)
                    .values(digest=digest)
                )
            if base_id is not None:
                connection.execute(
                    update(artifact).where(artifact.c.id == found.artifact_id).values(base_id=base_id)
                )
            return dict(connection.execute(query).one()._mapping)

    def add_files(self, specs: Sequence[Mapping[str, Any]], artifact_ids: Sequence[int]) -> List[Place]:
        """Announce files.  Bytes that are here already, with whatever artifact, are not wanted again."""
        places: List[Place] = []
        with self._store.writing() as connection:
            for artifact_id in set(artifact_ids):
                self._pending(connection, artifact_id)
            for spec, artifact_id in zip(specs, artifact_ids):
                values: Row = {
                    "md5": _hex_digest(spec["md5"]),
                    "mimetype": spec.get("mimetype"),
                    "uploaded_at": time.time(),
                    "birth_id": artifact_id,
                    "sha256": None,
                    "n_bytes": 0,
                }
                query = select(artifact_file).where(
                    (artifact_file.c.md5 == values["md5"]) & artifact_file.c.sha256.is_not(None)
                )
                known = connection.execute(query.order_by(artifact_file.c.id).limit(1)).one_or_none()
                if known is not None:
                    values.update(birth_id=known.birth_id, sha256=known.sha256, n_bytes=known.n_bytes)
                key = {"artifact_id": artifact_id, "path": checked_file_path(spec["name"])}
                where = (artifact_file.c.artifact_id == artifact_id) & (artifact_file.c.path == key["path"])
                file_id = connection.scalar(select(artifact_file.c.id).where(where))
                if file_id is None:
                    file_id = insert_row(connection, artifact_file, **key, **values)
                else:
                    connection.execute(update(artifact_file).where(where).values(**values))
                places.append(Place({"id": file_id, **key, **values}, values["sha256"] is None))
        return places

    def put_file(self, file_id: int, incoming: Incoming) -> None:
        """Take the bytes of a file.

        Raises:
            NotFound: the artifact is gone.
            UsageError: they are not what was announced.
        """
        query = select(artifact_file).where(artifact_file.c.id == file_id)
        blob = incoming.finish()
        with self._store.blob_lock, self._store.writing() as connection:
            row = connection.execute(query).one_or_none()
            if row is None:
                raise NotFound("The artifact of this file does not exist any more")
            if blob.md5 != row.md5:
                raise UsageError(f"The bytes of {row.path!r} do not have the MD5 that was announced")
            self._store.blobs.keep(incoming, blob)
            connection.execute(
                update(artifact_file)
                .where(artifact_file.c.id == file_id)
                .values(sha256=blob.sha256, n_bytes=blob.n_bytes, uploaded_at=time.time())
            )

    def put_part(self, file_id: int, number: int, incoming: Incoming) -> None:
        """Take one part of a large file; NotFound if the artifact is gone."""
        blob = incoming.finish()
        where = (artifact_part.c.file_id == file_id) & (artifact_part.c.number == number)
        with self._store.blob_lock, self._store.writing() as connection:
            if connection.scalar(select(artifact_file.c.id).where(artifact_file.c.id == file_id)) is None:
                raise NotFound("The artifact of this file does not exist any more")
            self._store.blobs.keep(incoming, blob)
            connection.execute(delete(artifact_part).where(where))
            connection.execute(
                insert(artifact_part).values(file_id=file_id, number=number, sha256=blob.sha256, md5=blob.md5)
            )

    def join_parts(self, file_id: int, parts: Sequence[Tuple[int, str]]) -> str:
        """Make a large file of its parts, (number, MD5 in hex) each; returns the file's MD5 in hex."""
        query = select(artifact_part).where(artifact_part.c.file_id == file_id)
        file = self._one(select(artifact_file).where(artifact_file.c.id == file_id))
        if file is None:
            raise NotFound("The artifact of this file does not exist any more")
        here = {row["number"]: row for row in self._all(query)}
        if file["sha256"] is not None and not here:
            return str(file["md5"])  # it was joined before, and the answer lost
        wrong = [number for number, md5 in parts if number not in here or here[number]["md5"] != md5]
        if wrong or not parts:
            raise UsageError(
                f"{file['path']!r}: {len(wrong)} parts are missing or not as announced: {wrong[:5]}"
            )
        with self._store.blobs.receive() as incoming:
            for number, _ in sorted(parts):
                with self._store.blobs.open(here[number]["sha256"]) as part:
                    for piece in iter(lambda: part.read(1 << 20), b""):
                        incoming.write(piece)
            self.put_file(file_id, incoming)
        with self._store.blob_lock:
            with self._store.writing() as connection:
                connection.execute(delete(artifact_part).where(artifact_part.c.file_id == file_id))
                unused = unused_digests(connection, {row["sha256"] for row in here.values()})
            for sha256 in unused:
                self._store.blobs.remove(sha256)
        return str(file["md5"])

    def put_manifest(self, manifest_id: int, incoming: Incoming) -> None:
        """Take the bytes of a manifest; UsageError if they are not what was announced."""
        query = select(artifact_manifest).where(artifact_manifest.c.id == manifest_id)
        blob = incoming.finish()
        with self._store.blob_lock, self._store.writing() as connection:
            row = connection.execute(query).one_or_none()
            if row is None:
                raise NotFound("The artifact of this manifest does not exist any more")
            if row.digest and _hex_digest(row.digest) != blob.md5:
                raise UsageError("The bytes of the manifest do not have the digest that was announced")
            self._store.blobs.keep(incoming, blob)
            connection.execute(
                update(artifact_manifest)
                .where(artifact_manifest.c.id == manifest_id)
                .values(sha256=blob.sha256, n_bytes=blob.n_bytes)
            )

    def commit(self, artifact_id: int) -> Row:
        """Let a version be seen.

        Raises:
            NotFound: there is no such version.
            UsageError: the manifest, or the bytes of some file, are not here.  Nothing was changed.
        """
        found = self.get(artifact_id)
        if found["state"] == COMMITTED:
            return found
        manifest = self._whole_manifest(found)
        contents: Mapping[str, Any] = manifest["contents"]
        with self._store.blobs.receive() as incoming, self._store.blob_lock:
            incoming.write(json.dumps(manifest, separators=(",", ":")).encode("utf-8", "surrogatepass"))
            blob = incoming.finish()
            with self._store.writing() as connection:
                row = self._locked(connection, artifact_id)
                if row["state"] == PENDING:
                    self._take_files(connection, artifact_id, contents)
                    if manifest["is_merged"]:
                        self._store.blobs.keep(incoming, blob)
                        insert_row(
                            connection,
                            artifact_manifest,
                            artifact_id=artifact_id,
                            kind=WHOLE,
                            digest=base64.b64encode(bytes.fromhex(blob.md5)).decode(),
                            sha256=blob.sha256,
                            n_bytes=blob.n_bytes,
                        )
                    digest = _digest(contents) if manifest["is_merged"] else row["digest"]
                    self._place(connection, row, contents, digest)
        return self.get(artifact_id)

    def _whole_manifest(self, found: Row) -> Dict[str, Any]:
        """The manifest as it is to count: with those of the base, or of the other clients."""
        query = select(artifact_manifest).where(
            (artifact_manifest.c.artifact_id == found["id"]) & artifact_manifest.c.sha256.is_not(None)
        )
        rows = self._all(query.order_by(artifact_manifest.c.id))
        if not rows:
            raise UsageError("The artifact has no manifest yet")
        kind = rows[-1]["kind"]
        if kind == FULL:
            rows = rows[-1:]
        parts = []
        for row in rows:
            if row["kind"] == kind:
                with self._store.blobs.open(row["sha256"]) as file:
                    parts.append(file.read(MAX_MANIFEST_BYTES))
        contents: Dict[str, Any] = {}
        if kind == INCREMENTAL:
            base = found["base_id"]
            if base is None:
                latest = self.latest(found["collection_id"])
                base = latest["id"] if latest is not None else None
            contents.update(self.entries(base) if base is not None else {})
        for part in parts:
            contents.update(_entries(part))
        manifest = json.loads(parts[-1])
        return {**manifest, "contents": contents, "is_merged": kind != FULL}

    @staticmethod
    def _take_files(connection: Connection, artifact_id: int, contents: Mapping[str, Any]) -> None:
        """See that the bytes of everything in the manifest are here, and note what has come with others."""
        query = select(artifact_file.c.path, artifact_file.c.md5, artifact_file.c.sha256)
        rows = connection.execute(query.where(artifact_file.c.artifact_id == artifact_id))
        here = {row.path: row for row in rows}
        missing = []
        for path, entry in contents.items():
            if entry.get("ref"):
                continue
            md5 = _hex_digest(str(entry.get("digest")))
            if path in here and here[path].sha256 is not None and here[path].md5 == md5:
                continue
            known = select(artifact_file).where(
                (artifact_file.c.md5 == md5) & artifact_file.c.sha256.is_not(None)
            )
            found = connection.execute(known.order_by(artifact_file.c.id).limit(1)).one_or_none()
            if found is None:
                missing.append(path)
                continue
            values = {**found._mapping, "artifact_id": artifact_id, "path": checked_file_path(path)}
            del values["id"]
            connection.execute(
                delete(artifact_file).where(
                    (artifact_file.c.artifact_id == artifact_id) & (artifact_file.c.path == path)
                )
            )
            connection.execute(insert(artifact_file).values(**values))
        if missing:
            raise UsageError(f"{len(missing)} files have not come yet, first {missing[0]!r}")

    @staticmethod
    def _place(
        connection: Connection, row: Mapping[str, Any], contents: Mapping[str, Any], digest: str
    ) -> None:
        """Give a version its number and its aliases."""
        collection_id = row["collection_id"]
        index = _next_index(connection, collection_id)
        now = time.time()
        sizes = [entry.get("size") for entry in contents.values()]
        values = {
            "state": COMMITTED,
            "digest": digest,
            "n_bytes": sum(size for size in sizes if isinstance(size, int)),
            "n_files": len(contents),
            "updated_at": now,
        }
        connection.execute(update(artifact).where(artifact.c.id == row["id"]).values(**values))
        connection.execute(
            insert(artifact_membership).values(
                collection_id=collection_id, version_index=index, artifact_id=row["id"], created_at=now
            )
        )
        _name(connection, collection_id, row["id"], [*json.loads(row["wanted_aliases"]), LATEST])
        connection.execute(
            update(artifact_collection)
            .where(artifact_collection.c.id == collection_id)
            .values(updated_at=now)
        )

    # -- what becomes of it ---------------------------------------------------------------------------------

    def use(self, artifact_id: int, key: RunKey, used_as: Optional[str]) -> Row:
        """Note that a run has used a version."""
        run_id = self._store.run(key)["id"]
        found = self.get(artifact_id)
        where = (artifact_use.c.run_id == run_id) & (artifact_use.c.artifact_id == artifact_id)
        with self._store.writing() as connection:
            if connection.execute(select(artifact_use).where(where)).one_or_none() is None:
                connection.execute(
                    insert(artifact_use).values(
                        run_id=run_id, artifact_id=artifact_id, used_as=used_as, used_at=time.time()
                    )
                )
        return found

    def change(self, artifact_id: int, fields: Mapping[str, Any]) -> Row:
        """Do what the `updateArtifact` mutation says; what it does not mention stays."""
        found = self.get(artifact_id)
        values: Row = {"updated_at": time.time()}
        if fields.get("description") is not None:
            values["description"] = fields["description"]
        if fields.get("metadata") is not None:
            values["metadata"] = checked_object(fields["metadata"], "metadata")
        if fields.get("ttlDurationSeconds") is not None:
            values["ttl_s"] = _ttl(fields["ttlDurationSeconds"])
        gone = set(tag_names(fields.get("tagsToDelete")))
        tags = [tag for tag in json.loads(found["tags"]) if tag not in gone]
        values["tags"] = json.dumps(list(dict.fromkeys([*tags, *tag_names(fields.get("tagsToAdd"))])))
        aliases = fields.get("aliases")
        with self._store.writing() as connection:
            connection.execute(update(artifact).where(artifact.c.id == artifact_id).values(**values))
            if aliases is not None and found["state"] == COMMITTED:
                wanted = [_checked_alias(one["alias"]) for one in aliases]
                here = artifact_alias.c.collection_id == found["collection_id"]
                own = artifact_alias.c.artifact_id == artifact_id
                dropped = artifact_alias.c.alias.not_in([*wanted, LATEST])
                connection.execute(delete(artifact_alias).where(here & own & dropped))
                _name(connection, found["collection_id"], artifact_id, wanted)
        return self.get(artifact_id)

    def delete(self, artifact_id: int, with_aliases: bool) -> Row:
        """Forget a version and what only it needs.

        Raises:
            UsageError: it has aliases, and they are not to go.
        """
        found = self.get(artifact_id)
        named = [row["alias"] for row in self.aliases(artifact_id=artifact_id) if row["alias"] != LATEST]
        if named and not with_aliases:
            raise UsageError(
                f"The artifact has the aliases {', '.join(named)}; it is not deleted without them"
            )
        with self._store.blob_lock:
            with self._store.writing() as connection:
                digests: Set[str] = set()
                files = select(artifact_file.c.id).where(artifact_file.c.artifact_id == artifact_id)
                parts = artifact_part.c.file_id.in_(files)
                digests.update(connection.scalars(select(artifact_part.c.sha256).where(parts)))
                connection.execute(delete(artifact_part).where(parts))
                for table in (artifact_file, artifact_manifest):
                    where = table.c.artifact_id == artifact_id
                    digests.update(filter(None, connection.scalars(select(table.c.sha256).where(where))))
                    connection.execute(delete(table).where(where))
                for table in (artifact_alias, artifact_membership, artifact_use):
                    connection.execute(delete(table).where(table.c.artifact_id == artifact_id))
                connection.execute(update(artifact).where(artifact.c.id == artifact_id).values(state=DELETED))
                _name_latest(connection, found["collection_id"])
                unused = unused_digests(connection, digests)
            for sha256 in unused:
                self._store.blobs.remove(sha256)
        return found

    def link(
        self, artifact_id: int, entity: str, project_name: str, portfolio: str, aliases: Iterable[str]
    ) -> Row:
        """Let a version be found in a portfolio too, which is made if need be; returns the membership."""
        found = self.get(artifact_id)
        if found["state"] != COMMITTED:
            raise UsageError("The artifact is not committed yet")
        aliases = [_checked_alias(alias) for alias in aliases]
        now = time.time()
        with self._store.writing() as connection:
            project_id = self._store.project_id(
                connection, checked_name("entity", entity), checked_name("project", project_name)
            )
            name = checked_collection_name(portfolio)
            where = (artifact_collection.c.project_id == project_id) & (artifact_collection.c.name == name)
            collection = connection.execute(select(artifact_collection).where(where)).one_or_none()
            if collection is None:
                values = {"project_id": project_id, "name": name, "type": found["type"], "kind": PORTFOLIO}
                collection_id = insert_row(
                    connection, artifact_collection, created_at=now, updated_at=now, **values
                )
            else:
                collection_id = collection.id
                if collection.kind != PORTFOLIO or collection.type != found["type"]:
                    raise UsageError(
                        f"{name!r} is a {collection.kind.lower()} of the type {collection.type!r}: a version "
                        f"of the type {found['type']!r} cannot be linked to it"
                    )
            here = (artifact_membership.c.collection_id == collection_id) & (
                artifact_membership.c.artifact_id == artifact_id
            )
            query = select(artifact_membership).where(here)
            if connection.execute(query).one_or_none() is None:
                connection.execute(
                    insert(artifact_membership).values(
                        collection_id=collection_id,
                        version_index=_next_index(connection, collection_id),
                        artifact_id=artifact_id,
                        created_at=now,
                    )
                )
            _name(connection, collection_id, artifact_id, aliases)
            _name_latest(connection, collection_id)
            return dict(connection.execute(query).one()._mapping)

    def unlink(self, artifact_id: int, collection_id: int) -> None:
        found = self.collection(collection_id)
        if found is None or found["kind"] != PORTFOLIO:
            raise NotFound("There is no such portfolio")
        with self._store.writing() as connection:
            for table in (artifact_alias, artifact_membership):
                here = (table.c.collection_id == collection_id) & (table.c.artifact_id == artifact_id)
                connection.execute(delete(table).where(here))
            _name_latest(connection, collection_id)

    def change_aliases(self, artifact_id: int, aliases: Sequence[Mapping[str, str]], *, add: bool) -> None:
        """Give a version aliases in collections that it is in, or take them away."""
        self.get(artifact_id)
        for one in aliases:
            where = (one["entityName"], one["projectName"], one["artifactCollectionName"])
            collection = self.find_collection(*where)
            if collection is None:
                raise NotFound(f"There is no collection {'/'.join(where)}")
            alias = _checked_alias(one["alias"])
            with self._store.writing() as connection:
                if add:
                    _name(connection, collection["id"], artifact_id, [alias])
                else:
                    here = (artifact_alias.c.collection_id == collection["id"]) & (
                        artifact_alias.c.artifact_id == artifact_id
                    )
                    connection.execute(delete(artifact_alias).where(here & (artifact_alias.c.alias == alias)))

    def change_collection(self, collection_id: int, values: Mapping[str, Any]) -> Row:
        """Change name, description, type or tags of a collection."""
        if self.collection(collection_id) is None:
            raise NotFound("There is no such collection")
        values = {name: value for name, value in values.items() if value is not None}
        if "name" in values:
            checked_collection_name(values["name"])
        if "type" in values:
            _checked_type(values["type"])
        try:
            with self._store.writing() as connection:
                connection.execute(
                    update(artifact_collection)
                    .where(artifact_collection.c.id == collection_id)
                    .values(updated_at=time.time(), **values)
                )
        except IntegrityError:
            raise UsageError(f"There is a collection {values.get('name')!r} already") from None
        found = self.collection(collection_id)
        assert found is not None
        return found

    def delete_collection(self, collection_id: int) -> Row:
        """Forget a collection; the versions of a sequence go with it."""
        found = self.collection(collection_id)
        if found is None:
            raise NotFound("There is no such collection")
        if found["kind"] == SEQUENCE:
            query = select(artifact.c.id).where(artifact.c.collection_id == collection_id)
            for row in self._all(query.where(artifact.c.state != DELETED)):
                self.delete(row["id"], with_aliases=True)
        with self._store.writing() as connection:
            for table in (artifact_alias, artifact_membership):
                connection.execute(delete(table).where(table.c.collection_id == collection_id))
            if found["kind"] == PORTFOLIO:
                connection.execute(
                    delete(artifact_collection).where(artifact_collection.c.id == collection_id)
                )
            else:  # its versions, which are no more, still say where they were
                connection.execute(
                    update(artifact_collection)
                    .where(artifact_collection.c.id == collection_id)
                    .values(name=f"{found['name'][:100]} (deleted {collection_id})")
                )
        return found

    # -- bytes ----------------------------------------------------------------------------------------------

    def open_file(self, file_id: int) -> Tuple[Row, BinaryIO]:
        """A file's row and bytes; NotFound if there are none."""
        return self._open(self._one(select(artifact_file).where(artifact_file.c.id == file_id)))

    def open_manifest(self, manifest_id: int) -> Tuple[Row, BinaryIO]:
        """A manifest's row and bytes; NotFound if there are none."""
        row = self._one(select(artifact_manifest).where(artifact_manifest.c.id == manifest_id))
        return self._open({**row, "path": "wandb_manifest.json"} if row is not None else None)

    def open_by_md5(self, md5: str) -> Tuple[Row, BinaryIO]:
        """The bytes that have an MD5, as one of the files that they are."""
        query = select(artifact_file).where(
            (artifact_file.c.md5 == md5) & artifact_file.c.sha256.is_not(None)
        )
        return self._open(self._one(query.limit(1)))

    def _open(self, row: Optional[Row]) -> Tuple[Row, BinaryIO]:
        if row is None or row["sha256"] is None:
            raise NotFound("There is no such file")
        try:
            with self._store.blob_lock:
                return row, self._store.blobs.open(row["sha256"])
        except FileNotFoundError:
            raise NotFound(f"The bytes of {row['path']!r} are gone from the server's disk") from None

    # -- small things ---------------------------------------------------------------------------------------

    def _pending(self, connection: Connection, artifact_id: int) -> None:
        """UsageError if a version is not one that files can be added to."""
        state = self._locked(connection, artifact_id)["state"]
        if state != PENDING:
            raise UsageError(f"The artifact is {state.lower()}: nothing can be added to it")

    @staticmethod
    def _locked(connection: Connection, artifact_id: int) -> Mapping[str, Any]:
        query = select(artifact).where(artifact.c.id == artifact_id).with_for_update()
        found = connection.execute(query).one_or_none()
        if found is None or found.state == DELETED:
            raise NotFound("There is no such artifact")
        return dict(found._mapping)

    def _one(self, query: Select[Any]) -> Optional[Row]:
        found = self._all(query)
        return found[0] if found else None

    def _all(self, query: Select[Any]) -> List[Row]:
        with self._store.reading() as connection:
            return [dict(row._mapping) for row in connection.execute(query)]


def checked_collection_name(name: str) -> str:
    """The name of a collection as it came, or UsageError."""
    if ":" in name:
        raise UsageError(f"The artifact name {name!r} has a colon, which begins an alias")
    return checked_name("artifact name", name)


def _checked_type(type: str) -> str:
    if not type or len(type) > 128 or ":" in type or "/" in type:
        raise UsageError(f"The artifact type {type!r} is empty, too long or has one of : and /")
    return type


def _checked_alias(alias: str) -> str:
    if not alias or len(alias) > 128 or ":" in alias or "/" in alias:
        raise UsageError(f"The alias {alias!r} is empty, too long or has one of : and /")
    return alias


def tag_names(tags: Optional[Iterable[Mapping[str, Any]]]) -> List[str]:
    """The names of a mutation's tags, each once."""
    return list(dict.fromkeys(str(tag["tagName"]) for tag in tags or ()))


def _ttl(seconds: Optional[int]) -> Optional[int]:
    """A time to live in seconds; None for ever, which clients say as 0 (as inherited) and -1."""
    return seconds if seconds is not None and seconds > 0 else None


def _hex_digest(text: str) -> str:
    """A digest in base64 as hex."""
    try:
        return base64.b64decode(text, validate=True).hex()
    except (binascii.Error, ValueError):
        raise UsageError(f"{text[:80]!r} is not base64") from None


def _entries(manifest: bytes) -> Dict[str, Any]:
    try:
        contents = json.loads(manifest)["contents"]
        if not all(isinstance(entry, dict) and "digest" in entry for entry in contents.values()):
            raise ValueError("an entry has no digest")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise UsageError(f"The manifest cannot be understood: {error}") from None
    return dict(contents)


def _digest(contents: Mapping[str, Any]) -> str:
    """The digest of an artifact with these files, as clients work it out."""
    md5 = hashlib.md5(b"wandb-artifact-manifest-v1\n", usedforsecurity=False)
    for path in sorted(contents, key=lambda path: path.encode("utf-8", "surrogatepass")):
        md5.update(f"{path}:{contents[path]['digest']}\n".encode("utf-8", "surrogatepass"))
    return md5.hexdigest()


def _next_index(connection: Connection, collection_id: int) -> int:
    """Take the number of a collection's next version; that of a deleted one is never used again."""
    here = artifact_collection.c.id == collection_id
    index = int(connection.scalar(select(artifact_collection.c.next_index).where(here)) or 0)
    connection.execute(update(artifact_collection).where(here).values(next_index=index + 1))
    return index


def _name(connection: Connection, collection_id: int, artifact_id: int, aliases: Iterable[str]) -> None:
    """Give a version aliases; another one that has them loses them.  `vN` is nothing to be given."""
    for alias in dict.fromkeys(alias for alias in aliases if not _VERSION.fullmatch(alias)):
        where = (artifact_alias.c.collection_id == collection_id) & (artifact_alias.c.alias == alias)
        if connection.execute(select(artifact_alias).where(where)).one_or_none() is None:
            connection.execute(
                insert(artifact_alias).values(
                    collection_id=collection_id, alias=alias, artifact_id=artifact_id
                )
            )
        else:
            connection.execute(update(artifact_alias).where(where).values(artifact_id=artifact_id))


def _name_latest(connection: Connection, collection_id: int) -> None:
    """Let `latest` be the newest version that there is, if that which it was is gone."""
    where = (artifact_alias.c.collection_id == collection_id) & (artifact_alias.c.alias == LATEST)
    if connection.execute(select(artifact_alias).where(where)).one_or_none() is None:
        newest = connection.scalar(
            select(artifact_membership.c.artifact_id)
            .where(artifact_membership.c.collection_id == collection_id)
            .order_by(artifact_membership.c.version_index.desc())
            .limit(1)
        )
        if newest is not None:
            _name(connection, collection_id, newest, [LATEST])
