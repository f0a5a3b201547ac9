"""What a call that needs a server's answer has to know: which server, and with which key."""

from __future__ import annotations

from typing import NamedTuple

from wandb.errors import AuthenticationError, NeedsServerError
from wandb.sdk import wandb_login, wandb_setup


class Server(NamedTuple):
    """Where to ask.

    Attributes:
        base_url, api_key: Of the server.
        any_certificate: Whether to believe one that cannot prove who it is.
    """

    base_url: str
    api_key: str
    any_certificate: bool


def server_for(call: str, mode: str = "") -> Server:
    """Return the server that a call may ask.

    Args:
        call: What the user has called, for the message.
        mode: The run's, if there is one; else that of the process.

    Raises:
        NeedsServerError: The run or the process is offline or disabled: then nothing is asked.
        AuthenticationError: There is no API key.
    """
    settings = wandb_setup.setup().settings
    mode = mode or str(settings.mode or "")
    if mode in ("offline", "dryrun", "disabled"):
        raise NeedsServerError(
            f"{call} needs a server, and the mode is {mode}",
            hint="call it where there is a network, with mode online",
        )
    found = wandb_login.find_key(settings, settings.base_url)
    if found is None:
        raise AuthenticationError(
            f"{call} needs a server, and there is no API key for {settings.base_url}",
            hint="run `wandb login`",
        )
    return Server(settings.base_url, found[0], bool(settings.insecure_disable_ssl))
