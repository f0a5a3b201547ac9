"""One file of a run, from a server: what `wandb.restore()` asks for."""

from __future__ import annotations

from typing import Optional

from wandb.apis.connection import connect

FILE_TIMEOUT_S = 600.0  # the server may be silent for so long


def fetch(
    base_url: str,
    api_key: str,
    entity: str,
    project: str,
    run_id: str,
    path: str,
    *,
    any_certificate: bool = False,
) -> Optional[bytes]:
    """Return the content of a run's file; None if the server has no such file.

    Raises:
        CommError: The server cannot be reached, refuses the key or does not know the run.
    """
    from wandb_sync import protocol
    from wandb_sync.transport.base import Request

    transport = connect(base_url, api_key, any_certificate=any_certificate)
    try:
        answer = transport.send(protocol.run_file(entity, project, run_id, path))
        url = protocol.read_run_file(answer, path)
        if not url:
            return None
        own = base_url.rstrip("/") + "/"
        if url.startswith(own):  # a path below the server itself is sent with the key
            url = url[len(own) - 1 :]
        return transport.send(Request("file", "GET", url, timeout_s=FILE_TIMEOUT_S)).body
    finally:
        transport.close()
