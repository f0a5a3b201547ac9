"""What users touch: init, Run, Config, Summary, Settings.

The names are here as well as in `wandb`, for scripts that import them from where wandb has them; each is
looked up when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, List

from wandb import _load

if TYPE_CHECKING:
    from wandb.sdk import wandb_helper as helper
    from wandb.sdk.artifacts.artifact import Artifact as Artifact
    from wandb.sdk.wandb_alert import AlertLevel as AlertLevel
    from wandb.sdk.wandb_config import Config as Config
    from wandb.sdk.active import finish as finish
    from wandb.sdk.wandb_init import init as init
    from wandb.sdk.wandb_login import login as login
    from wandb.sdk.wandb_require import require as require
    from wandb.sdk.wandb_settings import Settings as Settings
    from wandb.sdk.wandb_setup import setup as setup
    from wandb.sdk.wandb_setup import teardown as teardown
    from wandb.sdk.wandb_summary import Summary as Summary
    from wandb.sdk.wandb_sweep import controller as controller
    from wandb.sdk.wandb_sweep import sweep as sweep

# Public name -> the module it lives in.
_HOMES: Dict[str, str] = {
    "AlertLevel": "wandb.sdk.wandb_alert",
    "Artifact": "wandb.sdk.artifacts.artifact",
    "Config": "wandb.sdk.wandb_config",
    "Settings": "wandb.sdk.wandb_settings",
    "Summary": "wandb.sdk.wandb_summary",
    "controller": "wandb.sdk.wandb_sweep",
    "finish": "wandb.sdk.active",
    "init": "wandb.sdk.wandb_init",
    "login": "wandb.sdk.wandb_login",
    "require": "wandb.sdk.wandb_require",
    "setup": "wandb.sdk.wandb_setup",
    "sweep": "wandb.sdk.wandb_sweep",
    "teardown": "wandb.sdk.wandb_setup",
}

__all__ = [*_HOMES, "helper"]


def __getattr__(name: str) -> Any:
    if name == "helper":
        return __import__("wandb.sdk.wandb_helper", fromlist=["*"])
    return _load(globals(), _HOMES, name)


def __dir__() -> List[str]:
    return sorted({*globals(), *__all__})
