"""`wandb artifact`: files under names and versions, from the command line."""

from __future__ import annotations

import json
import os
import re
from typing import Optional, Tuple

import click

from wandb import term
from wandb.cli.artifact_server import get, ls
from wandb.errors import UsageError

_UNITS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}


@click.group()
def artifact() -> None:
    """Keep files under names and versions.

    \b
    Example:
        wandb artifact put ./data --name digits/train --type dataset
        wandb artifact cache cleanup 10GB
    """


@artifact.command()
@click.argument("path")
@click.option("-n", "--name", help="[[entity/]project/]name; by default the last part of the path.")
@click.option("-d", "--description", help="Free text.")
@click.option("-t", "--type", "kind", default="dataset", show_default=True, help="What it is for.")
@click.option("-a", "--alias", "aliases", multiple=True, help="A name of the version; may be repeated.")
@click.option("--id", "run_id", help="The run that it becomes an output of; a new one by default.")
@click.option("--resume", is_flag=True, help="Go on with the last run of this directory.")
@click.option("--skip_cache", "--skip-cache", is_flag=True, help="Do not keep the files in the cache.")
@click.option(
    "--policy",
    type=click.Choice(["mutable", "immutable"]),
    default="mutable",
    show_default=True,
    help="Whether the files may change meanwhile.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def put(
    path: str,
    name: Optional[str],
    description: Optional[str],
    kind: str,
    aliases: Tuple[str, ...],
    run_id: Optional[str],
    resume: bool,
    skip_cache: bool,
    policy: str,
    as_json: bool,
) -> None:
    """Record a file, a directory or an address as an artifact.

    Where runs are recorded offline, `wandb sync` uploads it later.

    \b
    Example:
        wandb artifact put ./model.pt --name digits/best --type model -a good
        wandb artifact put s3://bucket/data --name digits/data

    \b
    Exit codes:
        0  recorded    1  it cannot be recorded, or read    2  wrong usage
    """
    import wandb
    from wandb.sdk.artifacts.checks import ArtifactPath

    place = ArtifactPath.parse(name or os.path.basename(path.rstrip("/")))
    made = wandb.Artifact(place.collection, kind, description=description)
    if os.path.isdir(path):
        made.add_dir(path, skip_cache=skip_cache, policy=policy)
    elif os.path.isfile(path):
        made.add_file(path, skip_cache=skip_cache, policy=policy)
    elif "://" in path:
        made.add_reference(path)
    else:
        raise UsageError(f"{path} is no file, no directory and no address")
    given = [*aliases, *([place.alias] if place.alias else [])]
    settings = {"on_error": "raise", "console": "off", "x_disable_stats": True}
    with wandb.init(
        entity=place.entity,
        project=place.project,
        job_type="cli_put",
        id=run_id,
        resume="auto" if resume else "allow" if run_id else None,
        settings=settings,
    ) as run:
        run.log_artifact(made, aliases=given)
    if as_json:
        facts = {"name": made.name, "type": made.type, "digest": made.digest, "size": made.size}
        click.echo(
            json.dumps({**facts, "files": len(made.manifest), "run": run.id, "directory": run.sync_dir})
        )
    else:
        term.termlog(f"{made.name} ({made.type}): {len(made.manifest)} files, digest {made.digest}")


artifact.add_command(get)
artifact.add_command(ls)


@artifact.group()
def cache() -> None:
    """The files of artifacts that are kept on this machine.

    \b
    Example:
        wandb artifact cache cleanup 10GB
    """


@cache.command()
@click.argument("target_size")
@click.option("--remove-temp/--no-remove-temp", help="Remove parts of files too that may be being written.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def cleanup(target_size: str, remove_temp: bool, as_json: bool) -> None:
    """Remove the files that were used longest ago, until the rest takes TARGET_SIZE.

    TARGET_SIZE is a number of bytes, or of kB, MB, GB, TB (powers of 1000) or KiB, MiB ... (of 1024).  What
    killed processes have left behind for a day goes in any case.

    \b
    Example:
        wandb artifact cache cleanup 10GB

    \b
    Exit codes:
        0  done    1  more is left than that, for files cannot be removed    2  wrong usage
    """
    from wandb.sdk.artifacts.cache import ArtifactCache
    from wandb_sync.report import size_text

    max_bytes = size_of(target_size)
    found = ArtifactCache()
    done = found.clean(max_bytes, remove_temp)
    if as_json:
        click.echo(
            json.dumps({"removed_bytes": done.n_bytes, "removed": done.n_files, "left": done.n_bytes_left})
        )
    else:
        click.echo(f"Reclaimed {size_text(done.n_bytes)} of space; {size_text(done.n_bytes_left)} are left")
    if done.n_bytes_left > max_bytes:
        term.termerror(f"files below {found.root} cannot be removed")
        raise SystemExit(1)


def size_of(text: str) -> int:
    """Return a number of bytes: `10GB`, `1.5 GiB`, `1000`.

    Raises:
        UsageError: It is none.
    """
    match = re.fullmatch(r"(\d+(?:\.\d*)?)\s*([kmgtp]?)(i?)b?", text.strip().lower())
    if match is None or (match[3] and not match[2]):
        raise UsageError(f"{text!r} is no size", hint="write 10GB, 500 MB or 1.5GiB")
    return int(float(match[1]) * (1024 if match[3] else 1000) ** _UNITS[match[2]])
