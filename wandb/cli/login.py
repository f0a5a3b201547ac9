"""`wandb login`: keep an API key for a server."""

from __future__ import annotations

import sys
from typing import Optional

import click

from wandb.errors import AuthenticationError, UsageError


@click.command()
@click.argument("key", required=False)
@click.option("--cloud", is_flag=True, help="Log in to the public server, whatever the settings say.")
@click.option("--host", "--base-url", metavar="URL", help="Log in to this server and make it the default.")
@click.option("--relogin", is_flag=True, help="Ask for a key even if there is one.")
@click.option(
    "--verify/--no-verify",
    default=None,
    help="Ask the server whether it knows the key.  By default only about a new key.",
)
@click.option("--anonymously", is_flag=True, hidden=True, help="Accepted for old scripts; without effect.")
def login(
    key: Optional[str],
    cloud: bool,
    host: Optional[str],
    relogin: bool,
    verify: Optional[bool],
    anonymously: bool,
) -> None:
    """Keep an API key for a server.

    Without KEY the key comes from WANDB_API_KEY, the settings, the netrc file or, at a terminal, from you.
    KEY can be `-`, which reads it from stdin: a key on a command line shows in the process list.  It is
    kept in the netrc file ($NETRC or ~/.netrc, mode 0600).

    Exits with 6 if the server refuses the key, with 2 if there is none or its form is wrong.

    \b
    Examples:
        wandb login
        wandb login --host http://127.0.0.1:8080 - < key.txt
    """
    from wandb import term
    from wandb.sdk import wandb_login, wandb_setup
    from wandb.sdk.wandb_settings import DEFAULT_BASE_URL

    if cloud and host:
        raise UsageError("--cloud and --host exclude each other")
    if anonymously:
        term.termwarn("--anonymously has no effect")
    if key == "-":
        key = sys.stdin.readline().strip()
    wandb_setup.setup_command({"x_cli_only_mode": True, "mode": "online"})
    ok = wandb_login.login(
        key=key,
        host=DEFAULT_BASE_URL if cloud else host,
        relogin=relogin,
        force=True,
        verify=verify,
    )
    if not ok:
        raise AuthenticationError("not logged in")
