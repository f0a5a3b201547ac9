"""`wandb.Table`: rows and columns.

A table that is logged becomes two things, as in wandb: a file of the run, in which media stand by the name of
their type, and an artifact `run-<run id>-<key>`, with all that is in it (wandb/sdk/wandb_media.py).
"""

from __future__ import annotations

import datetime
import io
import json
import math
import os
from decimal import Decimal
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Dict,
    Iterator,
    List,
    Mapping,
    Optional,
    Sequence,
    Set,
    Tuple,
    Union,
)

from wandb.data_types import column_types
from wandb.data_types.media import Content, Media, compact_json, library
from wandb.errors import UsageError, ValidationError
from wandb.interface.values import kind_name, plain
from wandb.term import termwarn

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd  # type: ignore[import-untyped,import-not-found,unused-ignore]

    from wandb.data_types.artifact_media import ArtifactMedia
    from wandb.internal.media_files import MediaFiles

    ColumnKey = Union[str, int]
    Rows = Union[Sequence[Sequence[Any]], np.ndarray[Any, Any], pd.DataFrame]

WHERE = "wandb.Table"
DEFAULT_COLUMNS = ("Input", "Output", "Expected")  # as wandb
LOG_MODES = ("IMMUTABLE", "MUTABLE", "INCREMENTAL")
MAX_EMBEDDING = 150  # elements; longer arrays, and those of more dimensions, are packed (as wandb)
SUFFIX = ".table.json"
_PLAIN = frozenset(column_types.PLAIN_CLASSES)


class TableIndex(int):
    """The number of a row, and the row."""

    _table: Table

    def get_row(self) -> Dict[ColumnKey, Any]:
        """Return the row as a dict."""
        return dict(zip(self._table.columns, self._table.data[self]))


class Table(Media):
    """Rows and columns of numbers, texts, and media.

        table = wandb.Table(columns=["text", "score"])
        table.add_data("a first try", 0.5)
        run.log({"answers": table})

    Args:
        columns: The names of the columns.  Default: those of the DataFrame, else Input, Output and Expected.
        data: The rows; a numpy array of two dimensions or a pandas DataFrame too.
        rows: The same.
        dataframe: A pandas DataFrame.
        dtype: The type of every column, or a list of one per column: int, float, str, bool, wandb.Image ...
            Default: that of the first value that is not None.
        optional: Whether None may stand in a column; one for all, or a list of one per column.
        allow_mixed_types: Let anything stand in any column.
        log_mode: "IMMUTABLE" is logged once, and later calls refer to that; "MUTABLE" is logged whole each
            time; of "INCREMENTAL", each call logs the rows that are new.

    Attributes:
        columns: The names of the columns.
        data: The rows, each a list.

    Raises:
        ValueError: A row has another number of values than there are columns, or an argument is wrong.
        TypeError: A value does not have the column's type.
    """

    MAX_ROWS = 10_000
    MAX_ARTIFACT_ROWS = 200_000

    _folder = "table"
    _kind = "table"

    def __init__(
        self,
        columns: Optional[Sequence[ColumnKey]] = None,
        data: Optional[Rows] = None,
        rows: Optional[Sequence[Sequence[Any]]] = None,
        dataframe: Optional[pd.DataFrame] = None,
        dtype: Any = None,
        optional: Union[bool, Sequence[bool]] = True,
        allow_mixed_types: bool = False,
        log_mode: Optional[str] = "IMMUTABLE",
    ) -> None:
        self.log_mode = "IMMUTABLE" if log_mode is None else log_mode
        if self.log_mode not in LOG_MODES:
            raise ValidationError(
                WHERE, f"log_mode {log_mode!r} is not known", hint=f"one of {', '.join(LOG_MODES)}"
            )
        if dataframe is None and _is_dataframe(data):
            data, dataframe = None, data
        if dataframe is not None:
            if not _is_dataframe(dataframe):
                raise ValidationError(WHERE, f"{kind_name(dataframe)} is no pandas DataFrame")
            columns = [name if isinstance(name, (str, int)) else str(name) for name in dataframe.columns]
            values = [dataframe.iloc[:, index].tolist() for index in range(len(columns))]
            data = [list(row) for row in zip(*values)] if values else []
        if columns is not None and not isinstance(columns, (list, tuple)):
            raise ValidationError(WHERE, f"columns are {kind_name(columns)}, no list")
        self.columns: List[ColumnKey] = list(DEFAULT_COLUMNS if columns is None else columns)
        for name in self.columns:
            if isinstance(name, bool) or not isinstance(name, (str, int)):
                raise ValidationError(WHERE, f"{name!r} is no name of a column", hint="use a str")
        if len(set(self.columns)) != len(self.columns):
            raise ValidationError(WHERE, f"two columns have one name: {self.columns}")
        self.data: List[List[Any]] = []
        self._types = self._first_types(column_types.ANY if allow_mixed_types else dtype, optional)
        self._known: List[Set[type]] = [
            set() for _ in self.columns
        ]  # classes that each column takes for sure
        self._stored: Optional[Tuple[object, Dict[str, Any]]] = None  # the run's files, and what it was told
        self._n_logged = 0  # rows, of an incremental table
        self._n_increments = 0
        self._increments: List[str] = []  # addresses of those that were logged before
        given = rows if data is None else data
        if given is not None:
            self._add_all(given)

    def add_data(self, *data: Any) -> None:
        """Add a row: one value per column.

        Raises:
            ValueError: There are more or fewer values than columns.
            TypeError: A value does not have the column's type; nothing was added.
        """
        self._note_change()
        self._add(data)

    def add_row(self, *row: Any) -> None:
        """Add a row; `add_data` is the newer name."""
        self.add_data(*row)

    def add_column(
        self, name: str, data: Union[Sequence[Any], np.ndarray[Any, Any]], optional: bool = False
    ) -> None:
        """Add a column: one value per row.

        Args:
            optional: Whether None may stand in it.

        Raises:
            ValueError: There are more or fewer values than rows, or the column is there already.
        """
        self._refuse_if_incremental("add_column")
        if name in self.columns:
            raise ValidationError(f"{WHERE}.add_column", f"there is a column {name!r} already")
        if not isinstance(name, (str, int)) or isinstance(name, bool):
            raise ValidationError(f"{WHERE}.add_column", f"{name!r} is no name of a column", hint="use a str")
        values = list(data.tolist() if hasattr(data, "tolist") else data)
        if self.columns and len(values) != len(self.data):
            raise ValidationError(f"{WHERE}.add_column", f"{len(values)} values for {len(self.data)} rows")
        found: column_types.Type = column_types.UNKNOWN
        if optional:
            found = column_types.optional(found)
        for value in values:
            found = self._joined(found, value, name)
        self._note_change()
        if not self.columns:
            self.data = [[] for _ in values]
        for row, value in zip(self.data, values):
            row.append(value)
        self.columns.append(name)
        self._types.append(found)
        self._known.append(set())

    def add_computed_columns(self, fn: Callable[[int, Dict[ColumnKey, Any]], Mapping[str, Any]]) -> None:
        """Add columns made of the others.

        Args:
            fn: Given the number of a row and the row as a dict; returns its values of the new columns.

        Raises:
            ValueError: It returns no dict, or not the same columns for every row; nothing has changed.
        """
        self._refuse_if_incremental("add_computed_columns")
        where = f"{WHERE}.add_computed_columns"
        new: Dict[str, List[Any]] = {}
        for index, row in enumerate(self.data):
            found = fn(index, dict(zip(self.columns, row)))
            if not isinstance(found, Mapping):
                raise ValidationError(where, f"of row {index} it returns {kind_name(found)}, no dict")
            if index and set(found) != set(new):
                raise ValidationError(where, f"of row {index} it returns other columns than of the first")
            for name, value in found.items():
                new.setdefault(name, []).append(value)
        for name, values in new.items():
            self.add_column(name, values)

    def get_column(self, name: ColumnKey, convert_to: Optional[str] = None) -> Any:
        """Return the values of a column, as a list, or as a numpy array if `convert_to` is "numpy".

        Raises:
            ValueError: There is no such column, or `convert_to` is something else.
        """
        index = self._index_of(name)
        values = [row[index] for row in self.data]
        if convert_to is None:
            return values
        if convert_to != "numpy":
            raise ValidationError(f"{WHERE}.get_column", f"convert_to {convert_to!r} is not known")
        return library("numpy", "media", "a column as an array").array(values)

    def get_index(self) -> List[TableIndex]:
        """Return the numbers of the rows."""
        return [self.index_ref(index) for index in range(len(self.data))]

    def index_ref(self, index: int) -> TableIndex:
        """Return the number of a row, which knows its row."""
        found = TableIndex(index)
        found._table = self
        return found

    def iterrows(self) -> Iterator[Tuple[TableIndex, List[Any]]]:
        """Yield the number of each row, and its values."""
        for index, row in enumerate(self.data):
            yield self.index_ref(index), row

    def get_dataframe(self) -> pd.DataFrame:
        """Return the table as a pandas DataFrame."""
        return library("pandas", "tables", "a table as a DataFrame").DataFrame(
            self.data, columns=self.columns
        )

    def cast(self, col_name: ColumnKey, dtype: Any, optional: bool = False) -> column_types.Type:
        """Say what type a column has.

        Raises:
            TypeError: A value in it has another type; nothing has changed.
        """
        index = self._index_of(col_name)
        found = column_types.parse(dtype, f"{WHERE}.cast")
        if optional:
            found = column_types.optional(found)
        for row in self.data:
            found = self._joined(found, row[index], col_name)
        self._types[index] = found
        self._known[index] = set()
        return found

    def set_pk(self, col_name: ColumnKey) -> None:
        """Say that the texts in a column tell the rows apart."""
        self.cast(col_name, column_types.PRIMARY_KEY)

    def set_fk(self, col_name: ColumnKey, table: Table, table_col: str) -> None:
        """Say that the texts in a column are those of another table's `table_col`."""
        if not isinstance(table, Table):
            raise ValidationError(f"{WHERE}.set_fk", f"{kind_name(table)} is no table")
        table._index_of(table_col)
        self.cast(col_name, column_types.foreign_key(table, table_col))

    def has_been_logged(self) -> bool:
        """Whether a run has it."""
        return self._stored is not None

    def column_types_json(self) -> Dict[str, Any]:
        """Return the types of the columns as wandb writes them into the table of an artifact."""
        return self._type_of_columns().to_json()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Table):
            return NotImplemented
        return (self.columns, self.data, self._types) == (other.columns, other.data, other._types)

    __hash__ = object.__hash__

    # ---- inside

    def _store(self, files: MediaFiles, key: str, step: object) -> Dict[str, Any]:
        if self._stored is not None and not self._is_news_for(files):
            return dict(self._stored[1])
        shown = self._new_rows()
        if len(self.data) - self._n_logged > self.MAX_ARTIFACT_ROWS:
            termwarn(f"log: {key}: the table is cut after {self.MAX_ARTIFACT_ROWS} rows")
        content = _encoded(self.columns, shown, f"log: {key}")
        found: Dict[str, Any] = {
            "_type": "table-file",
            **files.put(content, self._folder, key, step, ".table.json"),
            **self._addresses(),
            "ncols": len(self.columns),
            "nrows": len(self.data),
            "log_mode": self.log_mode,
        }
        if self.log_mode == "INCREMENTAL":
            found.update(_type="incremental-table-file", **self._increment())
            self._n_logged = len(self.data)
            self._n_increments += 1
            if "artifact_path" in found:
                self._increments.append(found["artifact_path"])
        self._stored = (files, found)
        return dict(found)

    def _is_news_for(self, files: object) -> bool:
        """Tell whether the run with these files does not have it as it is now."""
        if self._stored is None or self._stored[0] is not files:
            return True
        if self.log_mode == "INCREMENTAL":
            return len(self.data) > self._n_logged
        return self.log_mode == "MUTABLE"

    def _begin_log(self, files: object, earlier: Any) -> None:
        """Get ready for a run that does not have it yet.

        Args:
            earlier: What a part of the run that went before has logged under the key: JSON, or nothing.
        """
        is_ours = self._stored is not None and self._stored[0] is files
        if self._stored is not None:
            self._target = None  # what comes now is another version
        if self.log_mode != "INCREMENTAL" or is_ours:
            return
        self._n_logged = self._n_increments = 0
        self._increments = []
        if isinstance(earlier, dict) and earlier.get("_type") == "incremental-table-file":
            self._n_increments = int(earlier.get("increment_num") or 0) + 1
            self._increments = list(earlier.get("previous_increments_paths") or ())
            if earlier.get("artifact_path"):
                self._increments.append(earlier["artifact_path"])

    def _new_rows(self) -> List[List[Any]]:
        n_logged = self._n_logged if self.log_mode == "INCREMENTAL" else 0
        return self.data[n_logged : n_logged + self.MAX_ARTIFACT_ROWS]

    def _increment(self) -> Dict[str, Any]:
        return {
            "increment_num": self._n_increments,
            "previous_increments_paths": list(self._increments),
        }

    def _content(self) -> Content:
        return Content(_encoded(self.columns, self.data, WHERE), ".table.json")

    def _type_of_columns(self) -> column_types.Type:
        return column_types.DictOf({str(name): one for name, one in zip(self.columns, self._types)})

    def _store_in(self, media: ArtifactMedia) -> Dict[str, Any]:
        with media.inside(self):
            rows = self._new_rows()
            types, emptied = self._packed(rows, media)
            data = [
                _row_in_artifact(row, emptied, f"{media.where}: row {index}", self.columns, media)
                for index, row in enumerate(rows)
            ]
            increment = self._increment() if self.log_mode == "INCREMENTAL" else {}
            return {
                "_type": self._kind,
                **increment,
                "columns": self.columns,
                "data": data,
                "ncols": len(self.columns),
                "nrows": len(data),
                "column_types": column_types.DictOf(types).to_json(media),
                "log_mode": self.log_mode,
            }

    def _packed(
        self, rows: Sequence[Sequence[Any]], media: ArtifactMedia
    ) -> Tuple[Dict[str, column_types.Type], Set[int]]:
        """Put columns of large arrays into files of their own.

        Returns:
            The types of all columns, and the numbers of those that are in files.
        """
        types = {str(name): one for name, one in zip(self.columns, self._types)}
        emptied = set()
        for index, name in enumerate(map(str, self.columns)):
            array = column_types.array_in(types[name])
            cells = [row[index] for row in rows]
            if array is None or any(getattr(cell, "shape", None) != array.shape for cell in cells):
                continue
            if len(array.shape) == 1 and array.shape[0] <= MAX_EMBEDDING:
                types[name] = column_types.ListOf(column_types.NUMBER, array.shape[0])
                continue
            file = io.BytesIO()
            numpy = library("numpy", "media", "a column of arrays")
            numpy.savez_compressed(file, **{name: numpy.array(cells)})
            path = media.put(Content(file.getvalue(), ".npz"), "serialized_data")["path"]
            packed = column_types.ArrayOf(array.shape, path, name)
            types[name] = column_types.with_array(types[name], packed)
            emptied.add(index)
        return types, emptied

    @classmethod
    def _from_artifact(cls, tree: Mapping[str, Any], media: ArtifactMedia) -> Table:
        columns = list(tree["columns"])
        log_mode = tree.get("log_mode") or "IMMUTABLE"
        rows = _all_increments(media) if log_mode == "INCREMENTAL" else tree["data"]
        found = cls(columns=columns, log_mode=log_mode)
        written = tree.get("column_types")
        if isinstance(written, dict):
            by_name = column_types.from_json(written, media.get)
            if isinstance(by_name, column_types.DictOf):
                found._types = [by_name.types.get(str(name), column_types.ANY) for name in columns]
        packed = {}
        for index, one in enumerate(found._types):
            array = column_types.array_in(one)
            if array is not None and array.path is not None:
                numpy = library("numpy", "media", "a column of arrays")
                with numpy.load(media.file(array.path), allow_pickle=False) as file:
                    packed[index] = file[array.key]
        times = {index for index, one in enumerate(found._types) if column_types.holds_times(one)}
        for number, row in enumerate(rows):
            cells = [_cell_from_artifact(cell, index in times, media) for index, cell in enumerate(row)]
            for index, column in packed.items():
                cells[index] = column[number]
            if isinstance(written, dict):
                found.data.append(cells)
            else:  # of a client that wrote no types
                found._add(cells)
        return found

    def _first_types(self, dtype: Any, optional: Any) -> List[column_types.Type]:
        n = len(self.columns)
        dtypes = list(dtype) if isinstance(dtype, (list, tuple)) else [dtype] * n
        options = list(optional) if isinstance(optional, (list, tuple)) else [bool(optional)] * n
        for what, values in (("dtype", dtypes), ("optional", options)):
            if len(values) != n:
                raise ValidationError(f"{WHERE}: {what}", f"says {len(values)} for {n} columns")
        found = []
        for one, is_optional in zip(dtypes, options):
            parsed = column_types.UNKNOWN if one is None else column_types.parse(one, f"{WHERE}: dtype")
            found.append(column_types.optional(parsed) if is_optional else parsed)
        return found

    def _add_all(self, rows: Any) -> None:
        if hasattr(rows, "tolist") and hasattr(rows, "ndim"):
            if rows.ndim != 2:
                raise ValidationError(WHERE, f"an array of shape {rows.shape} has no rows and columns")
            rows = rows.tolist()
        elif not isinstance(rows, (list, tuple)):
            raise ValidationError(WHERE, f"data are {kind_name(rows)}, no list of rows")
        for row in rows:
            if not isinstance(row, (list, tuple)) and not hasattr(row, "tolist"):
                raise ValidationError(WHERE, f"{row!r} is no row", hint="data is a list of lists")
            self._add(row)

    def _add(self, values: Any) -> None:
        if not hasattr(values, "__len__") or getattr(values, "ndim", 1) == 0:
            raise ValidationError(WHERE, f"{values!r:.60} is no row", hint="data is a list of lists")
        if len(values) != len(self.columns):
            raise ValidationError(
                WHERE, f"a row of {len(values)} values for {len(self.columns)} columns, {self.columns}"
            )
        changed: Dict[int, column_types.Type] = {}
        for index, value in enumerate(values):
            if type(value) not in self._known[index]:
                changed[index] = self._joined(self._types[index], value, self.columns[index])
        for index, found in changed.items():
            self._types[index] = found
            kind = type(values[index])
            if kind in _PLAIN and values[index] == values[index]:
                self._known[index].add(kind)
        self.data.append(list(values))

    def _joined(self, found: column_types.Type, value: Any, name: ColumnKey) -> column_types.Type:
        joined = column_types.index_instead(found, value) or found.joined(value)
        if joined is None:
            raise ValidationError(
                f"{WHERE}: column {name!r}",
                f"{value!r:.60} is {column_types.type_of(value)}, and the column is {found}",
                hint="pass allow_mixed_types=True, or another dtype",
            )
        return joined

    def _index_of(self, name: ColumnKey) -> int:
        try:
            return self.columns.index(name)
        except ValueError:
            raise ValidationError(WHERE, f"there is no column {name!r} in {self.columns}") from None

    def _refuse_if_incremental(self, call: str) -> None:
        if self.log_mode == "INCREMENTAL":
            raise UsageError(
                f"wandb.Table.{call}: the rows of an INCREMENTAL table that were logged cannot change",
                hint="use MUTABLE or IMMUTABLE",
            )

    def _note_change(self) -> None:
        if self.log_mode == "MUTABLE":
            self._target = None  # the artifact has it as it was
        if self._stored is not None and self.log_mode == "IMMUTABLE":
            termwarn(
                "wandb.Table: this table was logged already, and what is changed from here on will not be "
                "logged; log_mode='MUTABLE' logs it anew each time.",
                repeat=False,
            )


class PartitionedTable(Media):
    """The tables in a directory of an artifact, taken as one.

        artifact.add(wandb.data_types.PartitionedTable("parts"), "whole")

    Args:
        parts_path: The directory.
    """

    _kind = "partitioned-table"

    def __init__(self, parts_path: Union[str, os.PathLike[str]]) -> None:
        if not isinstance(parts_path, (str, os.PathLike)):
            raise ValidationError("wandb.PartitionedTable", f"{kind_name(parts_path)} is no path")
        self.parts_path = os.fspath(parts_path)
        self._media: Optional[ArtifactMedia] = None  # of the artifact that it comes from

    def iterrows(self) -> Iterator[Tuple[int, List[Any]]]:
        """Yield the rows of all parts, numbered through; of one that came from no artifact, none.

        Raises:
            ValueError: The parts have different columns; rows of those before were yielded.
        """
        columns = None
        number = 0
        for name in () if self._media is None else self._media.files_below(self.parts_path):
            part = self._media.get(name) if self._media is not None else None
            if not isinstance(part, Table):
                continue  # a file that a part is made of
            if columns is not None and part.columns != columns:
                raise ValidationError(
                    "wandb.PartitionedTable", f"{name} has the columns {part.columns}, not {columns}"
                )
            columns = part.columns
            for row in part.data:
                yield number, row
                number += 1

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PartitionedTable) and self.parts_path == other.parts_path

    __hash__ = object.__hash__

    def _store(self, files: MediaFiles, key: str, step: object) -> Dict[str, Any]:
        return _address_only(self, key)

    def _store_in(self, media: ArtifactMedia) -> Dict[str, Any]:
        return {"_type": self._kind, "parts_path": self.parts_path}

    @classmethod
    def _from_artifact(cls, tree: Mapping[str, Any], media: ArtifactMedia) -> PartitionedTable:
        found = cls(tree["parts_path"])
        found._media = media
        return found


class JoinedTable(Media):
    """Two tables whose rows belong together where a column says the same.

        artifact.add(wandb.JoinedTable(questions, answers, "id"), "both")

    Args:
        table1, table2: The tables; or their names in the artifact, or entries of other artifacts.
        join_key: The name of the column in both, or a pair of names.

    Raises:
        ValueError: That is no key, or these are no tables.
    """

    _kind = "joined-table"

    def __init__(self, table1: Any, table2: Any, join_key: Union[str, Sequence[str]]) -> None:
        pair = [join_key, join_key] if isinstance(join_key, str) else list(join_key)
        if len(pair) != 2 or not all(isinstance(name, str) for name in pair):
            raise ValidationError("wandb.JoinedTable", "join_key is no name of a column, and no pair of them")
        for which, table in (("table1", table1), ("table2", table2)):
            if not isinstance(table, (Table, PartitionedTable)) and not _name_of(table).endswith(SUFFIX):
                raise ValidationError(
                    f"wandb.JoinedTable: {which}",
                    f"{table!r:.60} is no table",
                    hint=f"a wandb.Table, or the name of one in the artifact, which ends in {SUFFIX}",
                )
        self.table1 = table1
        self.table2 = table2
        self.join_key = join_key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, JoinedTable) and (self.table1, self.table2, self.join_key) == (
            other.table1,
            other.table2,
            other.join_key,
        )

    __hash__ = object.__hash__

    def _store(self, files: MediaFiles, key: str, step: object) -> Dict[str, Any]:
        return _address_only(self, key)

    def _store_in(self, media: ArtifactMedia) -> Dict[str, Any]:
        return {
            "_type": self._kind,
            "table1": self._placed(self.table1, 1, media),
            "table2": self._placed(self.table2, 2, media),
            "join_key": self.join_key,
        }

    def _placed(self, table: Any, which: int, media: ArtifactMedia) -> str:
        """Return the name of a table in the artifact; one that is an object is added."""
        if isinstance(table, (Table, PartitionedTable)):
            number = 0
            while media.has(f"t{which}_{number}.{table._kind}.json"):
                number += 1
            return media.add(table, f"t{which}_{number}").path
        if hasattr(table, "ref_url"):
            return media.refer(table)
        if not media.has(table):
            raise ValidationError(
                "wandb.JoinedTable", f"{table} is not in the artifact", hint="add the table to it first"
            )
        return str(table)

    @classmethod
    def _from_artifact(cls, tree: Mapping[str, Any], media: ArtifactMedia) -> JoinedTable:
        table1, table2 = (media.get(tree[which]) or tree[which] for which in ("table1", "table2"))
        return cls(table1, table2, tree["join_key"])


def _name_of(table: Any) -> str:
    return table if isinstance(table, str) else str(getattr(table, "path", ""))


def _address_only(value: Media, key: str) -> Dict[str, Any]:
    """Return what stands in a row for what lives in an artifact only."""
    address = value._addresses().get("artifact_path")
    if address is None:
        kind = type(value).__name__
        raise ValidationError(
            f"log: {key}", f"a {kind} lives in an artifact, and this one is in none", hint="artifact.add(...)"
        )
    return {"_type": value._kind, "artifact_path": address}


def _is_dataframe(value: Any) -> bool:
    kind = type(value)
    return kind.__name__ == "DataFrame" and kind.__module__.partition(".")[0] == "pandas"


def _encoded(columns: Sequence[ColumnKey], rows: Sequence[Sequence[Any]], where: str) -> bytes:
    """Return the file of a table as wandb's page reads it: media stand there by the name of their type."""
    found: List[Any] = []
    for index, row in enumerate(rows):
        if _PLAIN.issuperset(map(type, row)):
            found.append(row)
        else:
            found.append(
                [_cell(value, f"{where}: row {index}, {name!r}") for name, value in zip(columns, row)]
            )
    try:
        return compact_json({"columns": list(columns), "data": found})
    except ValueError as error:  # an int of more digits than Python prints
        raise ValidationError(where, f"a value cannot be written: {error}") from None


def _cell(value: Any, where: str) -> Any:
    if type(value) in _PLAIN:
        return value
    if isinstance(value, Media):
        return type(value).__name__
    if hasattr(value, "detach"):  # torch
        value = value.detach().cpu()
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, dict):
        return {str(key): _cell(item, where) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_cell(item, where) for item in value]
    return plain(value, where)


def _row_in_artifact(
    row: Sequence[Any], emptied: Set[int], where: str, columns: Sequence[ColumnKey], media: ArtifactMedia
) -> List[Any]:
    """Return a row as it stands in an artifact: media with all that is in them."""
    if not emptied and _PLAIN.issuperset(map(type, row)):
        return [None if value != value else value for value in row]
    return [
        None if index in emptied else _cell_in_artifact(value, f"{where}, {columns[index]!r}", media)
        for index, value in enumerate(row)
    ]


def _cell_in_artifact(value: Any, where: str, media: ArtifactMedia) -> Any:
    if type(value) in _PLAIN:
        return None if value != value else value
    if isinstance(value, Media):
        return value._store_in(media)
    if hasattr(value, "detach"):  # torch
        value = value.detach().cpu()
    if hasattr(value, "tolist"):
        found = value.tolist()
        if type(value).__name__ == "datetime64" and isinstance(found, int):
            found = found / 1e6  # nanoseconds
        return _cell_in_artifact(found, where, media)
    if isinstance(value, datetime.datetime):
        return int(
            (value if value.tzinfo else value.replace(tzinfo=datetime.timezone.utc)).timestamp() * 1000
        )
    if isinstance(value, datetime.date):
        whole = datetime.datetime(value.year, value.month, value.day, tzinfo=datetime.timezone.utc)
        return int(whole.timestamp() * 1000)
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, dict):
        return {str(key): _cell_in_artifact(item, where, media) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_cell_in_artifact(item, where, media) for item in value]
    return plain(value, where)


def _cell_from_artifact(cell: Any, is_time: bool, media: ArtifactMedia) -> Any:
    if is_time and isinstance(cell, (int, float)) and not isinstance(cell, bool) and math.isfinite(cell):
        return datetime.datetime.fromtimestamp(cell / 1000, tz=datetime.timezone.utc)
    found = media.value_of(cell) if isinstance(cell, dict) and "_type" in cell else None
    return cell if found is None else found


def _all_increments(media: ArtifactMedia) -> List[Any]:
    """Return the rows of all increments in an artifact: `<number>-<milliseconds>.<key>.table.json`."""

    def order(name: str) -> Tuple[float, ...]:
        numbers = name.partition(".")[0].split("-")
        return tuple(float(number) if number.isdigit() else math.inf for number in numbers)

    rows: List[Any] = []
    for name in sorted((one for one in media.names() if one.endswith(SUFFIX)), key=order):
        with open(media.file(name), encoding="utf-8") as file:
            rows.extend(json.load(file)["data"])
    return rows
