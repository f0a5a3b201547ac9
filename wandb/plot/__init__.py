"""Charts of tables, drawn by the server: `run.log({"loss": wandb.plot.line(table, x="step", y="loss")})`.

A chart is logged as its table, under `<key>_table`, and as a note in the config that says how to draw it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, List

from wandb import _load

if TYPE_CHECKING:
    from wandb.plot.charts import CustomChart as CustomChart
    from wandb.plot.charts import Visualize as Visualize
    from wandb.plot.charts import plot_table as plot_table
    from wandb.plot.charts import visualize as visualize
    from wandb.plot.classifiers import confusion_matrix as confusion_matrix
    from wandb.plot.classifiers import pr_curve as pr_curve
    from wandb.plot.classifiers import roc_curve as roc_curve
    from wandb.plot.columns import bar as bar
    from wandb.plot.columns import histogram as histogram
    from wandb.plot.columns import line as line
    from wandb.plot.columns import line_series as line_series
    from wandb.plot.columns import scatter as scatter

_HOMES: Dict[str, str] = {
    "CustomChart": "wandb.plot.charts",
    "Visualize": "wandb.plot.charts",
    "bar": "wandb.plot.columns",
    "confusion_matrix": "wandb.plot.classifiers",
    "histogram": "wandb.plot.columns",
    "line": "wandb.plot.columns",
    "line_series": "wandb.plot.columns",
    "plot_table": "wandb.plot.charts",
    "pr_curve": "wandb.plot.classifiers",
    "roc_curve": "wandb.plot.classifiers",
    "scatter": "wandb.plot.columns",
    "visualize": "wandb.plot.charts",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    return _load(globals(), _HOMES, name)


def __dir__() -> List[str]:
    return sorted({*globals(), *__all__})
