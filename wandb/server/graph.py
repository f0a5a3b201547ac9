"""/graphql: the schema, and what answers its questions.

A field is answered by the attribute or method of its name in the object that answers the field above
(graphql-core's default); the names here are therefore GraphQL's.

Rule: no SQL here; what the store raises as UsageError becomes a GraphQL error with that text.
"""

from __future__ import annotations

import fnmatch
import json
import mimetypes
from base64 import b64encode
from functools import lru_cache
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Union
from urllib.parse import quote

from graphql import (
    DocumentNode,
    ExecutionResult,
    GraphQLError,
    GraphQLSchema,
    build_schema,
    execute,
    parse,
    validate,
)

from wandb.errors import UsageError
from wandb.server.access import Access
from wandb.server.answers import connection, iso_time, payload
from wandb.server.artifact_graph import (
    Artifact,
    ArtifactQuestions,
    ArtifactType,
    Collection,
    Membership,
    collection_page,
)
from wandb.server.artifacts import Artifacts
from wandb.server.names import checked_file_path, run_id_of, storage_id
from wandb.server.store import RunKey, Store, current_state
from wandb.version import __version__

# Which of the features that clients ask for we have.
FEATURES = (
    "FILESTREAM_GZIP",
    "STRUCTURED_CONSOLE_LOGS",
    "ARTIFACT_TAGS",
    "ARTIFACT_COLLECTION_MEMBERSHIP_FILES",
    "ARTIFACT_MEMBERSHIP_IN_LINK_ARTIFACT_RESPONSE",
    "PROJECT_ARTIFACT_COLLECTION_MEMBERSHIP",
    "TOTAL_COUNT_IN_FILE_CONNECTION",
    "USE_ARTIFACT_WITH_ENTITY_AND_PROJECT_INFORMATION",
)

N_TAIL_LINES = 10

SCHEMA: GraphQLSchema = build_schema(Path(__file__).with_name("schema.graphql").read_text(encoding="utf-8"))


def answer(
    store: Store,
    access: Access,
    base_url: str,
    query: str,
    variables: Optional[Dict[str, Any]],
    operation: Optional[str],
) -> Dict[str, Any]:
    """Execute one request and return the JSON body of its answer.

    Args:
        base_url: how the client reaches us, for the addresses in the answer.
    """
    document = _document(query)
    if isinstance(document, list):
        return {"errors": [error.formatted for error in document]}
    result = execute(
        SCHEMA, document, Root(store, access, base_url), variable_values=variables, operation_name=operation
    )
    assert isinstance(result, ExecutionResult)
    body: Dict[str, Any] = {"data": result.data}
    if result.errors:
        body["errors"] = [_without_internals(error) for error in result.errors]
    return body


@lru_cache(maxsize=256)  # clients repeat a handful of texts
def _document(query: str) -> Union[DocumentNode, List[GraphQLError]]:
    try:
        document = parse(query)
    except GraphQLError as error:
        return [error]
    except RecursionError:
        return [GraphQLError("The query is nested too deeply.")]
    return validate(SCHEMA, document) or document


def _without_internals(error: GraphQLError) -> Any:
    original = error.original_error
    if original is not None and not isinstance(original, (UsageError, GraphQLError)):
        raise original  # our own fault: an answer of status 500, which clients try again
    return error.formatted


class Root(ArtifactQuestions):
    """Query and Mutation."""

    def __init__(self, store: Store, access: Access, base_url: str) -> None:
        self.store = store
        self.artifacts = Artifacts(store)
        self.access = access
        self.base_url = base_url

    # -- queries --------------------------------------------------------------------------------------------

    def viewer(self, info: Any) -> Dict[str, Any]:
        entity = self.store.default_entity
        return {
            "id": storage_id("User", 1),
            "entity": entity,
            "username": entity,
            "name": entity,
            "email": "",
            "admin": True,
            "flags": "{}",
            "teams": lambda info, first=None: {"edges": [{"node": _entity(entity)}]},
        }

    def serverInfo(self, info: Any) -> Dict[str, Any]:
        return {
            "cliVersionInfo": {"max_cli_version": "999.0.0"},
            "latestLocalVersionInfo": {
                "outOfDate": False,
                "latestVersionString": __version__,
                "versionOnThisInstanceString": __version__,
            },
            "features": [{"name": name, "isEnabled": True} for name in FEATURES],
        }

    def entity(self, info: Any, name: Optional[str] = None) -> Dict[str, Any]:
        return _entity(name or self.store.default_entity)

    def project(self, info: Any, name: Optional[str] = None, entityName: Optional[str] = None) -> Project:
        return Project(self, entityName or self.store.default_entity, name or "uncategorized")

    model = project

    def run_of(self, run_id: Optional[int]) -> Optional[Run]:
        """A run by its number; None if it is gone."""
        row = self.store.run_by_number(run_id) if run_id is not None else None
        return Run(self, row) if row is not None else None

    def projects(
        self,
        info: Any,
        entityName: Optional[str] = None,
        first: Optional[int] = None,
        after: Optional[str] = None,
        order: Optional[str] = None,
    ) -> Dict[str, Any]:
        found = [row for row in self.store.projects() if entityName in (None, row["entity"])]
        return connection([Project(self, row["entity"], row["name"]) for row in found], first, after)

    models = projects

    # -- mutations ------------------------------------------------------------------------------------------

    def upsertBucket(self, info: Any, input: Dict[str, Any]) -> Dict[str, Any]:
        row, inserted = self.store.upsert_run(input)
        return payload(input, bucket=Run(self, row), inserted=inserted)

    def createRunFiles(self, info: Any, input: Dict[str, Any]) -> Dict[str, Any]:
        row = self.store.run(self._key(input, input["runName"]))
        files = [
            {
                "name": path,
                "uploadUrl": self.base_url + self.access.upload_path(row["id"], checked_file_path(path)),
            }
            for path in input["files"]
        ]
        return payload(input, runID=storage_id("Run", row["id"]), uploadHeaders=[], files=files)

    def rewindRun(self, info: Any, input: Dict[str, Any]) -> Dict[str, Any]:
        if input["metricName"] != "_step":
            raise UsageError("A run can be rewound by _step only")
        row = self.store.rewind(self._key(input, input["runName"]), input["metricValue"])
        return payload(input, rewoundRun=Run(self, row))

    def notifyScriptableRunAlert(self, info: Any, input: Dict[str, Any]) -> Dict[str, Any]:
        key = self._key(input, input["runName"])
        wait_ms = input.get("waitDuration")
        if wait_ms is not None and not (type(wait_ms) in (int, float) and 0 <= wait_ms < 2**53):
            raise UsageError("`waitDuration` is not a number of milliseconds")
        self.store.add_alert(key, input["title"], input["text"], input.get("severity") or "INFO", wait_ms)
        return payload(input, success=True)

    def stopRun(self, info: Any, input: Dict[str, Any]) -> Dict[str, Any]:
        self.store.request_stop(run_id_of(input["id"]))
        return payload(input, success=True)

    def deleteRun(self, info: Any, input: Dict[str, Any]) -> Dict[str, Any]:
        run_id = run_id_of(input["id"])
        made = self.artifacts.of_run(run_id) if input.get("deleteArtifacts") else []
        self.store.delete_run(run_id)
        for row in made:
            self.artifacts.delete(row["id"], with_aliases=True)
        return payload(input, success=True)

    def _key(self, input: Mapping[str, Any], run: str) -> RunKey:
        entity = input.get("entityName") or self.store.default_entity
        return RunKey(entity, input.get("projectName") or "uncategorized", run)


class Project:
    """A project by its name: it need not exist, as `model(...) { bucket }` of a first run does not."""

    def __init__(self, root: Root, entity: str, name: str, number: Optional[int] = None) -> None:
        self._root = root
        self._number = number
        self.entityName = entity
        self.name = name

    def _row(self) -> Dict[str, Any]:
        for row in self._root.store.projects():
            if (row["entity"], row["name"]) == (self.entityName, self.name):
                return row
        return {"id": 0, "created_at": 0.0, "n_runs": 0}

    def id(self, info: Any) -> str:
        return storage_id("Project", self._row()["id"] if self._number is None else self._number)

    def entity(self, info: Any) -> Dict[str, Any]:
        return _entity(self.entityName)

    def createdAt(self, info: Any) -> Optional[str]:
        return iso_time(self._row()["created_at"])

    def runCount(self, info: Any) -> int:
        return int(self._row()["n_runs"])

    def bucket(
        self, info: Any, name: str, missingOk: bool = False, desc: Optional[str] = None
    ) -> Optional[Run]:
        key = RunKey(self.entityName, self.name, name)
        row = self._root.store.find_run(key) if missingOk else self._root.store.run(key)
        return Run(self._root, row) if row is not None else None

    def run(self, info: Any, name: str) -> Optional[Run]:
        return self.bucket(info, name, missingOk=True)

    def runs(self, info: Any, first: Optional[int] = None, after: Optional[str] = None) -> Dict[str, Any]:
        rows = self._root.store.runs(self.entityName, self.name)
        return {"totalCount": len(rows), **connection([Run(self._root, row) for row in rows], first, after)}

    buckets = runs

    def internalId(self, info: Any) -> str:
        return self.id(info)

    def readOnly(self, info: Any) -> bool:
        return False

    # -- artifacts ------------------------------------------------------------------------------------------

    def artifactTypes(
        self, info: Any, first: Optional[int] = None, after: Optional[str] = None
    ) -> Dict[str, Any]:
        types = self._root.artifacts.types(self.entityName, self.name)
        return connection([ArtifactType(self._root, self, row) for row in types], first, after)

    def artifactType(self, info: Any, name: str) -> Optional[ArtifactType]:
        types = self._root.artifacts.types(self.entityName, self.name)
        return next((ArtifactType(self._root, self, row) for row in types if row["name"] == name), None)

    def artifactCollections(
        self,
        info: Any,
        first: Optional[int] = None,
        after: Optional[str] = None,
        filters: Optional[str] = None,
        order: Optional[str] = None,
    ) -> Dict[str, Any]:
        rows = self._root.artifacts.collections(self.entityName, self.name)
        return collection_page(self._root, rows, first, after, filters, order)

    def artifactCollection(self, info: Any, name: str) -> Optional[Collection]:
        row = self._root.artifacts.find_collection(self.entityName, self.name, name)
        return Collection(self._root, row) if row is not None else None

    def artifactCollectionMembership(self, info: Any, name: str) -> Optional[Membership]:
        row = self._root.artifacts.membership(self.entityName, self.name, name)
        return Membership(self._root, row) if row is not None else None

    def artifact(self, info: Any, name: str) -> Optional[Artifact]:
        found = self.artifactCollectionMembership(info, name)
        return found.artifact(info) if found is not None else None


class Run:
    """A run's row, and what has to be looked up only if asked for."""

    def __init__(self, root: Root, row: Dict[str, Any]) -> None:
        self._root = root
        self._row = row
        self.__typename = "Run"  # for the union of whoever creates artifacts
        self.id = storage_id("Run", row["id"])
        self.name = row["name"]
        self.displayName = row["display_name"]
        self.description = row["description"]
        self.notes = row["notes"]
        self.group = row["group_name"]
        self.jobType = row["job_type"]
        self.tags = row["tags"]
        self.host = row["host"]
        self.program = row["program"]
        self.commit = row["commit"]
        self.repo = row["repo"]
        self.sweepName = row["sweep"]
        self.state = current_state(row)
        self.stopped = row["stop_requested"]
        self.exitcode = row["exitcode"]
        self.config = row["config"]
        self.summaryMetrics = row["summary"]
        self.createdAt = iso_time(row["created_at"])
        self.updatedAt = iso_time(row["updated_at"])
        self.heartbeatAt = iso_time(row["heartbeat_at"])
        self.entityName = row["entity"]
        self.projectId = row["project_id"]
        self.historyLineCount = row["history_lines"]
        self.eventsLineCount = row["events_lines"]
        self.logLineCount = row["console_lines"]

    def project(self, info: Any) -> Project:
        return Project(self._root, self._row["entity"], self._row["project"], self._row["project_id"])

    def wandbConfig(self, info: Any, keys: Optional[Sequence[str]] = None) -> str:
        config = json.loads(self._row["config"])
        kept = config.get("_wandb") if isinstance(config, dict) else None
        value = kept.get("value") if isinstance(kept, dict) else None
        found = value if isinstance(value, dict) else {}
        return json.dumps(found if keys is None else {key: found[key] for key in keys if key in found})

    def historyTail(self, info: Any) -> str:
        return self._tail("history", self._row["history_lines"])

    def eventsTail(self, info: Any) -> str:
        return self._tail("events", self._row["events_lines"])

    def _tail(self, stream: str, n_lines: int) -> str:
        parts = self._root.store.line_range(self._row["id"], stream, max(0, n_lines - N_TAIL_LINES))
        return json.dumps([line for _, lines in parts for line in lines])

    def fileCount(self, info: Any) -> int:
        return len(self._root.store.files(self._row["id"]))

    def files(
        self,
        info: Any,
        names: Optional[Sequence[Optional[str]]] = None,
        pattern: Optional[str] = None,
        first: Optional[int] = None,
        after: Optional[str] = None,
        upload: Optional[bool] = None,
    ) -> Dict[str, Any]:
        stored = {row["path"]: row for row in self._root.store.files(self._row["id"])}
        if names:
            wanted = [name for name in names if name]
        else:
            like = (pattern or "%").replace("%", "*")  # SQL's wildcard, as clients send it
            wanted = [path for path in stored if fnmatch.fnmatchcase(path, like)]
        files = [File(self._root, self._row, checked_file_path(path), stored.get(path)) for path in wanted]
        page = connection(files, first if first is not None else len(files), after)
        return {"totalCount": len(files), "uploadHeaders": [], **page}

    def readOnly(self, info: Any) -> bool:
        return False

    def user(self, info: Any) -> Dict[str, Any]:
        return self._root.viewer(info)

    def outputArtifacts(
        self, info: Any, first: Optional[int] = None, after: Optional[str] = None
    ) -> Dict[str, Any]:
        rows = self._root.artifacts.of_run(self._row["id"])
        nodes = [Artifact(self._root, row) for row in rows]
        return {"totalCount": len(rows), **connection(nodes, first, after)}

    def inputArtifacts(
        self, info: Any, first: Optional[int] = None, after: Optional[str] = None
    ) -> Dict[str, Any]:
        rows = self._root.artifacts.used_by_run(self._row["id"])
        nodes = [Artifact(self._root, row) for row in rows]
        return {"totalCount": len(rows), **connection(nodes, first, after)}


class File:
    def __init__(
        self, root: Root, run: Mapping[str, Any], path: str, row: Optional[Mapping[str, Any]]
    ) -> None:
        self._root = root
        self._run = run
        self.id = f"{storage_id('Run', run['id'])}:{path}"
        self.name = self.displayName = path
        self.sizeBytes = row["n_bytes"] if row else 0
        self.md5 = b64encode(bytes.fromhex(row["md5"])).decode() if row else None
        self.mimetype = mimetypes.guess_type(path)[0]
        self.updatedAt = iso_time(row["uploaded_at"]) if row else None

    def url(self, info: Any, upload: Optional[bool] = False) -> str:
        if upload:
            return self._root.base_url + self._root.access.upload_path(self._run["id"], self.name)
        names = (self._run["entity"], self._run["project"], self._run["name"])
        folder = "/".join(quote(name, safe="") for name in names)
        return f"{self._root.base_url}/files/{folder}/{quote(self.name)}"

    def directUrl(self, info: Any) -> str:
        return self.url(info)


def _entity(name: str) -> Dict[str, Any]:
    return {"id": storage_id("Entity", 1), "name": name, "isTeam": False, "organization": None}
