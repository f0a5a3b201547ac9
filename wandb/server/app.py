"""The whole server as one ASGI application."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Iterable, NamedTuple

from sqlalchemy import Engine
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from wandb.server.access import Access
from wandb.server.artifact_bytes import ArtifactBytes
from wandb.server.blobs import Blobs
from wandb.server.database import open_database, sqlite_url
from wandb.server.gate import Gate, OwnHostsOnly, error_answer
from wandb.server.page import Page
from wandb.server.protocol import Protocol
from wandb.server.reading import Reading
from wandb.server.request_log import RequestLog
from wandb.server.store import Store

logger = logging.getLogger(__name__)

DEFAULT_ENTITY = "local"
MAX_FILE_BYTES = 64 * 1024**3


class ServerConfig(NamedTuple):
    """How one server is set up."""

    folder: (
        Path  # the database (unless `database_url`), the uploaded files; made if missing, for our eyes only
    )
    database_url: str = ""
    entity: str = DEFAULT_ENTITY  # where runs go that name none
    own_names: Iterable[str] = ()  # host names to answer to besides localhost and addresses in numbers
    max_file_bytes: int = MAX_FILE_BYTES
    durable: bool = True  # whether what was answered survives a power cut
    request_log: str = ""  # a file to write one JSON line per request to


class Backend(NamedTuple):
    """What the routes stand on."""

    engine: Engine
    blobs: Blobs
    store: Store
    access: Access


def open_backend(config: ServerConfig) -> Backend:
    """Open or create everything that is kept on disk.

    Raises:
        UsageError, Error: see `database.open_database`.
    """
    url = config.database_url or sqlite_url(config.folder / "server.db")
    engine = open_database(url, durable=config.durable)
    blobs = Blobs(config.folder / "blobs", durable=config.durable)
    store = Store(engine, blobs, default_entity=config.entity)
    return Backend(engine, blobs, store, Access(engine, store.secret("signing_key")))


def create_app(backend: Backend, config: ServerConfig) -> ASGIApp:
    """The application; it starts no thread and opens nothing by itself."""
    store, access = backend.store, backend.access
    # Cookies do not know ports: two servers on one host need two names.
    gate = Gate(access, f"wandb_session_{store.secret('instance')[:8]}")
    routes = [
        Route("/healthz", gate.open_to_all(_health), methods=["GET"]),
        *ArtifactBytes(store, access, gate, config.max_file_bytes).routes,
        *Protocol(store, access, gate, config.max_file_bytes).routes,
        *Reading(store, gate).routes,
        *Page(store, access, gate).routes,
    ]
    app: ASGIApp = Starlette(routes=routes, exception_handlers={404: _not_found, Exception: _our_fault})
    app = OwnHostsOnly(app, config.own_names)
    return RequestLog(app, config.request_log) if config.request_log else app


async def _health(request: Request) -> Response:
    return PlainTextResponse("ok")


async def _not_found(request: Request, error: Exception) -> Response:
    return error_answer(404, f"There is nothing at {request.url.path}")


async def _our_fault(request: Request, error: Exception) -> Response:
    return error_answer(500, "The server failed; its log says why")
