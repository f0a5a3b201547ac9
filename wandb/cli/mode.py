"""`wandb offline`, `online`, `disabled` and `enabled`: the mode of the scripts started in this directory.

They edit the key `mode` of `./wandb/settings`; the environment and the code of a script still win over it.
"""

from __future__ import annotations

import os
from typing import Optional

import click

from wandb import settings_file


def set_mode(mode: Optional[str]) -> None:
    """Write the mode to the workspace's settings file, or remove it."""
    settings_file.edit(settings_file.workspace_path(os.getcwd()), {"mode": mode})


@click.command()
def offline() -> None:
    """Record runs of this directory without uploading them.

    Writes `mode = offline` to ./wandb/settings.  Upload later with `wandb sync`.

    \b
    Example:
        wandb offline && python train.py && wandb sync
    """
    set_mode("offline")
    click.echo(
        "W&B offline. Running your script from this directory will only write metadata locally."
        " Use `wandb disabled` to completely turn off W&B."
    )


@click.command()
def online() -> None:
    """Upload runs of this directory again: take back `wandb offline` and `wandb disabled`.

    Removes `mode` from ./wandb/settings.

    \b
    Example:
        wandb online
    """
    set_mode(None)
    click.echo("W&B online. Running your script from this directory will now sync to the cloud.")


@click.command()
@click.option("--service", hidden=True, is_flag=True, help="Accepted for old scripts; there is no service.")
def disabled(service: bool) -> None:
    """Record nothing in this directory: all calls work, in memory only.

    Writes `mode = disabled` to ./wandb/settings.

    \b
    Example:
        wandb disabled && pytest
    """
    set_mode("disabled")
    click.echo("W&B disabled.")


@click.command()
@click.option("--service", hidden=True, is_flag=True, help="Accepted for old scripts; there is no service.")
def enabled(service: bool) -> None:
    """Record and upload runs of this directory.

    Writes `mode = online` to ./wandb/settings, which wins over the global settings file.

    \b
    Example:
        wandb enabled
    """
    set_mode("online")
    click.echo("W&B enabled.")


@click.command(hidden=True)
def on() -> None:
    """Old name of `wandb enabled`."""
    set_mode("online")
    click.echo("W&B enabled.")


@click.command(hidden=True)
def off() -> None:
    """Old name of `wandb disabled`."""
    set_mode("disabled")
    click.echo("W&B disabled.")
