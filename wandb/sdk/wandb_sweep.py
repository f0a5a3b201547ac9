"""`wandb.sweep`, `wandb.agent` and `wandb.controller`.

A sweep is registered on a server that keeps sweeps.  What runs one, the agent and the local controller, is
not part of wandb-ng yet: they raise and say so, before anything has happened.
"""

from __future__ import annotations

import json
from typing import Any, Callable, Dict, List, NoReturn, Optional, Union

from wandb.errors import UnsupportedError, ValidationError
from wandb.sdk import wandb_setup
from wandb.term import termlog, termwarn

METHODS = ("grid", "random", "bayes", "custom")


def sweep(
    sweep: Union[Dict[str, Any], Callable[[], Dict[str, Any]]],
    entity: Optional[str] = None,
    project: Optional[str] = None,
    prior_runs: Optional[List[str]] = None,
) -> str:
    """Register a sweep, a search for good values of a config, on a server.

    Args:
        sweep: Its configuration: `{"method": "grid", "metric": {...}, "parameters": {...}}`; or a function
            that returns one.
        entity: The user or team it belongs to.
        project: The project; default: that of the configuration, else that of the settings.
        prior_runs: Ids of runs that it takes over.

    Returns:
        The sweep's id.

    Raises:
        ValidationError: The configuration has no meaning; nothing was sent.
        NeedsServerError: The process is offline, or the server does not keep sweeps.
        CommError: The server cannot be reached, or refuses the configuration.
    """
    from wandb.apis.sweeps import create
    from wandb.sdk.server_call import server_for

    config = _checked(sweep() if callable(sweep) else sweep)
    settings = wandb_setup.setup().settings
    server = server_for("wandb.sweep")
    made = create(
        server.base_url,
        server.api_key,
        json.dumps(config),
        entity or config.get("entity") or settings.entity or "",
        project or config.get("project") or settings.project or "",
        prior_runs or (),
        any_certificate=server.any_certificate,
    )
    for warning in made.warnings:
        termwarn(warning)
    termlog(f"Create sweep with ID: {made.sweep_id}")
    if made.entity and made.project:
        termlog(f"Sweep URL: {settings.app_url}/{made.entity}/{made.project}/sweeps/{made.sweep_id}")
    return made.sweep_id


def agent(
    sweep_id: str,
    function: Optional[Callable[[], Any]] = None,
    entity: Optional[str] = None,
    project: Optional[str] = None,
    count: Optional[int] = None,
    forward_signals: bool = False,
    term_timeout: Optional[int] = None,
    max_consecutive_failed_runs: Optional[int] = None,
) -> None:
    """Run what a sweep suggests.  Not part of wandb-ng yet.

    Raises:
        UnsupportedError: Always; `function` was not called.
    """
    _not_yet(
        "wandb.agent",
        f"give the run to its sweep yourself: WANDB_SWEEP_ID={sweep_id} and the values in "
        "wandb.init(config=...); or run wandb's own `wandb agent` in another environment",
    )


def controller(
    sweep_id_or_config: Union[str, Dict[str, Any], None] = None,
    entity: Optional[str] = None,
    project: Optional[str] = None,
) -> Any:
    """Control a sweep from here.  Not part of wandb-ng yet.

    Raises:
        UnsupportedError: Always.
    """
    _not_yet("wandb.controller", "wandb.sweep() registers a sweep that a server controls itself")


def _not_yet(call: str, hint: str) -> NoReturn:
    raise UnsupportedError(f"{call} is not part of wandb-ng yet", hint=hint)


def _checked(config: Any) -> Dict[str, Any]:
    if not isinstance(config, dict):
        raise ValidationError("sweep", f"{type(config).__name__} is no configuration", hint="pass a dict")
    checked: Dict[str, Any] = {**config}
    if checked.get("method") not in METHODS:
        raise ValidationError("sweep.method", f"{checked.get('method')!r} is none of {', '.join(METHODS)}")
    if not isinstance(checked.get("parameters"), dict) or not checked["parameters"]:
        raise ValidationError(
            "sweep.parameters", "there are none", hint='e.g. {"lr": {"min": 0.001, "max": 0.1}}'
        )
    try:
        json.dumps(checked)
    except (TypeError, ValueError) as error:
        raise ValidationError("sweep", str(error)) from None
    return checked
