"""An open, offline-first client for the Weights & Biases API.

    import wandb

    with wandb.init(project="digits", config={"lr": 0.1}) as run:
        for step in range(10):
            run.log({"loss": 1 / (step + 1)})

`import wandb` loads the recording half, and nothing else: neither a third-party module nor the syncer.
`import wandb.transaction_log`, which Python turns into an import of this package first, loads only what it
names (decision 0022).  The names below are the interface; each is looked up when it is first used (PEP 562).
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Dict, List, Mapping

from wandb.version import __version__

if TYPE_CHECKING:
    from wandb import apis as apis
    from wandb import data_types as data_types
    from wandb import env as env
    from wandb import errors as errors
    from wandb import jupyter as jupyter
    from wandb import keras as keras
    from wandb import plot as plot
    from wandb import sdk as sdk
    from wandb import sdk as wandb_sdk
    from wandb import util as util
    from wandb import wandb_agent as wandb_agent
    from wandb import wandb_run as wandb_run
    from wandb.data_types.audio import Audio as Audio
    from wandb.data_types.figures import Plotly as Plotly
    from wandb.data_types.graph import Graph as Graph
    from wandb.data_types.histogram import Histogram as Histogram
    from wandb.data_types.html import Html as Html
    from wandb.data_types.image import Image as Image
    from wandb.data_types.image_labels import Classes as Classes
    from wandb.data_types.molecule import Molecule as Molecule
    from wandb.data_types.object_3d import Object3D as Object3D
    from wandb.data_types.object_3d import box3d as box3d
    from wandb.data_types.table import JoinedTable as JoinedTable
    from wandb.data_types.table import Table as Table
    from wandb.data_types.video import Video as Video
    from wandb.errors import CommError as CommError
    from wandb.errors import Error as Error
    from wandb.errors import UsageError as UsageError
    from wandb.integration import tensorboard as tensorboard
    from wandb.integration.tensorboard.monkeypatch import patched as patched
    from wandb.plot.charts import plot_table as plot_table
    from wandb.plot.charts import visualize as visualize
    from wandb.sdk.active import alert as alert
    from wandb.sdk.active import link_artifact as link_artifact
    from wandb.sdk.active import link_model as link_model
    from wandb.sdk.active import log_artifact as log_artifact
    from wandb.sdk.active import log_model as log_model
    from wandb.sdk.active import use_artifact as use_artifact
    from wandb.sdk.active import use_model as use_model
    from wandb.sdk.active import define_metric as define_metric
    from wandb.sdk.active import ensure_configured as ensure_configured
    from wandb.sdk.active import finish as finish
    from wandb.sdk.active import join as join
    from wandb.sdk.active import log as log
    from wandb.sdk.active import mark_preempting as mark_preempting
    from wandb.sdk.active import pin_config_keys as pin_config_keys
    from wandb.sdk.active import save as save
    from wandb.sdk import lib as wandb_lib
    from wandb.sdk.active import unwatch as unwatch
    from wandb.sdk.active import watch as watch
    from wandb.sdk import wandb_helper as helper
    from wandb.sdk.artifacts.artifact import Artifact as Artifact
    from wandb.sdk.artifacts.artifact_ttl import ArtifactTTL as ArtifactTTL
    from wandb.sdk.wandb_alert import AlertLevel as AlertLevel
    from wandb.sdk.wandb_config import Config as Config
    from wandb.sdk.wandb_init import _attach as _attach
    from wandb.sdk.wandb_init import attach as attach
    from wandb.sdk.wandb_init import init as init
    from wandb.sdk.wandb_login import login as login
    from wandb.sdk.wandb_require import require as require
    from wandb.sdk.wandb_restore import restore as restore
    from wandb.sdk.wandb_run import Run as Run
    from wandb.sdk.wandb_settings import Settings as Settings
    from wandb.sdk.wandb_setup import setup as setup
    from wandb.sdk.wandb_setup import teardown as teardown
    from wandb.sdk.wandb_summary import Summary as Summary
    from wandb.sdk.wandb_sweep import agent as agent
    from wandb.sdk.wandb_sweep import controller as controller
    from wandb.sdk.wandb_sweep import sweep as sweep
    from wandb.term import termerror as termerror
    from wandb.term import termlog as termlog
    from wandb.term import termsetup as termsetup
    from wandb.term import termwarn as termwarn

    run: Run | None
    config: Config
    summary: Summary

# Public name -> the module it lives in.
_HOMES: Dict[str, str] = {
    "Error": "wandb.errors",
    "UsageError": "wandb.errors",
    "CommError": "wandb.errors",
    "Settings": "wandb.sdk.wandb_settings",
    "Config": "wandb.sdk.wandb_config",
    "Run": "wandb.sdk.wandb_run",
    "Summary": "wandb.sdk.wandb_summary",
    "init": "wandb.sdk.wandb_init",
    "attach": "wandb.sdk.wandb_init",
    "_attach": "wandb.sdk.wandb_init",
    "setup": "wandb.sdk.wandb_setup",
    "teardown": "wandb.sdk.wandb_setup",
    "login": "wandb.sdk.wandb_login",
    "log": "wandb.sdk.active",
    "finish": "wandb.sdk.active",
    "join": "wandb.sdk.active",
    "define_metric": "wandb.sdk.active",
    "save": "wandb.sdk.active",
    "alert": "wandb.sdk.active",
    "AlertLevel": "wandb.sdk.wandb_alert",
    "agent": "wandb.sdk.wandb_sweep",
    "controller": "wandb.sdk.wandb_sweep",
    "ensure_configured": "wandb.sdk.active",
    "pin_config_keys": "wandb.sdk.active",
    "require": "wandb.sdk.wandb_require",
    "restore": "wandb.sdk.wandb_restore",
    "sweep": "wandb.sdk.wandb_sweep",
    "Artifact": "wandb.sdk.artifacts.artifact",
    "ArtifactTTL": "wandb.sdk.artifacts.artifact_ttl",
    "link_artifact": "wandb.sdk.active",
    "link_model": "wandb.sdk.active",
    "log_artifact": "wandb.sdk.active",
    "log_model": "wandb.sdk.active",
    "use_artifact": "wandb.sdk.active",
    "use_model": "wandb.sdk.active",
    "mark_preempting": "wandb.sdk.active",
    "watch": "wandb.sdk.active",
    "unwatch": "wandb.sdk.active",
    "termlog": "wandb.term",
    "termwarn": "wandb.term",
    "termerror": "wandb.term",
    "termsetup": "wandb.term",
    "Audio": "wandb.data_types.audio",
    "Classes": "wandb.data_types.image_labels",
    "Graph": "wandb.data_types.graph",
    "Histogram": "wandb.data_types.histogram",
    "Html": "wandb.data_types.html",
    "Image": "wandb.data_types.image",
    "JoinedTable": "wandb.data_types.table",
    "Molecule": "wandb.data_types.molecule",
    "Object3D": "wandb.data_types.object_3d",
    "Plotly": "wandb.data_types.figures",
    "Table": "wandb.data_types.table",
    "Video": "wandb.data_types.video",
    "box3d": "wandb.data_types.object_3d",
    "patched": "wandb.integration.tensorboard.monkeypatch",
    "plot_table": "wandb.plot.charts",
    "visualize": "wandb.plot.charts",
}

# Modules whose names users reach through this one -> where they live.
_PARTS: Dict[str, str] = {
    "apis": "wandb.apis",
    "data_types": "wandb.data_types",
    "env": "wandb.env",
    "errors": "wandb.errors",
    "helper": "wandb.sdk.wandb_helper",
    "jupyter": "wandb.jupyter",
    "keras": "wandb.keras",
    "plot": "wandb.plot",
    "sdk": "wandb.sdk",
    "tensorboard": "wandb.integration.tensorboard",
    "util": "wandb.util",
    "wandb_agent": "wandb.wandb_agent",
    "wandb_lib": "wandb.sdk.lib",
    "wandb_run": "wandb.wandb_run",
    "wandb_sdk": "wandb.sdk",
}

__all__ = [*(name for name in _HOMES if name[0] != "_"), *_PARTS, "run", "config", "summary", "__version__"]


def _find(name: str) -> Any:
    if name in ("run", "config", "summary"):  # they change with every init and finish, so they are never kept
        from wandb.sdk import active

        if name == "run":
            return active.current
        return active.BeforeInit(f"wandb.{name}") if active.current is None else getattr(active.current, name)
    if name in _PARTS:
        return __import__(_PARTS[name], fromlist=["__name__"])
    return _load(globals(), _HOMES, name)


if not TYPE_CHECKING:  # which would take any name for one of ours; those that there are, it sees above
    __getattr__ = _find


def _load(package: Dict[str, Any], homes: Mapping[str, str], name: str) -> Any:
    """Return a public name of a package of ours from the module that it lives in, and keep it.

    Args:
        package: The package's globals.

    Raises:
        AttributeError: It has no such name.
    """
    home = homes.get(name)
    if home is None:
        raise AttributeError(f"module {package['__name__']!r} has no attribute {name!r}")
    __import__(home)
    found = package[name] = getattr(sys.modules[home], name)
    return found


def __dir__() -> List[str]:
    return sorted({*globals(), *__all__})


def _is_imported_as_a_parent() -> bool:
    """Tell whether this import is only the first half of an `import wandb.x`: an import inside an import."""
    frame = sys._getframe(2)  # past this function and this module
    n_imports = 0
    while frame is not None and frame.f_code.co_filename.startswith("<frozen importlib"):
        n_imports += frame.f_code.co_name == "_find_and_load"
        frame = frame.f_back  # type: ignore[assignment]
    return n_imports > 1


if not _is_imported_as_a_parent():
    __import__("wandb.sdk.wandb_init")
    if "IPython" in sys.modules:
        __import__("wandb.jupyter")
        sys.modules["wandb.jupyter"].register()
