"""`wandb artifact get` and `wandb artifact ls`: what a server has."""

from __future__ import annotations

import json
import os
from typing import Any, Dict, List, Mapping, Tuple

import click

from wandb import term
from wandb.cli.answers import size_text
from wandb.errors import UsageError


@click.command()
@click.argument("path")
@click.option("--root", metavar="DIR", help="Where the files go; ./artifacts/NAME:VERSION if not given.")
@click.option("--type", "kind", metavar="TYPE", default="", help="The type that it must have.")
@click.option("--cache-only", is_flag=True, help="Bring it into the cache only, for runs that are offline.")
@click.option("--base-url", metavar="URL", default="", help="The server; the usual one if not given.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def get(path: str, root: str, kind: str, cache_only: bool, base_url: str, as_json: bool) -> None:
    """Bring an artifact from the server to this machine.

    PATH is [[ENTITY/]PROJECT/]NAME[:ALIAS]; without an alias it is the latest version.  The files go through
    the cache, so that what is here is not brought again, and runs that are offline can use the artifact.
    References stay references.

    \b
    Examples:
        wandb artifact get team/digits/data:best --root ./data
        wandb artifact get digits/data --cache-only      # on a login node; then use it offline

    \b
    Exit codes:
        0  it is here    1  the server has no such artifact, or a file cannot be written    2  wrong usage
        5  no answer now    6  the API key is missing or was refused    7  the server refused
    """
    import wandb
    from wandb.sdk.artifacts import downloads
    from wandb.sdk.artifacts.cache import ArtifactCache
    from wandb.sdk.artifacts.checks import ArtifactPath

    place = ArtifactPath.parse(path)
    project = place.project or _project()
    cache = ArtifactCache()
    with _server(base_url) as server:
        facts = server.find(place.entity or _entity(), project, place.collection, place.alias or "latest")
        if facts is None:
            raise click.ClickException(f"the server has no artifact {path}")
        if kind and facts["type"] != kind:
            raise UsageError(f"{path} is of the type {facts['type']!r}, not {kind!r}")
        contents: Mapping[str, Any] = facts["manifest"]["contents"]

        def place_of(name: str, entry: Mapping[str, Any]) -> str:
            return cache.files.path_of(entry["digest"], (entry.get("extra") or {}).get("alg") or "MD5")

        server.fetch(facts, contents, place_of)
    cache.remember(facts)
    found = wandb.Artifact._from_facts(facts)
    where = cache.root if cache_only else root or downloads.default_root(found)
    for entry in () if cache_only else found.manifest.entries.values():
        if entry.ref is None:
            downloads.place(found, entry, where)
    n_bytes = sum(entry.get("size") or 0 for entry in contents.values())
    name = f"{facts['entity']}/{facts['project']}/{facts['collection']}:{facts['version']}"
    if as_json:
        told = {"name": name, "type": facts["type"], "digest": found.digest, "size": n_bytes}
        click.echo(json.dumps({**told, "files": len(contents), "directory": os.path.abspath(where)}))
    else:
        term.termlog(f"{name} ({facts['type']}): {len(contents)} files, {size_text(n_bytes)}, in {where}")


@click.command()
@click.argument("path", required=False, default="")
@click.option("--type", "kind", metavar="TYPE", default="", help="Only artifacts of this type.")
@click.option("--base-url", metavar="URL", default="", help="The server; the usual one if not given.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
def ls(path: str, kind: str, base_url: str, as_json: bool) -> None:
    """List the artifacts of a project, or the versions of one of them, the newest first.

    PATH is [ENTITY/]PROJECT, or [ENTITY/]PROJECT/NAME: for versions.

    \b
    Examples:
        wandb artifact ls digits
        wandb artifact ls team/digits/data: --json | jq .version

    \b
    Exit codes:
        0  done    2  wrong usage    5  no answer now    6  the API key is missing or was refused
        7  the server refused
    """
    entity, project, name = _parts(path)
    rows: List[Dict[str, Any]]
    with _server(base_url) as server:
        if name:
            rows = [one._asdict() for one in server.versions(entity, project, name)]
        else:
            found = server.collections(entity, project)
            rows = [one._asdict() for one in found if kind in ("", one.type)]
    for row in rows:
        if as_json:
            click.echo(json.dumps(row))
        elif name:
            size, files = size_text(row["n_bytes"]), f"{row['n_files']} files"
            aliases = ", ".join(row["aliases"])
            click.echo(f"{row['version']:<6} {size:>10} {files:>12}  {row['created_at']}  {aliases}")
        else:
            click.echo(f"{row['type']:<20} {row['updated_at'] or '':<20}  {row['name']}")


def _parts(path: str) -> Tuple[str, str, str]:
    """Return entity, project and name of what is to be listed."""
    parts = path.split("/") if path else []
    name = parts.pop()[:-1] if parts and parts[-1].endswith(":") else ""
    if len(parts) > 2 or not all(parts):
        raise UsageError(f"{path!r} is no project", hint="write ENTITY/PROJECT, or ENTITY/PROJECT/NAME:")
    entity = parts[0] if len(parts) == 2 else _entity()
    return entity, parts[-1] if parts else _project(), name


def _server(base_url: str) -> Any:
    from wandb.apis.artifacts import ArtifactServer
    from wandb_sync.engine import default_base_url, find_key
    from wandb_sync.transport.http import checked_base_url

    url = checked_base_url(base_url or default_base_url(os.environ))
    return ArtifactServer(url, find_key(url))


def _entity() -> str:
    return str(_settings().entity or "")


def _project() -> str:
    return str(_settings().project or "uncategorized")


def _settings() -> Any:
    from wandb.sdk.wandb_setup import setup_command

    return setup_command().settings
