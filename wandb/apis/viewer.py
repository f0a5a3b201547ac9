"""Who an API key belongs to: the one question that `wandb.login()` asks a server."""

from __future__ import annotations

from typing import List, NamedTuple

from wandb.errors import AuthenticationError

TIMEOUT_S = 10.0  # a person waits for the answer


class Viewer(NamedTuple):
    """The account of a key.

    Attributes:
        username: Its name.
        entity: Where its runs go if nothing else is said.
        teams: The teams that it belongs to.
    """

    username: str
    entity: str
    teams: List[str]


def viewer(base_url: str, api_key: str, *, any_certificate: bool = False) -> Viewer:
    """Ask the server once whose key this is.

    Args:
        base_url: The server.
        api_key: The key.
        any_certificate: Whether to believe a server that cannot prove who it is.

    Raises:
        AuthenticationError: The server refused the key.
        TransientError: The server cannot be reached now.
        RejectedError: The server does not answer such a question.
    """
    from wandb_sync import protocol
    from wandb_sync.transport.http import HttpTransport

    transport = HttpTransport(base_url, api_key, verify=False if any_certificate else None)
    try:
        response = transport.send(protocol.viewer()._replace(timeout_s=TIMEOUT_S))
    finally:
        transport.close()
    answer = protocol.read_answer(response, "Viewer").get("viewer")
    if not isinstance(answer, dict):
        raise AuthenticationError(f"{base_url} does not know this API key", status=response.status)
    teams = [edge["node"]["name"] for edge in (answer.get("teams") or {}).get("edges") or ()]
    return Viewer(answer.get("username") or "", answer.get("entity") or "", teams)
