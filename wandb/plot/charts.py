"""Charts as such: a table, and the name of a Vega specification that the server draws it with."""

from __future__ import annotations

from typing import Any, Dict, Mapping, Optional, Sequence, Tuple

from wandb.data_types.table import Table
from wandb.errors import ValidationError
from wandb.interface.values import kind_name, plain

SPLIT_FOLDER = "Custom Chart Tables"  # where the page puts tables that have a section of their own


class CustomChart:
    """A table, and how it is drawn; made by `plot_table` and the functions of `wandb.plot`.

    Attributes:
        table: The table.
        spec_name: The Vega specification, e.g. "wandb/line/v0".
        fields: What the specification asks for, to the column that has it.
        string_fields: What else it asks for, e.g. the title.
        split_table: Whether the page shows the table in a section of its own.
    """

    def __init__(
        self,
        table: Table,
        spec_name: str,
        fields: Mapping[str, Any],
        string_fields: Optional[Mapping[str, Any]] = None,
        split_table: bool = False,
    ) -> None:
        if not isinstance(table, Table):
            raise ValidationError("wandb.plot", f"{kind_name(table)} is no wandb.Table")
        self.table = table
        self.spec_name = spec_name
        self.fields: Dict[str, Any] = plain(dict(fields), "wandb.plot: fields")
        self.string_fields: Dict[str, Any] = plain(dict(string_fields or {}), "wandb.plot: string_fields")
        self.split_table = split_table

    def table_key(self, key: str) -> str:
        """Return under which key the table is logged, if the chart is logged under `key`."""
        return f"{SPLIT_FOLDER}/{key}_table" if self.split_table else f"{key}_table"

    def note(self, key: str) -> Tuple[Tuple[str, ...], Dict[str, Any]]:
        """Return where the config says how to draw it, and what: the panel, and its query for the table."""
        table_query = {
            "name": "summaryTable",
            "args": [{"name": "tableKey", "value": self.table_key(key)}],
            "fields": [],
        }
        run_sets = {
            "name": "runSets",
            "args": [{"name": "runSets", "value": "${runSets}"}],
            "fields": [
                {"name": "id", "fields": []},
                {"name": "name", "fields": []},
                {"name": "_defaultColorIndex", "fields": []},
                table_query,
            ],
        }
        panel = {
            "panelDefId": self.spec_name,
            "fieldSettings": self.fields,
            "stringSettings": self.string_fields,
            "transform": {"name": "tableWithLeafColNames"},
            "userQuery": {"queryFields": [run_sets]},
        }
        return ("visualize", key), {"panel_type": "Vega2", "panel_config": panel}


class Visualize:
    """A table, drawn by a specification whose fields have the names of its columns; see `visualize`."""

    def __init__(self, id: str, table: Table) -> None:
        if not isinstance(table, Table):
            raise ValidationError("wandb.visualize", f"{kind_name(table)} is no wandb.Table")
        self.id = id
        self.table = table
        self.split_table = False

    def table_key(self, key: str) -> str:
        """Return under which key the table is logged: the chart's own."""
        return key

    def note(self, key: str) -> Tuple[Tuple[str, ...], Dict[str, Any]]:
        """Return where the config says how to draw it, and what."""
        return ("viz", key), {"id": self.id, "historyFieldSettings": {"x-axis": "_step", "key": key}}


def table_of(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Table:
    """Return a table of what users call points or classes: of one type per column, if they have one."""
    try:
        return Table(columns=columns, data=rows)
    except ValidationError:
        return Table(columns=columns, data=rows, allow_mixed_types=True)


def plot_table(
    vega_spec_name: str,
    data_table: Table,
    fields: Dict[str, Any],
    string_fields: Optional[Dict[str, Any]] = None,
    split_table: bool = False,
) -> CustomChart:
    """Return a chart that a Vega specification of the server's, or of one's own, draws.

    Args:
        vega_spec_name: E.g. "wandb/line/v0" or "me/my-chart".
        data_table: The table.
        fields: What the specification asks for, to the column that has it.
        string_fields: What else it asks for, to a text.
        split_table: Show the table in a section of its own.

    Raises:
        ValueError: `data_table` is no wandb.Table.
    """
    return CustomChart(data_table, vega_spec_name, fields, string_fields, split_table)


def visualize(id: str, value: Table) -> Visualize:
    """Return a chart of a table by the specification `id`, whose fields have the names of the columns."""
    return Visualize(id, value)
