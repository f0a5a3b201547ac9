"""Charts of one, two or three columns: line, scatter, bar, histogram, and several lines at once."""

from __future__ import annotations

from typing import Any, Iterable, List, Optional, Union

from wandb.data_types.table import Table
from wandb.errors import ValidationError
from wandb.interface.values import kind_name
from wandb.plot.charts import CustomChart, table_of


def line(
    table: Table, x: str, y: str, stroke: Optional[str] = None, title: str = "", split_table: bool = False
) -> CustomChart:
    """Return a line through the points of two columns.

    Args:
        stroke: A column whose values tell several lines apart.
        split_table: Show the table in a section of its own.
    """
    return CustomChart(
        table, "wandb/line/v0", {"x": x, "y": y, "stroke": stroke}, {"title": title}, split_table
    )


def scatter(table: Table, x: str, y: str, title: str = "", split_table: bool = False) -> CustomChart:
    """Return the points of two columns."""
    return CustomChart(table, "wandb/scatter/v0", {"x": x, "y": y}, {"title": title}, split_table)


def bar(table: Table, label: str, value: str, title: str = "", split_table: bool = False) -> CustomChart:
    """Return a bar per row, as long as `value` says, with `label` beneath."""
    return CustomChart(table, "wandb/bar/v0", {"label": label, "value": value}, {"title": title}, split_table)


def histogram(table: Table, value: str, title: str = "", split_table: bool = False) -> CustomChart:
    """Return how often the values of a column fall into which bin."""
    return CustomChart(table, "wandb/histogram/v0", {"value": value}, {"title": title}, split_table)


def line_series(
    xs: Union[Iterable[Iterable[Any]], Iterable[Any]],
    ys: Iterable[Iterable[Any]],
    keys: Optional[Iterable[str]] = None,
    title: str = "",
    xname: str = "x",
    split_table: bool = False,
) -> CustomChart:
    """Return several lines in one chart.

    Args:
        xs: The horizontal places, for all lines; or a list of them per line.
        ys: The heights, a list per line.
        keys: The names of the lines.  Default: line_0, line_1 ...
        xname: What the horizontal axis is called.

    Raises:
        ValueError: There are not as many of one as of the other.
    """
    heights = [_listed(one, "ys") for one in _listed(ys, "ys")]
    places = _listed(xs, "xs")
    if not places or not _is_list(places[0]):
        places = [places] * len(heights)
    if len(places) != len(heights):
        raise ValidationError(
            "wandb.plot.line_series",
            f"{len(heights)} lines have {len(places)} lists of xs",
        )
    names = [f"line_{index}" for index in range(len(heights))] if keys is None else [*map(str, keys)]
    if len(names) != len(heights):
        raise ValidationError("wandb.plot.line_series", f"{len(heights)} lines have {len(names)} keys")
    rows = [
        [x, name, y]
        for name, line_xs, line_ys in zip(names, places, heights)
        for x, y in zip(_listed(line_xs, "xs"), line_ys)
    ]
    columns = ["step", "lineKey", "lineVal"]
    return CustomChart(
        table_of(columns, rows),
        "wandb/lineseries/v0",
        {name: name for name in columns},
        {"title": title, "xname": xname},
        split_table,
    )


def _is_list(value: Any) -> bool:
    return hasattr(value, "__iter__") and not isinstance(value, (str, bytes))


def _listed(values: Any, what: str) -> List[Any]:
    if hasattr(values, "tolist"):
        values = values.tolist()
    if not _is_list(values):
        raise ValidationError(f"wandb.plot.line_series: {what}", f"{kind_name(values)} is no list")
    return list(values)
