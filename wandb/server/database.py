"""The tables, and how to open them.

Rule 1: plain SQL through SQLAlchemy Core; what only SQLite understands stands in `_tune_sqlite`.
Rule 2: times are seconds since 1970 (UTC) as doubles; JSON that clients sent is kept as the text they sent.
Rule 3: half a surrogate pair, which JSON can carry and no database can hold, is escaped in JSON and replaced
        in plain text.
Rule 4: the number of a run or project is never used again: upload addresses and clients may still know it.
Rule 5: whoever changes a table raises SCHEMA_VERSION and adds the step to MIGRATIONS.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Callable, Dict, Optional

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Engine,
    Float,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    create_engine,
    event,
    insert,
    inspect,
    select,
    update,
)
from sqlalchemy.engine import Dialect, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from wandb.errors import Error, UsageError

SCHEMA_VERSION = 2

# Half surrogate pairs, and the NUL that PostgreSQL refuses.
_UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")


class Name(TypeDecorator[str]):
    """A short text; what cannot be stored of it becomes U+FFFD."""

    impl = String(128)
    cache_ok = True

    def process_bind_param(self, value: Optional[str], dialect: Dialect) -> Optional[str]:
        return None if value is None else _UNSTORABLE.sub("\ufffd", value)


class PlainText(Name):
    """The same of any length."""

    impl = Text()
    cache_ok = True


class JsonText(TypeDecorator[str]):
    """A text of JSON; what cannot be stored of it is written as JSON's escapes."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Optional[str], dialect: Dialect) -> Optional[str]:
        return None if value is None else _UNSTORABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", value)


tables = MetaData()

meta = Table(
    "meta",
    tables,
    Column("key", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)

credential = Table(
    "credential",
    tables,
    Column("sha256", String(64), primary_key=True),  # of the secret; the secret itself is never stored
    Column("kind", String(16), nullable=False),
    Column("created_at", Float(53), nullable=False),
    Column("expires_at", Float(53)),
)

project = Table(
    "project",
    tables,
    Column("id", Integer, primary_key=True),
    Column("entity", Name, nullable=False),
    Column("name", Name, nullable=False),
    Column("created_at", Float(53), nullable=False),
    UniqueConstraint("entity", "name"),
    sqlite_autoincrement=True,
)

run = Table(
    "run",
    tables,
    Column("id", Integer, primary_key=True),
    Column("project_id", ForeignKey("project.id"), nullable=False),
    Column("name", Name, nullable=False),  # what users call the run id
    Column("display_name", PlainText, nullable=False),
    Column("description", PlainText),
    Column("notes", PlainText),
    Column("group_name", PlainText),
    Column("job_type", PlainText),
    Column("tags", JsonText, nullable=False, default="[]"),
    Column("host", PlainText),
    Column("program", PlainText),
    Column("commit", PlainText),
    Column("repo", PlainText),
    Column("sweep", PlainText),
    Column("config", JsonText, nullable=False, default="{}"),
    Column("summary", JsonText, nullable=False, default="{}"),
    Column("state", String(16), nullable=False, default="running"),
    Column("exitcode", Integer),
    Column("preempting", Boolean, nullable=False, default=False),
    Column("stop_requested", Boolean, nullable=False, default=False),
    Column("created_at", Float(53), nullable=False),
    Column("updated_at", Float(53), nullable=False),
    Column("heartbeat_at", Float(53), nullable=False),
    Column("history_lines", Integer, nullable=False, default=0),
    Column("events_lines", Integer, nullable=False, default=0),
    Column("console_lines", Integer, nullable=False, default=0),
    Column("n_rewrites", Integer, nullable=False, default=0),  # grows when lines that were there are replaced
    UniqueConstraint("project_id", "name"),
    sqlite_autoincrement=True,
)

line_chunk = Table(
    "line_chunk",
    tables,
    Column("run_id", ForeignKey("run.id"), primary_key=True),
    Column("stream", String(16), primary_key=True),
    Column("first_line", Integer, primary_key=True, autoincrement=False),
    Column("n_lines", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
)

run_file = Table(
    "run_file",
    tables,
    Column("run_id", ForeignKey("run.id"), primary_key=True),
    Column("path", PlainText, primary_key=True),
    Column("sha256", String(64), nullable=False, index=True),
    Column("md5", String(32), nullable=False),
    Column("n_bytes", BigInteger, nullable=False),
    Column("uploaded_at", Float(53), nullable=False),
    Column("announced", Boolean, nullable=False, default=False),  # listed as "uploaded" in a file_stream post
)

alert = Table(
    "alert",
    tables,
    Column("id", Integer, primary_key=True),
    Column("run_id", ForeignKey("run.id"), nullable=False, index=True),
    Column("title", PlainText, nullable=False),
    Column("text", PlainText, nullable=False),
    Column("severity", String(16), nullable=False),
    Column("wait_ms", Float(53)),
    Column("created_at", Float(53), nullable=False),
)

# A named line of artifact versions.  The versions of a SEQUENCE are born in it; a PORTFOLIO links to them.
artifact_collection = Table(
    "artifact_collection",
    tables,
    Column("id", Integer, primary_key=True),
    Column("project_id", ForeignKey("project.id"), nullable=False),
    Column("name", Name, nullable=False),
    Column("type", Name, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("client_id", Name),
    Column("description", PlainText),
    Column("tags", JsonText, nullable=False, default="[]"),
    Column("next_index", Integer, nullable=False, default=0),
    Column("created_at", Float(53), nullable=False),
    Column("updated_at", Float(53), nullable=False),
    UniqueConstraint("project_id", "name"),
    sqlite_autoincrement=True,
)

artifact = Table(
    "artifact",
    tables,
    Column("id", Integer, primary_key=True),
    Column("collection_id", ForeignKey("artifact_collection.id"), nullable=False),  # the sequence
    Column("run_id", Integer),  # that made it; the run may be gone
    Column("state", String(16), nullable=False),  # PENDING, COMMITTED, DELETED
    Column("digest", String(128), nullable=False),
    Column("digest_algorithm", String(32), nullable=False),
    Column("client_id", Name, index=True),
    Column("distributed_id", Name),
    Column("wanted_aliases", JsonText, nullable=False, default="[]"),  # until it is committed
    Column("tags", JsonText, nullable=False, default="[]"),
    Column("description", PlainText),
    Column("metadata", JsonText),
    Column("ttl_s", BigInteger),
    Column("history_step", BigInteger),
    Column("base_id", Integer),  # whose files an incremental one begins with
    Column("n_bytes", BigInteger, nullable=False, default=0),
    Column("n_files", Integer, nullable=False, default=0),
    Column("created_at", Float(53), nullable=False),
    Column("updated_at", Float(53), nullable=False),
    sqlite_autoincrement=True,
)

# Where a version can be found: in its sequence, and in the portfolios that it is linked to.
artifact_membership = Table(
    "artifact_membership",
    tables,
    Column("collection_id", ForeignKey("artifact_collection.id"), primary_key=True),
    Column("version_index", Integer, primary_key=True, autoincrement=False),
    Column("artifact_id", ForeignKey("artifact.id"), nullable=False, index=True),
    Column("created_at", Float(53), nullable=False),
    UniqueConstraint("collection_id", "artifact_id"),
)

artifact_alias = Table(
    "artifact_alias",
    tables,
    Column("collection_id", ForeignKey("artifact_collection.id"), primary_key=True),
    Column("alias", Name, primary_key=True),
    Column("artifact_id", ForeignKey("artifact.id"), nullable=False, index=True),
)

artifact_manifest = Table(
    "artifact_manifest",
    tables,
    Column("id", Integer, primary_key=True),
    Column("artifact_id", ForeignKey("artifact.id"), nullable=False, index=True),
    Column(
        "kind", String(16), nullable=False
    ),  # FULL, INCREMENTAL, PATCH; WHOLE: made of those at the commit
    Column("digest", String(64), nullable=False),
    Column("sha256", String(64), index=True),  # null until the bytes are here
    Column("n_bytes", BigInteger, nullable=False, default=0),
    sqlite_autoincrement=True,
)

artifact_file = Table(
    "artifact_file",
    tables,
    Column("id", Integer, primary_key=True),
    Column("artifact_id", ForeignKey("artifact.id"), nullable=False),
    Column("path", PlainText, nullable=False),
    Column("md5", String(64), nullable=False, index=True),  # as the client says, in hex; checked on arrival
    Column("mimetype", PlainText),
    Column("birth_id", Integer, nullable=False),  # the artifact that the bytes came with
    Column("sha256", String(64), index=True),  # null until the bytes are here
    Column("n_bytes", BigInteger, nullable=False, default=0),
    Column("uploaded_at", Float(53), nullable=False),
    UniqueConstraint("artifact_id", "path"),
    sqlite_autoincrement=True,
)

# Of a large file that is on its way.
artifact_part = Table(
    "artifact_part",
    tables,
    Column("file_id", ForeignKey("artifact_file.id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("sha256", String(64), nullable=False, index=True),
    Column("md5", String(32), nullable=False),
)

artifact_use = Table(
    "artifact_use",
    tables,
    Column("run_id", ForeignKey("run.id"), primary_key=True),
    Column("artifact_id", ForeignKey("artifact.id"), primary_key=True),
    Column("used_as", Name),
    Column("used_at", Float(53), nullable=False),
)


def _add_artifacts(connection: Connection) -> None:
    names = [name for name in tables.tables if name.startswith("artifact")]
    tables.create_all(connection, tables=[tables.tables[name] for name in names])


# From version n to n + 1, each inside the transaction that also raises the number.
MIGRATIONS: Dict[int, Callable[[Connection], None]] = {1: _add_artifacts}


def open_database(url: str, *, durable: bool = True) -> Engine:
    """Connect, and create or migrate the tables.

    Args:
        url: an SQLAlchemy database URL.
        durable: whether a commit is on the disk before it is answered.  Without it a power cut (not a
            crash of the server) may lose what was answered just before.

    Raises:
        UsageError: the URL is not understood, its driver is not installed, or nothing answers there.
        Error: the database was written by a newer version; nothing was changed.
    """
    try:
        engine = create_engine(make_url(url))
    except (ArgumentError, NoSuchModuleError) as error:
        raise UsageError(f"--database: {error}", hint="an SQLAlchemy URL is expected") from error
    except ImportError as error:
        raise UsageError(
            f"--database: the driver is not installed ({error.name})", hint=f"pip install {error.name}"
        ) from error
    if engine.dialect.name == "sqlite":
        _tune_sqlite(engine, durable)
    try:
        with engine.begin() as connection:
            _bring_up_to_date(connection)
    except Error:
        engine.dispose()
        raise
    except DBAPIError as error:
        engine.dispose()
        raise UsageError(
            f"The database {engine.url!r} cannot be opened: {error.orig}",
            hint="see that it is there, a database, writable and not in use",
        ) from error
    return engine


def sqlite_url(path: Path) -> str:
    """The URL of a database file."""
    return f"sqlite:///{path}"


def _bring_up_to_date(connection: Connection) -> None:
    found: Optional[int] = None
    if inspect(connection).has_table(meta.name):
        text = connection.scalar(select(meta.c.value).where(meta.c.key == "schema_version"))
        found = int(text) if text is not None else None
    if found is None:
        tables.create_all(connection)
        connection.execute(insert(meta).values(key="schema_version", value=str(SCHEMA_VERSION)))
        return
    if found > SCHEMA_VERSION:
        raise Error(
            f"The database has version {found}; this program knows versions up to {SCHEMA_VERSION}",
            hint="use a newer wandb-ng, or another --dir",
        )
    for version in range(found, SCHEMA_VERSION):
        MIGRATIONS[version](connection)
    connection.execute(
        update(meta).where(meta.c.key == "schema_version").values(value=str(SCHEMA_VERSION)),
    )


def _tune_sqlite(engine: Engine, durable: bool) -> None:
    @event.listens_for(engine, "connect")
    def on_connect(dbapi_connection: Any, _record: Any) -> None:
        cursor = dbapi_connection.cursor()
        cursor.execute("PRAGMA busy_timeout = 30000")
        cursor.execute("PRAGMA journal_mode = WAL")  # readers of the page never wait for a writer
        cursor.execute(f"PRAGMA synchronous = {'FULL' if durable else 'OFF'}")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()
