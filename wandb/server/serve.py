"""A process that listens: start it, find it, stop it.

Rule 1: one server per folder; it holds a lock on `lock` there for as long as it lives.
Rule 2: `ready` is called when the first request would be answered, not before.
Rule 3: whatever is made in the folder, and the folder, is for its owner's eyes only.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import stat
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional

import uvicorn
from starlette.types import ASGIApp

from wandb.errors import Error, UsageError
from wandb.server.app import ServerConfig, create_app, open_backend

try:
    import fcntl
except ImportError:  # not on Windows, where nothing keeps a second server out
    fcntl = None  # type: ignore[assignment]

# How long requests in flight may still take when the server is stopped.
GRACE_S = 5


class Ready(NamedTuple):
    """What a started server tells its user."""

    base_url: str
    api_key: Optional[str]  # only if it was made just now
    login_url: str  # opens the page, once


def serve(
    config: ServerConfig,
    host: str,
    port: int,
    ready: Callable[[Ready], None],
    *,
    api_key: Optional[str] = None,
    wrap: Optional[Callable[[ASGIApp], ASGIApp]] = None,
) -> None:
    """Listen until SIGINT or SIGTERM; to be called in the main thread.

    Args:
        port: 0 takes a free one.
        ready: called once.
        api_key: accept this key too, instead of making one.
        wrap: puts something around the application (tests do).

    Raises:
        UsageError: the address cannot be had, or another server uses the folder.
    """
    # The port first: one that is taken shall leave nothing behind.
    with _listen_for(config.folder, host, port) as listener, hold_folder(config.folder):
        backend = open_backend(config)
        backend.blobs.forget_unfinished()
        backend.store.remove_unused_blobs()
        base_url = f"http://{_in_url(host)}:{listener.getsockname()[1]}"
        app = create_app(backend, config)
        made = None  # what can fail has been done: a key that was made must be shown
        if api_key is not None or not backend.access.has_api_key():
            made = backend.access.new_api_key(api_key)

        def announce() -> None:
            write_announcement(config.folder, base_url)
            link = f"{base_url}/login?link={backend.access.new_login_link()}"
            ready(Ready(base_url, None if api_key is not None else made, link))

        # uvicorn stops on these, and then sends them again to whoever handled them before.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: None)
        try:
            server(wrap(app) if wrap else app, announce).run(sockets=[listener])
        finally:
            (config.folder / "server.json").unlink(missing_ok=True)
            backend.engine.dispose()


def server(app: ASGIApp, ready: Callable[[], None]) -> uvicorn.Server:
    """A web server around the application; `run(sockets=[...])` it."""
    config = uvicorn.Config(
        app,
        access_log=False,
        log_level="warning",
        lifespan="off",
        ws="none",
        server_header=False,
        timeout_keep_alive=75,  # longer than clients pause between posts
        timeout_graceful_shutdown=GRACE_S,
    )
    return _AnnouncingServer(config, ready)


class _AnnouncingServer(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: Optional[List[socket.socket]] = None) -> None:
        await super().startup(sockets)
        self._ready()


def _listen_for(folder: Path, host: str, port: int) -> socket.socket:
    try:
        return listen(host, port)
    except UsageError:
        if running_server(folder) is not None:  # most likely it is the one that has the port
            raise _another_server(folder) from None
        raise


def listen(host: str, port: int) -> socket.socket:
    """A listening socket, or UsageError."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        # Python's own text repeats the address; that of a name that is not known has a number of its own.
        reason = error.strerror if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0)
        raise UsageError(
            f"Cannot listen on {host}:{port}: {reason}",
            hint="try --port 0, which takes a free one",
        ) from error
    # Connections inherit it.  asyncio would set it only on sockets that were made with an explicit protocol
    # number; without it each small answer waits 40 ms for the other side's delayed acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


# -- finding and stopping ------------------------------------------------------------------------------------


def write_announcement(folder: Path, base_url: str) -> None:
    path = folder / "server.json"
    path.write_text(json.dumps({"pid": os.getpid(), "base_url": base_url}) + "\n", encoding="utf-8")


def running_server(folder: Path) -> Optional[Dict[str, Any]]:
    """`pid` and `base_url` of the server that uses the folder; None if there is none."""
    if fcntl is not None:
        try:
            with open(folder / "lock", "rb+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return None  # nobody else held it
        except FileNotFoundError:
            return None
        except OSError:
            pass
    try:
        found: Dict[str, Any] = json.loads((folder / "server.json").read_text(encoding="utf-8"))
        return found
    except (OSError, ValueError):
        return None


def stop_server(folder: Path) -> Dict[str, Any]:
    """Ask the folder's server to end; returns what `running_server` knew of it."""
    found = running_server(folder)
    if found is None:
        raise Error(f"No server is running on {folder}")
    os.kill(found["pid"], signal.SIGTERM)
    return found


def new_api_key(folder: Path, database_url: str = "") -> str:
    """A further API key of the folder's server, which may be running."""
    with private_folder(folder):
        access = open_backend(ServerConfig(folder, database_url)).access
    return access.new_api_key()


def new_login_url(folder: Path, database_url: str = "") -> str:
    """An address that opens the page of the folder's running server, once."""
    found = running_server(folder)
    if found is None:
        raise Error(f"No server is running on {folder}", hint="wandb server start")
    with private_folder(folder):
        access = open_backend(ServerConfig(folder, database_url)).access
    return f"{found['base_url']}/login?link={access.new_login_link()}"


@contextlib.contextmanager
def hold_folder(folder: Path) -> Iterator[None]:
    """Make the folder ours for as long as the context lasts; or UsageError."""
    with private_folder(folder), open(folder / "lock", "ab+") as lock:
        try:
            if fcntl is not None:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise _another_server(folder) from error
        yield


@contextlib.contextmanager
def private_folder(folder: Path) -> Iterator[None]:
    """Make the folder if it is missing; it, and what is made during the context, is for its owner only."""
    mask = os.umask(0o077)
    try:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if folder.stat().st_mode & stat.S_ISVTX:
                raise UsageError(
                    f"{folder} is shared with others", hint="give the server a folder of its own"
                )
            folder.chmod(0o700)
        except OSError as error:
            raise UsageError(f"The folder {folder} cannot be used: {error.strerror}") from error
        yield
    finally:
        os.umask(mask)


def _another_server(folder: Path) -> UsageError:
    return UsageError(f"Another server is running on {folder}", hint="wandb server status shows it")


def _in_url(host: str) -> str:
    if host in ("0.0.0.0", "::"):
        return "127.0.0.1" if host == "0.0.0.0" else "[::1]"
    return f"[{host}]" if ":" in host else host
