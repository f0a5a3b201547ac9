"""`wandb init`: the project, entity and mode of a directory."""

from __future__ import annotations

import os
import sys
from typing import Dict, Optional

import click

from wandb import settings_file
from wandb.errors import UsageError

GITIGNORE = "*\n!settings\n"  # runs do not belong into a repository, the settings may


@click.command()
@click.option("-p", "--project", help="Project of the runs.")
@click.option("-e", "--entity", help="User or team of the runs.")
@click.option("-m", "--mode", type=click.Choice(["online", "offline", "disabled"]), help="Mode of the runs.")
@click.option("--reset", is_flag=True, help="Forget project, entity and mode first.")
def init(project: Optional[str], entity: Optional[str], mode: Optional[str], reset: bool) -> None:
    """Choose project, entity and mode for the scripts started in this directory.

    Writes ./wandb/settings.  If nothing is given, it asks, at a terminal; an empty answer leaves it open.

    \b
    Example:
        wandb init --project digits --mode offline
    """
    from wandb.sdk.wandb_settings import check

    changes: Dict[str, Optional[str]] = {}
    if reset:
        changes.update(project=None, entity=None, mode=None)
    if not (project or entity or mode or reset):
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise UsageError(
                "nothing is given and there is no terminal", hint="give --project, --entity or --mode"
            )
        project = click.prompt("Project", default="", show_default=False, err=True) or None
        entity = click.prompt("Entity (user or team)", default="", show_default=False, err=True) or None
    for name, value in (("project", project), ("entity", entity), ("mode", mode)):
        if value:
            changes[name] = str(check(name, value, f"--{name}"))
    path = settings_file.workspace_path(os.getcwd())
    settings_file.edit(path, changes)
    gitignore = os.path.join(os.path.dirname(path), ".gitignore")
    if os.path.isdir(os.path.dirname(path)) and not os.path.exists(gitignore):
        settings_file.write_atomically(gitignore, GITIGNORE)
    if reset and not (project or entity or mode):
        click.echo("This directory is no longer configured for W&B.")
        return
    chosen = ", ".join(f"{name} {value}" for name, value in changes.items() if value)
    click.echo(f"This directory is configured! ({chosen or 'nothing chosen'}; {os.path.relpath(path)})")
