"""Sweeps on a server: what `wandb.sweep()` asks for."""

from __future__ import annotations

from typing import List, NamedTuple, Sequence

from wandb.apis.connection import connect
from wandb.errors import NeedsServerError, RejectedError


class CreatedSweep(NamedTuple):
    """A sweep that a server has made.

    Attributes:
        sweep_id: Its id.
        entity, project: Where the server has put it.
        warnings: What the server says of the configuration.
    """

    sweep_id: str
    entity: str
    project: str
    warnings: List[str]


def create(
    base_url: str,
    api_key: str,
    config: str,
    entity: str,
    project: str,
    prior_runs: Sequence[str] = (),
    *,
    any_certificate: bool = False,
) -> CreatedSweep:
    """Register a sweep.

    Args:
        config: The configuration, as YAML or JSON.

    Raises:
        NeedsServerError: This server does not keep sweeps.
        CommError: It cannot be reached, or refuses the configuration.
    """
    from wandb_sync import protocol

    transport = connect(base_url, api_key, any_certificate=any_certificate)
    try:
        response = transport.send(protocol.upsert_sweep(config, entity, project, prior_runs))
        answer = protocol.read_answer(response, "UpsertSweep")
    except RejectedError as error:
        if "upsertSweep" not in error.message:
            raise
        raise NeedsServerError(
            f"wandb.sweep: the server {base_url} does not keep sweeps",
            hint="use one that does, or start a run for each combination of values yourself",
        ) from error
    finally:
        transport.close()
    made = answer.get("upsertSweep") or {}
    sweep = made.get("sweep") or {}
    where = sweep.get("project") or {}
    return CreatedSweep(
        str(sweep.get("name") or ""),
        str((where.get("entity") or {}).get("name") or entity),
        str(where.get("name") or project),
        [str(one) for one in made.get("configValidationWarnings") or ()],
    )
