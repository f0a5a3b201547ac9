"""`wandb logout`: forget the API key of a server."""

from __future__ import annotations

from typing import Optional

import click


@click.command()
@click.option("--host", "--base-url", metavar="URL", help="The server; the one of the settings if not given.")
def logout(host: Optional[str]) -> None:
    """Forget the API key of a server: remove its entry from the netrc file.

    \b
    Example:
        wandb logout --host http://127.0.0.1:8080
    """
    from wandb import credentials, term
    from wandb.sdk import wandb_login, wandb_setup
    from wandb.sdk.wandb_settings import check

    setup = wandb_setup.setup_command()
    base_url = str(check("base_url", host, "--host")) if host else setup.settings.base_url
    path = credentials.netrc_path(setup.environ)
    machine = credentials.host_of(base_url)
    if credentials.remove_netrc(path, base_url):
        click.echo(f"Removed the key for {machine} from {path}.")
    else:
        click.echo(f"There was no key for {machine} in {path}.")
    left = wandb_login.find_key(setup.settings, base_url)
    if left is not None:
        term.termwarn(f"there is still a key in {left[1]}")
