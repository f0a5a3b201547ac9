"""The server's protocol: what we ask, and what of the answer we use.  Spec: schema/server/PROTOCOL.md.

Rule 1: functions here build requests and read answers; they send nothing and remember nothing.
Rule 2: a GraphQL error with status 200 is final: RejectedError, or AuthenticationError if that is what it
        says.
"""

from __future__ import annotations

import json
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple
from urllib.parse import quote

from wandb.errors import AuthenticationError, RejectedError
from wandb_sync.transport.base import UPLOAD, Request, Response

FILE_STREAM = "file_stream"  # the operation of a post of lines
FILE_STREAM_TIMEOUT_S = 180.0  # a body is up to ~12 MB; the real client waits as long
FILES_PER_PAGE = 500
UPLOAD_TIMEOUT_S = 300.0  # of silence; a file may be of any size
_JSON_HEADERS = {"Content-Type": "application/json"}

_BUCKET = """
    id
    name
    displayName
    historyLineCount
    project { name entity { name } }
"""

_PROGRESS = """
      id
      name
      displayName
      summaryMetrics
      logLineCount
      historyLineCount
      eventsLineCount
      historyTail
      eventsTail
      config
      tags
      notes
      wandbConfig(keys: ["t"])
"""

_QUERIES = {
    "Viewer": "query Viewer { viewer { id entity username email flags teams { edges { node { name } } } } }",
    "ServerFeaturesQuery": "query ServerFeaturesQuery { serverInfo { features { name isEnabled } } }",
    "UpsertBucket": """
mutation UpsertBucket(
  $id: String, $name: String, $project: String, $entity: String, $groupName: String, $description: String,
  $displayName: String, $notes: String, $commit: String, $config: JSONString, $host: String, $debug: Boolean,
  $program: String, $repo: String, $jobType: String, $state: String, $sweep: String, $tags: [String!],
  $summaryMetrics: JSONString
) {
  upsertBucket(input: {
    id: $id, name: $name, modelName: $project, entityName: $entity, groupName: $groupName,
    description: $description, displayName: $displayName, notes: $notes, commit: $commit, config: $config,
    host: $host, debug: $debug, jobProgram: $program, jobRepo: $repo, jobType: $jobType, state: $state,
    sweep: $sweep, tags: $tags, summaryMetrics: $summaryMetrics
  }) {
    bucket {%s}
    inserted
  }
}"""
    % _BUCKET,
    "RunResumeStatus": """
query RunResumeStatus($project: String, $entity: String, $name: String!) {
  model(name: $project, entityName: $entity) {
    id
    name
    entity { id name }
    bucket(name: $name, missingOk: true) {%s}
  }
}"""
    % _PROGRESS,
    "RunFiles": """
query RunFiles($project: String!, $entity: String, $name: String!, $after: String, $first: Int) {
  project(name: $project, entityName: $entity) {
    run(name: $name) {
      state
      files(after: $after, first: $first) {
        edges { node { name sizeBytes md5 } }
        pageInfo { endCursor hasNextPage }
      }
    }
  }
}""",
    "RunFile": """
query RunFile($project: String!, $entity: String, $name: String!, $files: [String]!) {
  project(name: $project, entityName: $entity) {
    run(name: $name) { files(names: $files) { edges { node { name directUrl md5 } } } }
  }
}""",
    "UpsertSweep": """
mutation UpsertSweep(
  $config: String, $entityName: String, $projectName: String, $priorRunsFilters: JSONString
) {
  upsertSweep(input: {
    config: $config, entityName: $entityName, projectName: $projectName, priorRunsFilters: $priorRunsFilters
  }) {
    sweep { name project { name entity { name } } }
    configValidationWarnings
  }
}""",
    "RewindRun": """
mutation RewindRun(
  $entity: String, $project: String, $runName: String!, $metricName: String!, $metricValue: Float!
) {
  rewindRun(input: {
    entityName: $entity, projectName: $project, runName: $runName, metricName: $metricName,
    metricValue: $metricValue
  }) {
    rewoundRun {%s}
  }
}"""
    % _PROGRESS,
    "CreateRunFiles": """
mutation CreateRunFiles($entity: String!, $project: String!, $run: String!, $files: [String!]!) {
  createRunFiles(input: {entityName: $entity, projectName: $project, runName: $run, files: $files}) {
    runID
    uploadHeaders
    files { name uploadUrl }
  }
}""",
    "NotifyScriptableRunAlert": """
mutation NotifyScriptableRunAlert(
  $entityName: String!, $projectName: String!, $runName: String!, $title: String!, $text: String!,
  $severity: AlertSeverity, $waitDuration: Duration
) {
  notifyScriptableRunAlert(input: {
    entityName: $entityName, projectName: $projectName, runName: $runName, title: $title, text: $text,
    severity: $severity, waitDuration: $waitDuration
  }) { success }
}""",
}

_UPSERT_VARIABLES = (
    "id name project entity groupName description displayName notes commit config host debug program repo "
    "jobType state sweep tags summaryMetrics"
).split()


class Bucket(NamedTuple):
    """What the server calls the run, and whether it had to make it."""

    id: str
    entity: str
    project: str
    name: str
    display_name: str
    inserted: bool


class ResumeStatus(NamedTuple):
    """How far the server is with a run: number of lines per stream, last step and its time, what it keeps."""

    id: str
    n_history: int
    n_events: int
    n_console: int
    last_step: Optional[int]
    runtime_s: float
    summary: Dict[str, Any]
    config: Dict[str, Any]
    tags: Optional[List[str]]
    notes: str
    last_row_at_s: float  # 0.0 if unknown


class StoredFile(NamedTuple):
    """A file that the server has; `md5` in base64, empty if it does not say."""

    n_bytes: int
    md5: str


class FilesPage(NamedTuple):
    """Some of the files that the server has of a run, the run's state there, and where the others begin."""

    state: str
    files: Dict[str, StoredFile]
    after: str  # empty: there are no others


class Upload(NamedTuple):
    """Where one file goes."""

    path: str
    url: str
    headers: Mapping[str, str]


def viewer() -> Request:
    return _graphql("Viewer", None)


def server_features() -> Request:
    return _graphql("ServerFeaturesQuery", None)


def read_features(response: Response) -> Mapping[str, bool]:
    """Return the server's features by name.  A server that does not know the question has none."""
    try:
        features = _data(response, "ServerFeaturesQuery")["serverInfo"]["features"]
        return {str(feature["name"]): bool(feature["isEnabled"]) for feature in features}
    except AuthenticationError:
        raise
    except (RejectedError, KeyError, TypeError):
        return {}


def upsert_bucket(**variables: Any) -> Request:
    """Create or change a run.  What is not given is sent as null: the server leaves it as it is."""
    unknown = set(variables) - set(_UPSERT_VARIABLES)
    assert not unknown, f"not variables of UpsertBucket: {unknown}"
    request = _graphql("UpsertBucket", {name: variables.get(name) for name in _UPSERT_VARIABLES})
    return request._replace(retry_conflict=True)


def read_bucket(response: Response) -> Bucket:
    answer = _data(response, "UpsertBucket").get("upsertBucket") or {}
    bucket = answer.get("bucket")
    if not isinstance(bucket, dict) or not bucket.get("name"):
        raise RejectedError("UpsertBucket: the server's answer holds no run", status=response.status)
    project = bucket.get("project") or {}
    return Bucket(
        id=str(bucket.get("id") or ""),
        entity=str((project.get("entity") or {}).get("name") or ""),
        project=str(project.get("name") or ""),
        name=str(bucket["name"]),
        display_name=str(bucket.get("displayName") or ""),
        inserted=bool(answer.get("inserted")),
    )


def run_resume_status(entity: str, project: str, run_id: str) -> Request:
    variables = {"project": project or None, "entity": entity or None, "name": run_id}
    return _graphql("RunResumeStatus", variables)


def read_resume_status(response: Response) -> Optional[ResumeStatus]:
    """Return how far the server is; None if it does not know the run."""
    model = _data(response, "RunResumeStatus").get("model") or {}
    bucket = model.get("bucket")
    return _progress(bucket) if bucket else None


def run_files(entity: str, project: str, run_id: str, after: str = "") -> Request:
    variables = {"entity": entity or None, "project": project, "name": run_id}
    return _graphql("RunFiles", {**variables, "after": after or None, "first": FILES_PER_PAGE})


def read_files(response: Response) -> FilesPage:
    """Return what the server has of a run's files.

    Raises:
        RejectedError: It does not know the run.
    """
    run = (_data(response, "RunFiles").get("project") or {}).get("run")
    if not run:
        raise RejectedError("RunFiles: the server does not know the run", status=response.status)
    found = {}
    connection = run.get("files") or {}
    for edge in connection.get("edges") or ():
        node = edge.get("node") or {}
        found[str(node.get("name"))] = StoredFile(int(node.get("sizeBytes") or 0), str(node.get("md5") or ""))
    page = connection.get("pageInfo") or {}
    after = str(page.get("endCursor") or "") if page.get("hasNextPage") else ""
    return FilesPage(str(run.get("state") or ""), found, after)


def run_file(entity: str, project: str, run_id: str, path: str) -> Request:
    variables = {"entity": entity or None, "project": project, "name": run_id, "files": [path]}
    return _graphql("RunFile", variables)


def read_run_file(response: Response, path: str) -> str:
    """Return where one file of a run can be fetched; "" if the server does not have it.

    Raises:
        RejectedError: It does not know the run.
    """
    run = (_data(response, "RunFile").get("project") or {}).get("run")
    if not run:
        raise RejectedError("RunFile: the server does not know the run", status=response.status)
    for edge in (run.get("files") or {}).get("edges") or ():
        node = edge.get("node") or {}
        if node.get("name") == path and node.get("md5") not in (None, "", "0"):
            return str(node.get("directUrl") or "")
    return ""


def upsert_sweep(config: str, entity: str, project: str, prior_runs: Sequence[str] = ()) -> Request:
    """Create a sweep.

    Args:
        config: The sweep's configuration, as YAML or JSON.
        prior_runs: Runs that it takes over.
    """
    filters = json.dumps({"$or": [{"name": run} for run in prior_runs]}) if prior_runs else None
    variables = {"config": config, "entityName": entity or None, "projectName": project or None}
    return _graphql("UpsertSweep", {**variables, "priorRunsFilters": filters})


def rewind_run(entity: str, project: str, run_id: str, step: float) -> Request:
    """Drop the rows behind a step."""
    variables = {
        "entity": entity or None,
        "project": project or None,
        "runName": run_id,
        "metricName": "_step",
        "metricValue": step,
    }
    return _graphql("RewindRun", variables)


def read_rewound(response: Response) -> ResumeStatus:
    """Return how far the server is after a rewind."""
    bucket = (_data(response, "RewindRun").get("rewindRun") or {}).get("rewoundRun")
    if not bucket:
        raise RejectedError("RewindRun: the server's answer holds no run", status=response.status)
    return _progress(bucket)


def _progress(bucket: Mapping[str, Any]) -> ResumeStatus:
    summary = _json_dict(bucket.get("summaryMetrics"))
    last_row = _last_line(bucket.get("historyTail"))
    step = last_row.get("_step", summary.get("_step"))
    runtimes = (
        last_row.get("_runtime"),
        _last_line(bucket.get("eventsTail")).get("_runtime"),
        summary.get("_runtime"),
        (summary.get("_wandb") or {}).get("runtime"),
    )
    return ResumeStatus(
        id=str(bucket.get("id") or ""),
        n_history=int(bucket.get("historyLineCount") or 0),
        n_events=int(bucket.get("eventsLineCount") or 0),
        n_console=int(bucket.get("logLineCount") or 0),
        last_step=int(step) if isinstance(step, (int, float)) else None,
        runtime_s=max((float(s) for s in runtimes if isinstance(s, (int, float))), default=0.0),
        summary=summary,
        config=_json_dict(bucket.get("config")),
        tags=bucket.get("tags"),
        notes=str(bucket.get("notes") or ""),
        last_row_at_s=float(at) if isinstance(at := last_row.get("_timestamp"), (int, float)) else 0.0,
    )


def create_run_files(entity: str, project: str, run_id: str, paths: Sequence[str]) -> Request:
    variables = {"entity": entity, "project": project, "run": run_id, "files": list(paths)}
    return _graphql("CreateRunFiles", variables)


def read_uploads(response: Response, paths: Sequence[str]) -> List[Upload]:
    """Return where the files go, in the order of `paths`.

    Raises:
        RejectedError: The server did not answer for every file.
    """
    answer = _data(response, "CreateRunFiles").get("createRunFiles") or {}
    headers = dict(header(text) for text in answer.get("uploadHeaders") or ())
    urls = {str(file.get("name")): file.get("uploadUrl") for file in answer.get("files") or ()}
    missing = [path for path in paths if not urls.get(path)]
    if missing:
        raise RejectedError(
            f"CreateRunFiles: no upload URL for {len(missing)} of {len(paths)} files, first {missing[0]!r}",
            status=response.status,
        )
    return [Upload(path, str(urls[path]), headers) for path in paths]


def upload(where: Upload, body: Any) -> Request:
    return Request(UPLOAD, "PUT", where.url, body, where.headers, UPLOAD_TIMEOUT_S)


def file_stream(entity: str, project: str, run_id: str, body: bytes) -> Request:
    """Post lines; `body` is JSON as batching.py makes it."""
    names = (quote(name, safe="") for name in (entity, project, run_id))
    url = "/files/{}/{}/{}/file_stream".format(*names)
    return Request(FILE_STREAM, "POST", url, body, _JSON_HEADERS, FILE_STREAM_TIMEOUT_S, wants_object=True)


def says_stop(response: Response) -> bool:
    """Return whether the answer to a post asks the run to stop."""
    answer = response.json()
    return isinstance(answer, dict) and answer.get("stopped") is True


def alert(
    entity: str, project: str, run_id: str, title: str, text: str, severity: str, wait_ms: int
) -> Request:
    variables = {
        "entityName": entity,
        "projectName": project,
        "runName": run_id,
        "title": title,
        "text": text,
        "severity": severity or "INFO",
        "waitDuration": wait_ms,
    }
    return _graphql("NotifyScriptableRunAlert", variables)


def read_answer(response: Response, operation: str) -> Dict[str, Any]:
    """Return the `data` of an answer of which nothing in particular is used."""
    return _data(response, operation)


def _graphql(operation: str, variables: Optional[Dict[str, Any]]) -> Request:
    return graphql_request(operation, _QUERIES[operation], variables)


def graphql_request(operation: str, query: str, variables: Optional[Dict[str, Any]]) -> Request:
    body: Dict[str, Any] = {"query": query, "operationName": operation}
    if variables is not None:
        body["variables"] = variables
    return Request(operation, "POST", "/graphql", json.dumps(body).encode(), _JSON_HEADERS, wants_object=True)


def _data(response: Response, operation: str) -> Dict[str, Any]:
    answer = response.json()
    if not isinstance(answer, dict):
        raise RejectedError(f"{operation}: the server's answer is no object", status=response.status)
    errors = answer.get("errors")
    if errors:
        said = "; ".join(str(e.get("message", e)) if isinstance(e, dict) else str(e) for e in errors)[:300]
        if "not authenticated" in said.lower() or "unauthorized" in said.lower():
            raise AuthenticationError(
                f"{operation}: {said}", status=response.status, hint="run `wandb login`"
            )
        raise RejectedError(f"{operation}: {said}", status=response.status)
    data = answer.get("data")
    return data if isinstance(data, dict) else {}


def header(text: str) -> Tuple[str, str]:
    """Return name and value of a header that is one text."""
    name, _, value = text.partition(":")
    return name.strip(), value.strip()


def _json_dict(text: Any) -> Dict[str, Any]:
    try:
        value = json.loads(text)
    except (TypeError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _last_line(text: Any) -> Dict[str, Any]:
    """Return the last line of a tail, which is JSON of a list of JSON texts."""
    try:
        lines = json.loads(text)
        return _json_dict(lines[-1])
    except (TypeError, ValueError, IndexError, KeyError):
        return {}
