"""Every question to the database and every change of it; each method is one transaction.

Methods block: call them from a worker thread.  A method that has returned has committed, so
that its answer may be sent: a client deletes its own copy on the strength of it.

Rule 1: a change of a run first locks the run's row (`_LOCK_BY_...`); SQLite has one writer at a time anyway.
Rule 2: null from a client means "unchanged", an empty value means "make it empty".
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import secrets
import threading
import time
from typing import (
    Any,
    BinaryIO,
    Callable,
    Dict,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Set,
    Tuple,
)

from sqlalchemy import Connection, Engine, Row, Select, Table, bindparam, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from wandb.errors import UsageError
from wandb.server import lines
from wandb.server.blobs import Blob, Blobs, Incoming
from wandb.server.database import (
    alert,
    artifact_file,
    artifact_manifest,
    artifact_part,
    artifact_use,
    line_chunk,
    meta,
    project,
    run,
    run_file,
)
from wandb.server.names import checked_file_path, checked_name, random_display_name, run_id_of

# A client sends at least a heartbeat every 30 s.
CRASHED_AFTER_S = 300.0

# What a client or a user can set; everything else about a run is worked out here.
CHANGEABLE = {
    "displayName": "display_name",
    "description": "description",
    "notes": "notes",
    "groupName": "group_name",
    "jobType": "job_type",
    "host": "host",
    "jobProgram": "program",
    "commit": "commit",
    "jobRepo": "repo",
    "sweep": "sweep",
}
# Of configs and summaries.  Python's JSON gives up at about 1,000, earlier inside of other calls.
MAX_DEPTH = 400
STATES = ("running", "finished", "failed", "crashed", "preempting", "preempted", "pending", "killed")

# Statements that are executed with every request: building one costs more than executing it.
_RUNS = select(run, project.c.entity, project.c.name.label("project")).join(project)
_RUN_BY_KEY = _RUNS.where(
    (project.c.entity == bindparam("entity"))
    & (project.c.name == bindparam("project"))
    & (run.c.name == bindparam("run"))
)
_RUN_BY_ID = _RUNS.where(run.c.id == bindparam("run_id"))
_LOCK_BY_KEY = _RUN_BY_KEY.with_for_update(of=run)
_LOCK_BY_ID = _RUN_BY_ID.with_for_update(of=run)
_CHANGE_RUN = update(run).where(run.c.id == bindparam("run_id"))
_FILE = select(run_file).where(
    (run_file.c.run_id == bindparam("of_run")) & (run_file.c.path == bindparam("of_path"))
)
_ADD_FILE = insert(run_file)
_CHANGE_FILE = update(run_file).where(
    (run_file.c.run_id == bindparam("of_run")) & (run_file.c.path == bindparam("of_path"))
)


class NotFound(UsageError):
    """There is no such run or file."""


class RunKey(NamedTuple):
    entity: str
    project: str
    run: str


class Post(NamedTuple):
    """What one file_stream request says."""

    lines: Dict[str, Tuple[int, List[str]]]  # stream -> (offset, lines)
    summary: Optional[str] = None
    uploaded: Sequence[str] = ()
    preempting: bool = False
    complete: bool = False
    exitcode: Optional[int] = None


class Store:
    """The runs, their lines and their files."""

    def __init__(self, engine: Engine, blobs: Blobs, *, default_entity: str) -> None:
        self._engine = engine
        self.blobs = blobs
        self.default_entity = default_entity
        # SQLite answers "locked" where two transactions turn from reading to writing; others queue them.
        only_one = engine.dialect.name == "sqlite"
        self._one_writer = threading.Lock() if only_one else contextlib.nullcontext()
        self.blob_lock = threading.Lock()
        self.on_deleted: List[Callable[[int], None]] = []  # called with the number of a run that is gone

    # -- runs ---------------------------------------------------------------------------------------------

    def upsert_run(self, fields: Mapping[str, Any]) -> Tuple[Dict[str, Any], bool]:
        """Create or change a run; return it, and whether it is new.

        Args:
            fields: the input of the `upsertBucket` mutation.

        Raises:
            UsageError: a name or a JSON text is not acceptable; nothing was changed.
            NotFound: an `id` was given and there is no such run.
        """
        try:
            return self._upsert_run(fields)
        except IntegrityError:  # somebody else created it between our look and our insert
            return self._upsert_run(fields)

    def _upsert_run(self, fields: Mapping[str, Any]) -> Tuple[Dict[str, Any], bool]:
        values = {column: fields[name] for name, column in CHANGEABLE.items() if fields.get(name) is not None}
        if fields.get("config") is not None:
            values["config"] = checked_object(fields["config"], "config")
        if fields.get("summaryMetrics") is not None:
            values["summary"] = checked_object(fields["summaryMetrics"], "summaryMetrics")
        if fields.get("tags") is not None:
            values["tags"] = json.dumps(list(dict.fromkeys(fields["tags"])))
        if fields.get("state") is not None:
            if fields["state"] not in STATES:
                raise UsageError(f"state {fields['state']!r} is not one of {', '.join(STATES)}")
            values["state"] = fields["state"]
        now = time.time()
        with self.writing() as connection:
            found = None
            if fields.get("id") is not None:
                found = _one(connection, _LOCK_BY_ID, run_id=run_id_of(fields["id"]))
                if found is None:
                    raise NotFound(f"There is no run with the id {fields['id']!r}")
            else:
                key = RunKey(
                    checked_name("entity", fields.get("entityName") or self.default_entity),
                    checked_name("project", fields.get("modelName") or "uncategorized"),
                    checked_name("run id", fields.get("name") or secrets.token_hex(4)),
                )
                found = _one(connection, _LOCK_BY_KEY, **key._asdict())
            if found is not None:
                values.update(updated_at=now, heartbeat_at=now)
                connection.execute(_CHANGE_RUN, {"run_id": found.id, **values})
                return _as_dict(connection.execute(_RUN_BY_ID, {"run_id": found.id}).one()._mapping), False
            project_id = self.project_id(connection, key.entity, key.project)
            if not values.get("display_name"):
                in_project = select(func.count()).select_from(run).where(run.c.project_id == project_id)
                values["display_name"] = random_display_name(int(connection.scalar(in_project) or 0) + 1)
            values.update(created_at=now, updated_at=now, heartbeat_at=now)
            run_id = insert_row(connection, run, project_id=project_id, name=key.run, **values)
            return _as_dict(connection.execute(_RUN_BY_ID, {"run_id": run_id}).one()._mapping), True

    def find_run(self, key: RunKey) -> Optional[Dict[str, Any]]:
        with self.reading() as connection:
            row = _one(connection, _RUN_BY_KEY, **key._asdict())
            return _as_dict(row._mapping) if row is not None else None

    def run(self, key: RunKey) -> Dict[str, Any]:
        """Like `find_run`; raises NotFound."""
        found = self.find_run(key)
        if found is None:
            raise NotFound(f"There is no run {'/'.join(key)}")
        return found

    def run_by_number(self, run_id: int) -> Optional[Dict[str, Any]]:
        with self.reading() as connection:
            row = _one(connection, _RUN_BY_ID, run_id=run_id)
            return _as_dict(row._mapping) if row is not None else None

    def runs(
        self, entity: Optional[str] = None, project_name: Optional[str] = None, limit: int = 100_000
    ) -> List[Dict[str, Any]]:
        """The newest runs first."""
        query = _RUNS.order_by(run.c.created_at.desc(), run.c.id.desc()).limit(limit)
        if entity is not None:
            query = query.where(project.c.entity == entity)
        if project_name is not None:
            query = query.where(project.c.name == project_name)
        with self.reading() as connection:
            return [_as_dict(row._mapping) for row in connection.execute(query)]

    def runs_version(self, entity: str, project_name: str) -> str:
        """A text that changes with whatever a list of these runs shows; not with a mere heartbeat."""
        query = (
            select(run.c.id, run.c.updated_at, run.c.state, run.c.heartbeat_at)
            .join(project)
            .where((project.c.entity == entity) & (project.c.name == project_name))
            .order_by(run.c.id)
        )
        digest = hashlib.sha256()
        with self.reading() as connection:
            for row in connection.execute(query):
                state = current_state(row._asdict())  # "crashed" comes with the time, without a write
                digest.update(f"{row.id} {row.updated_at!r} {state}\n".encode())
        return digest.hexdigest()

    def projects(self) -> List[Dict[str, Any]]:
        """All projects, the one that was last written to first."""
        query = (
            select(
                project.c.id,
                project.c.entity,
                project.c.name,
                project.c.created_at,
                func.count(run.c.id).label("n_runs"),
                func.max(run.c.heartbeat_at).label("heartbeat_at"),
            )
            .select_from(project.outerjoin(run))
            .group_by(project.c.id, project.c.entity, project.c.name, project.c.created_at)
            .order_by(func.coalesce(func.max(run.c.heartbeat_at), project.c.created_at).desc())
        )
        with self.reading() as connection:
            return [dict(row._mapping) for row in connection.execute(query)]

    def delete_run(self, run_id: int) -> None:
        """Forget a run, its lines and its files; the artifacts that it made stay."""
        with self.blob_lock:
            with self.writing() as connection:
                where = run_file.c.run_id == run_id
                digests = set(connection.scalars(select(run_file.c.sha256).where(where)))
                for table in (run_file, line_chunk, alert, artifact_use):
                    connection.execute(delete(table).where(table.c.run_id == run_id))
                connection.execute(delete(run).where(run.c.id == run_id))
                unused = unused_digests(connection, digests)
            for sha256 in unused:
                self.blobs.remove(sha256)
        for forget in self.on_deleted:
            forget(run_id)

    def request_stop(self, run_id: int) -> None:
        """Let the next answer to the run's client tell it to stop."""
        self._change_run(run_id, {"stop_requested": True})

    def rewind(self, key: RunKey, step: float) -> Dict[str, Any]:
        """Forget the history after `step`; the summary becomes what the remaining rows say."""
        with self.writing() as connection:
            found = _one(connection, _LOCK_BY_KEY, **key._asdict())
            if found is None:
                raise NotFound(f"There is no run {'/'.join(key)}")
            n_kept, summary = 0, {}
            for first, part in lines.read_lines(connection, found.id, "history"):
                for index, line in enumerate(part, first):
                    row = _object_or_empty(line)
                    if isinstance(row.get("_step"), (int, float)) and row["_step"] <= step:
                        n_kept = index + 1
                        summary.update(row)
            lines.cut_lines(connection, found.id, "history", n_kept)
            values = {
                "history_lines": n_kept,
                "summary": json.dumps(summary),
                "n_rewrites": found.n_rewrites + 1,
                "updated_at": time.time(),
            }
            connection.execute(_CHANGE_RUN, {"run_id": found.id, **values})
            return _as_dict({**found._mapping, **values})

    def add_alert(self, key: RunKey, title: str, text: str, severity: str, wait_ms: Optional[float]) -> None:
        run_id = self.run(key)["id"]
        with self.writing() as connection:
            connection.execute(
                insert(alert).values(
                    run_id=run_id,
                    title=title,
                    text=text,
                    severity=severity,
                    wait_ms=wait_ms,
                    created_at=time.time(),
                )
            )

    def alerts(self, run_id: int) -> List[Dict[str, Any]]:
        query = select(alert).where(alert.c.run_id == run_id).order_by(alert.c.id)
        with self.reading() as connection:
            return [dict(row._mapping) for row in connection.execute(query)]

    # -- lines --------------------------------------------------------------------------------------------

    def apply_post(self, key: RunKey, post: Post) -> bool:
        """Do what a file_stream request says; return whether the client shall stop.

        Raises:
            NotFound: there is no such run.
            UsageError: an offset is absurd.  Nothing was changed.
        """
        with self.writing() as connection:
            found = _one(connection, _LOCK_BY_KEY, **key._asdict())
            if found is None:
                raise NotFound(f"There is no run {'/'.join(key)}")
            now = time.time()
            values: Dict[str, Any] = {"heartbeat_at": now}
            for stream, (offset, content) in post.lines.items():
                count = f"{stream}_lines"
                n_before: int = found._mapping[count]
                if offset > min(n_before + lines.MAX_HOLE_LINES, lines.MAX_LINES - len(content)):
                    raise UsageError(
                        f"{stream}: offset {offset} is far beyond the {n_before} lines there are"
                    )
                values[count] = lines.write_lines(connection, found.id, stream, offset, content, n_before)
                if offset < n_before and content and stream != "console":
                    values["n_rewrites"] = found.n_rewrites + 1
            if post.summary is not None:
                values["summary"] = post.summary
            for part in _in_parts(list(post.uploaded)):
                connection.execute(
                    update(run_file)
                    .where((run_file.c.run_id == found.id) & run_file.c.path.in_(part))
                    .values(announced=True)
                )
            values.update(_next_state(found, post))
            if len(values) > 1:
                values["updated_at"] = now
            connection.execute(_CHANGE_RUN, {"run_id": found.id, **values})
            return bool(found.stop_requested) and not post.complete

    def line_range(
        self, run_id: int, stream: str, start: int = 0, stop: Optional[int] = None
    ) -> Iterator[Tuple[int, List[str]]]:
        """(number of the first line, lines) for what is there of [start, stop)."""
        with self.reading() as connection:
            yield from lines.read_lines(connection, run_id, stream, start, stop)

    # -- files --------------------------------------------------------------------------------------------

    def receive_file(self) -> Incoming:
        return self.blobs.receive()

    def put_file(self, run_id: int, path: str, incoming: Incoming) -> Blob:
        """Make received bytes the run's file `path`, whatever it was before.

        Raises:
            NotFound: the run is gone.
        """
        blob = incoming.finish()
        values = {"sha256": blob.sha256, "md5": blob.md5, "n_bytes": blob.n_bytes, "uploaded_at": time.time()}
        with self.blob_lock:
            with self.writing() as connection:
                if _one(connection, _LOCK_BY_ID, run_id=run_id) is None:
                    raise NotFound("The run of this file does not exist any more")
                self.blobs.keep(incoming, blob)
                old = _one(connection, _FILE, of_run=run_id, of_path=path)
                if old is None:
                    values.update(run_id=run_id, path=path, announced=False)
                    connection.execute(_ADD_FILE, values)
                else:
                    connection.execute(_CHANGE_FILE, {"of_run": run_id, "of_path": path, **values})
                unused = unused_digests(connection, {old.sha256} if old is not None else set())
            for sha256 in unused:
                self.blobs.remove(sha256)
        return blob

    def files(self, run_id: int) -> List[Dict[str, Any]]:
        query = select(run_file).where(run_file.c.run_id == run_id).order_by(run_file.c.path)
        with self.reading() as connection:
            return [dict(row._mapping) for row in connection.execute(query)]

    def open_file(self, run_id: int, path: str) -> Tuple[Dict[str, Any], BinaryIO]:
        """One file's row and its bytes, which stay readable whatever happens to the file.

        Raises:
            NotFound: the run has no such file, or its bytes are gone from our disk.
        """
        with self.blob_lock:
            with self.reading() as connection:
                row = _one(connection, _FILE, of_run=run_id, of_path=checked_file_path(path))
            if row is None:
                raise NotFound(f"The run has no file {path!r}")
            try:
                return dict(row._mapping), self.blobs.open(row.sha256)
            except FileNotFoundError:
                raise NotFound(f"The bytes of the file {path!r} are gone from the server's disk") from None

    def remove_unused_blobs(self) -> None:
        """Remove the bytes that a killed server had no time to remove.  Only for whoever holds the folder."""
        # Of a database that was moved here, or put in the place of another, we do not know what it lacks.
        if not self.blobs.is_of(self.secret("instance")):
            return
        with self.blob_lock:
            with self.reading() as connection:
                unused = unused_digests(connection, set(self.blobs.all()))
            for sha256 in unused:
                self.blobs.remove(sha256)

    # -- small things -------------------------------------------------------------------------------------

    def secret(self, name: str) -> str:
        """A random secret of this server, made when first asked for."""
        with self.writing() as connection:
            found: Optional[str] = connection.scalar(select(meta.c.value).where(meta.c.key == name))
            if found is None:
                found = secrets.token_hex(32)
                connection.execute(insert(meta).values(key=name, value=found))
            return found

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        with self._one_writer, self._engine.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        with self._engine.connect() as connection:
            yield connection

    def _change_run(self, run_id: int, values: Mapping[str, Any]) -> None:
        with self.writing() as connection:
            connection.execute(update(run).where(run.c.id == run_id).values(updated_at=time.time(), **values))

    def project_id(self, connection: Connection, entity: str, name: str) -> int:
        where = (project.c.entity == entity) & (project.c.name == name)
        found: Optional[int] = connection.scalar(select(project.c.id).where(where))
        if found is None:
            found = insert_row(connection, project, entity=entity, name=name, created_at=time.time())
        return found


def current_state(row: Mapping[str, Any], now: Optional[float] = None) -> str:
    """The state as seen now: a client that is silent for long has crashed, or was preempted as it said."""
    state: str = row["state"]
    if state in ("running", "preempting"):
        if (time.time() if now is None else now) - row["heartbeat_at"] > CRASHED_AFTER_S:
            return "crashed" if state == "running" else "preempted"
    return state


def _next_state(row: Row[Any], post: Post) -> Dict[str, Any]:
    if not post.complete:
        if post.preempting:
            return {"state": "preempting", "preempting": True}
        if row.state == "preempting":
            return {}
        # It speaks, so it runs: also one that had finished and is resumed now.
        return {"state": "running", "exitcode": None, "preempting": False} if row.state != "running" else {}
    exitcode = post.exitcode or 0
    preempting = row.preempting or post.preempting
    state = "finished" if exitcode == 0 else "preempted" if preempting else "failed"
    return {"state": state, "exitcode": exitcode, "preempting": preempting, "stop_requested": False}


def insert_row(connection: Connection, table: Table, **values: Any) -> int:
    """Add a row and return the number it got."""
    made = connection.execute(insert(table).values(**values)).inserted_primary_key
    assert made is not None
    return int(made[0])


def _one(connection: Connection, statement: Select[Any], **parameters: Any) -> Optional[Row[Any]]:
    return connection.execute(statement, parameters).one_or_none()


def unused_digests(connection: Connection, digests: Set[str]) -> Set[str]:
    """Those of the digests that no file has."""
    unused = set(digests)
    for part in _in_parts(sorted(digests)):
        for table in (run_file, artifact_file, artifact_manifest, artifact_part):
            in_use = select(table.c.sha256).where(table.c.sha256.in_(part)).distinct()
            unused.difference_update(connection.scalars(in_use))
    return unused


def _as_dict(row: Mapping[Any, Any]) -> Dict[str, Any]:
    return {**row, "tags": json.loads(row["tags"])}


def checked_object(text: Any, what: str) -> str:
    """A text that is a JSON object, as it came; UsageError if it is none or nobody could read it again."""
    if not isinstance(text, str):
        raise UsageError(f"{what} is not a text")
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{what} is not JSON: {error}") from error
    if not isinstance(parsed, dict):
        raise UsageError(f"{what} is not a JSON object")
    level: List[Any] = [parsed]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, (dict, list))
        ]
        if not level:
            return text
    raise UsageError(f"{what} is nested more than {MAX_DEPTH} deep")


def _object_or_empty(line: str) -> Dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return row if isinstance(row, dict) else {}


def _in_parts(values: List[str], n: int = 500) -> Iterator[List[str]]:
    for begin in range(0, len(values), n):
        yield values[begin : begin + n]
