"""Parquet, through pyarrow: columns of int64, double, bool or text."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Set

from wandb.errors import UsageError
from wandb_sync.exports import Runs, Wanted, columns, first_entries, replaced
from wandb_sync.exports.values import cell_text

_GROUP_ROWS = 10_000  # of a row group: what is in memory at a time
_NONE = type(None)


def write(runs: Runs, wanted: Wanted, path: Optional[str]) -> int:
    """Write all runs; returns how many rows that were.

    Raises:
        UsageError: pyarrow is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise UsageError(
            f"parquet files are written by pyarrow, which cannot be loaded: {error}",
            hint='pip install "wandb-ng[parquet]"',
        ) from error
    types, counts = columns(runs, wanted)
    kinds = {name: _kind(found) for name, found in types.items()}
    arrow = {"int": pyarrow.int64(), "float": pyarrow.float64(), "bool": pyarrow.bool_()}
    fields = [(name, arrow.get(kind, pyarrow.string())) for name, kind in kinds.items()]
    several = len(runs) > 1
    run_column = "run" if "run" not in kinds else "_run"
    schema = pyarrow.schema([(run_column, pyarrow.string()), *fields] if several else fields)
    with replaced(path) as file, pyarrow.parquet.ParquetWriter(file, schema) as writer:
        for (run_name, run), count in zip(runs, counts):
            group: List[Dict[str, Any]] = []

            def flush() -> None:
                cells = {name: [_cell(entry.get(name), kinds[name]) for entry in group] for name in kinds}
                if several:
                    cells[run_column] = [run_name] * len(group)
                writer.write_table(pyarrow.table(cells, schema=schema))
                group.clear()

            for entry in first_entries(run, wanted, count):
                group.append(entry)
                if len(group) == _GROUP_ROWS:
                    flush()
            if group:
                flush()
    return sum(counts)


def _kind(types: Set[type]) -> str:
    types = types - {_NONE}
    if types <= {int} and types:
        return "int"
    if types <= {int, float} and types:
        return "float"
    return "bool" if types == {bool} else "text"


def _cell(value: Any, kind: str) -> Any:
    if value is None:
        return None
    if kind == "float":
        return _float(value)
    if kind in ("int", "bool"):
        return value
    return cell_text(value).encode("utf-8", "backslashreplace").decode()


def _float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")
