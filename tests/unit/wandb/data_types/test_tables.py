"""`wandb.Table`: columns and their types, rows, and what is logged of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, List

import pytest
from log_view import LogView

import wandb
from wandb.errors import UsageError, ValidationError


def types(table: Any) -> Any:
    return table.column_types_json()["params"]["type_map"]


def union(*names: str) -> Any:
    return {"wb_type": "union", "params": {"allowed_types": [{"wb_type": name} for name in names]}}


def logged(run: Any, key: str = "t") -> List[Any]:
    """The JSON of each row, and what its file holds."""
    found = []
    for row in LogView(run.sync_dir).rows():
        if key in row:
            found.append((row[key], json.loads((Path(run.dir) / row[key]["path"]).read_text())["data"]))
    return found


def test_the_types_are_written_as_wandb_writes_them() -> None:
    table = wandb.Table(columns=["a", "b", "c"], data=[[1, "x", None], [None, "y", True]])
    assert types(table) == {
        "a": union("none", "number"),
        "b": union("none", "string"),
        "c": union("boolean", "none"),
    }


def test_the_types_of_lists_and_dicts() -> None:
    table = wandb.Table(columns=["l", "d"], optional=False)
    table.add_data([1, 2], {"x": "a"})
    number, text = {"wb_type": "number"}, {"wb_type": "string"}
    assert types(table)["l"] == {"wb_type": "list", "params": {"element_type": number, "length": 2}}
    assert types(table)["d"] == {"wb_type": "typedDict", "params": {"type_map": {"x": text}}}
    table.add_data([1, 2, 3], {"x": "b"})
    assert types(table)["l"] == {"wb_type": "list", "params": {"element_type": number}}
    with pytest.raises(ValidationError, match="'l'"):
        table.add_data(["a"], {"x": "b"})
    with pytest.raises(ValidationError, match="'d'"):
        table.add_data([1], {"y": "b"})


def test_a_row_that_is_refused_leaves_no_trace() -> None:
    table = wandb.Table(columns=["a", "b"], data=[[1, 2]])
    before = types(table)
    with pytest.raises(TypeError, match="column 'b'.*string.*number"):
        table.add_data(3, "x")
    with pytest.raises(ValueError, match="a row of 1 values for 2 columns"):
        table.add_data(3)
    assert (table.data, types(table)) == ([[1, 2]], before)


def test_a_type_that_was_seen_is_not_taken_for_another() -> None:
    table = wandb.Table(columns=["a"], data=[["x"]])
    table.add_data("y")
    table.add_data(float("nan"))  # how pandas says that there is none
    for wrong in (1.5, True, 1):
        with pytest.raises(TypeError):
            table.add_data(wrong)


@pytest.mark.parametrize(
    "arguments",
    [
        {"columns": "ab"},
        {"columns": [1.5]},
        {"columns": [True]},
        {"columns": ["a", "a"]},
        {"columns": ["a"], "data": "x"},
        {"columns": ["a"], "data": [1]},
        {"columns": ["a"], "data": [[1, 2]]},
        {"columns": ["a"], "data": [["x"]], "dtype": int},
        {"columns": ["a"], "dtype": [int, int]},
        {"columns": ["a"], "dtype": "number"},
        {"columns": ["a"], "optional": [True, False]},
        {"columns": ["a"], "data": [[None]], "optional": False},
        {"columns": ["a"], "log_mode": "NEVER"},
        {"dataframe": [[1]]},
    ],
)
def test_arguments_that_make_no_table_are_refused(arguments: Any) -> None:
    with pytest.raises(ValidationError):
        wandb.Table(**arguments)


def test_an_immutable_table_is_logged_once(wandb_init_run: Any) -> None:
    table = wandb.Table(columns=["a"], data=[[1]])
    wandb_init_run.log({"t": table})
    table.add_data(2)
    wandb_init_run.log({"t": table})
    (first, data), (second, _) = logged(wandb_init_run)
    assert first == second
    assert (data, first["nrows"]) == ([[1]], 1)


def test_a_mutable_table_is_logged_whole_each_time(wandb_init_run: Any) -> None:
    table = wandb.Table(columns=["a"], data=[[1]], log_mode="MUTABLE")
    wandb_init_run.log({"t": table})
    table.add_data(2)
    table.add_column("b", ["x", "y"])
    wandb_init_run.log({"t": table})
    assert [data for _, data in logged(wandb_init_run)] == [[[1]], [[1, "x"], [2, "y"]]]


def test_an_incremental_table_logs_what_is_new(wandb_init_run: Any) -> None:
    table = wandb.Table(columns=["a"], log_mode="INCREMENTAL")
    for value in range(3):
        table.add_data(value)
        wandb_init_run.log({"t": table})
    found = logged(wandb_init_run)
    assert [data for _, data in found] == [[[0]], [[1]], [[2]]]
    assert [(row["increment_num"], row["nrows"]) for row, _ in found] == [(0, 1), (1, 2), (2, 3)]
    with pytest.raises(UsageError, match="add_column"):
        table.add_column("b", [1, 2, 3])


def test_a_table_that_one_run_has_is_logged_again_by_the_next() -> None:
    table = wandb.Table(columns=["a"], data=[[1]])
    for _ in range(2):
        with wandb.init(mode="offline", settings={"silent": True}) as run:
            run.log({"t": table})
        assert logged(run)[0][1] == [[1]]


def test_media_stand_in_the_file_by_the_name_of_their_type(wandb_init_run: Any) -> None:
    table = wandb.Table(columns=["page", "n"], data=[[wandb.Html("<p>"), 1], [None, 2]])
    assert types(table)["page"] == union("html-file", "none")
    wandb_init_run.log({"t": table})
    assert logged(wandb_init_run)[0][1] == [["Html", 1], [None, 2]]


def test_a_cell_that_cannot_be_stored_is_named(wandb_init_run: Any) -> None:
    table = wandb.Table(columns=["a"], data=[[object()]])
    with pytest.raises(ValidationError, match="log: t: row 0, 'a'"):
        wandb_init_run.log({"t": table, "x": 1})
    assert LogView(wandb_init_run.sync_dir).of("history") == []
    huge = wandb.Table(columns=["a"], data=[[10**5000]])
    with pytest.raises(ValidationError):
        wandb_init_run.log({"t": huge})


def test_columns_can_be_read_added_and_computed() -> None:
    table = wandb.Table(columns=["a"], data=[[1], [2]])
    table.add_column("b", ["x", "y"])
    table.add_computed_columns(lambda index, row: {"c": row["a"] * 10 + index})
    assert table.get_column("c") == [10, 21]
    assert [(int(index), row) for index, row in table.iterrows()] == [(0, [1, "x", 10]), (1, [2, "y", 21])]
    assert table.get_index()[1].get_row() == {"a": 2, "b": "y", "c": 21}
    for wrong in (("a", [1, 2]), ("d", [1])):
        with pytest.raises(ValidationError):
            table.add_column(*wrong)
    with pytest.raises(ValidationError, match="no column 'z'"):
        table.get_column("z")


def test_a_cast_looks_at_what_is_there() -> None:
    table = wandb.Table(columns=["a"], data=[[1], [None]])
    with pytest.raises(TypeError):
        table.cast("a", int)
    table.cast("a", int, optional=True)
    with pytest.raises(TypeError):
        table.set_pk("a")


def test_a_curve_of_a_classifier_needs_as_many_of_one_as_of_the_other() -> None:
    with pytest.raises(ValidationError):
        wandb.plot.confusion_matrix(y_true=[0, 1], preds=[0])
    chart = wandb.plot.confusion_matrix(y_true=[0, 2], preds=[0, 2], class_names=["a", "b", "c"])
    assert len(chart.table.data) == 9


def test_a_table_points_at_two_of_another_artifact(wandb_init_run: Any) -> None:
    first, second = (wandb.Table(columns=["a"], data=[[name]]) for name in ("x", "y"))
    theirs = wandb.Artifact("theirs", "data")
    theirs.add(first, "first")
    theirs.add(second, "second")
    wandb_init_run.log_artifact(theirs)
    pointing = wandb.Table(
        columns=["one", "two", "again"], data=[[first.index_ref(0), second.index_ref(0), first.index_ref(0)]]
    )
    ours = wandb.Artifact("ours", "data")
    ours.add(pointing, "pointing")
    places = {entry.ref.rpartition("/")[2] for entry in ours.manifest.entries.values() if entry.ref}
    assert places == {"first.table.json", "second.table.json"}
