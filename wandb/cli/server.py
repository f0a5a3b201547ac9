"""`wandb server`: run the local server, see whether it runs, stop it, make keys and login links."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Iterator, Tuple

import click

from wandb.errors import UsageError

if TYPE_CHECKING:
    from wandb.server.serve import Ready

EXTRA = ("starlette", "uvicorn", "sqlalchemy", "graphql", "anyio")

folder_option = click.option(
    "--dir",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=lambda: Path.home() / ".local" / "share" / "wandb-ng" / "server",
    show_default="~/.local/share/wandb-ng/server",
    envvar="WANDB_SERVER_DIR",
    help="Where the server keeps everything.",
)
database_option = click.option(
    "--database", default="", metavar="URL", help="An SQLAlchemy URL, instead of an SQLite file in DIR."
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="One JSON object on one line, for scripts."
)


@click.group()
def server() -> None:
    """A W&B server of your own, on this machine.

    \b
    Example:
      wandb server start
      export WANDB_BASE_URL=http://127.0.0.1:8080 WANDB_API_KEY=...   # as start prints them
      wandb sync
    """


@server.command()
@folder_option
@database_option
@json_option
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8080,
    show_default=True,
    help="The port to listen on; 0 takes a free one.",
)
@click.option("--allow-host", multiple=True, metavar="NAME", help="A host name to answer to. Repeatable.")
@click.option("--entity", default="local", show_default=True, help="Where runs go that name no entity.")
@click.option(
    "--request-log", default="", metavar="FILE", help="Write a JSON line per request (for debugging)."
)
def start(
    folder: Path,
    database: str,
    as_json: bool,
    host: str,
    port: int,
    allow_host: Tuple[str, ...],
    entity: str,
    request_log: str,
) -> None:
    """Run the server until Ctrl-C or `wandb server stop`.

    The first start makes an API key and shows it, this once.

    \b
    Examples:
      wandb server start
      wandb server start --host 0.0.0.0 --allow-host gpu-box   # for the machines around it

    \b
    Exit codes: 0 stopped, 1 failed, 2 wrong usage (also: port or DIR in use, packages missing).
    """
    with _extra_installed():
        from wandb.server.app import ServerConfig
        from wandb.server.serve import serve
    own_names = (host, *allow_host)
    config = ServerConfig(folder, database, entity=entity, own_names=own_names, request_log=request_log)
    serve(config, host, port, _say_json if as_json else _say)


@server.command()
@folder_option
@json_option
def status(folder: Path, as_json: bool) -> None:
    """Say whether a server runs on DIR, and where.  Exit code 0 if one does, else 1.

    \b
    Example:
      wandb server status || wandb server start
    """
    with _extra_installed():
        from wandb.server.serve import running_server
    found = running_server(folder)
    if as_json:
        click.echo(json.dumps({"event": "status", "running": found is not None, **(found or {})}))
    elif found is not None:
        click.echo(f"Running at {found['base_url']} (process {found['pid']}) on {folder}")
    else:
        click.echo(f"No server is running on {folder}")
    if found is None:
        raise click.exceptions.Exit(1)


@server.command()
@folder_option
def stop(folder: Path) -> None:
    """Stop the server that runs on DIR.

    \b
    Example:
      wandb server stop --dir /scratch/me/server
    """
    with _extra_installed():
        from wandb.server.serve import stop_server
    found = stop_server(folder)
    click.echo(f"Asked process {found['pid']} ({found['base_url']}) to stop")


@server.command()
@folder_option
@database_option
@json_option
def key(folder: Path, database: str, as_json: bool) -> None:
    """Make a further API key and show it, this once.  The server may be running.

    \b
    Example:
      export WANDB_API_KEY=$(wandb server key)
    """
    with _extra_installed():
        from wandb.server.serve import new_api_key
    made = new_api_key(folder, database)
    click.echo(json.dumps({"event": "key", "api_key": made}) if as_json else made)


@server.command()
@folder_option
@database_option
@json_option
def link(folder: Path, database: str, as_json: bool) -> None:
    """Print an address that opens the running server's page, once, within an hour.

    \b
    Example:
      xdg-open "$(wandb server link)"
    """
    with _extra_installed():
        from wandb.server.serve import new_login_url
    made = new_login_url(folder, database)
    click.echo(json.dumps({"event": "link", "login_url": made}) if as_json else made)


def _say(ready: Ready) -> None:
    click.echo(f"Listening on {ready.base_url}")
    if ready.api_key is not None:
        click.echo("\nAn API key was made; it is shown this once (`wandb server key` makes another):\n")
        click.echo(f"  export WANDB_BASE_URL={ready.base_url}\n  export WANDB_API_KEY={ready.api_key}\n")
    click.echo(f"The page, once and within an hour (then log in with the API key):\n\n  {ready.login_url}\n")


def _say_json(ready: Ready) -> None:
    click.echo(json.dumps({"event": "ready", **ready._asdict()}))


@contextlib.contextmanager
def _extra_installed() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in EXTRA:
            raise
        raise UsageError(
            f"The local server needs the package {error.name!r}, which is not installed",
            hint='pip install "wandb-ng[server]"',
        ) from error
