"""Media in artifacts: added, recorded, and read back; and tables of runs, which are artifacts too."""

from __future__ import annotations

import datetime
import json
import os
from pathlib import Path
from typing import Any, Callable, Dict, List

import numpy as np
import pytest
from log_view import LogView

import wandb
from wandb.data_types import PartitionedTable
from wandb.errors import LogWriteError, MediaFileError, ValidationError

CLASSES = [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}]


def pixels(*shape: int) -> Any:
    return (np.arange(int(np.prod(shape))) * 37 % 251).astype(np.uint8).reshape(shape)


def there_and_back(run: Any, value: Any, name: str = "it") -> Any:
    artifact = wandb.Artifact("case", type="media")
    artifact.add(value, name)
    run.log_artifact(artifact)
    return artifact.get(name)


def artifacts_of(run: Any) -> Dict[str, Any]:
    return {record.name: record for record in LogView(run.sync_dir).of("artifact")}


def json_of(record: Any, path: str) -> Any:
    (entry,) = [entry for entry in record.manifest.contents if entry.path == path]
    return json.loads(Path(entry.local_path).read_text())


def test_a_table_comes_back_as_it_was(wandb_init_run: Any) -> None:
    when = datetime.datetime(2020, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)
    rows = [[1, "x", None, [1, 2], {"a": 1}, when, True], [2.5, None, "é", [3, 4], {"a": 2}, when, False]]
    table = wandb.Table(columns=list("abcdefg"), data=rows)
    found = there_and_back(wandb_init_run, table)
    assert found == table
    assert found.data[0][5] == when


def test_media_in_a_table_come_back(wandb_init_run: Any) -> None:
    table = wandb.Table(columns=["n", "picture", "page"])
    table.add_data(1, wandb.Image(pixels(8, 6, 3), caption="first"), wandb.Html("<p>", inject=False))
    table.add_data(2, None, None)
    found = there_and_back(wandb_init_run, table)
    picture, page = found.data[0][1:]
    assert np.array_equal(np.asarray(picture.image), pixels(8, 6, 3))
    assert (picture.caption, page.html) == ("first", "<p>")
    assert found.data[1] == [2, None, None]


def test_arrays_in_a_table_come_back(wandb_init_run: Any) -> None:
    table = wandb.Table(columns=["square", "n"])
    for index in range(3):
        table.add_data(np.arange(4.0).reshape(2, 2) * index, index)
    found = there_and_back(wandb_init_run, table)
    assert [row[1] for row in found.data] == [0, 1, 2]
    assert all(np.array_equal(*pair) for pair in zip(found.get_column("square"), table.get_column("square")))


def test_arrays_of_several_shapes_stay_where_they_are(wandb_init_run: Any) -> None:
    table = wandb.Table(columns=["a"], data=[[np.zeros((2, 2))], [None]])
    assert there_and_back(wandb_init_run, table).data == [[[[0.0, 0.0], [0.0, 0.0]]], [None]]


def test_a_picture_comes_back_with_what_lies_over_it(wandb_init_run: Any) -> None:
    box = {"position": {"minX": 0.1, "maxX": 0.5, "minY": 0.2, "maxY": 0.6}, "class_id": 1}
    picture = wandb.Image(
        pixels(8, 6, 3),
        caption="all",
        classes=CLASSES,
        masks={"guess": {"mask_data": pixels(8, 6) % 2, "class_labels": {0: "cat", 1: "dog"}}},
        boxes={"found": {"box_data": [box]}},
    )
    found = there_and_back(wandb_init_run, picture)
    assert found.caption == "all"
    assert found._classes == wandb.Classes(CLASSES)
    assert found._boxes["found"]._val["box_data"] == [box]
    assert list(found._masks) == ["guess"]


@pytest.mark.parametrize(
    "name, text, make",
    [
        ("a.mp4", "no video", wandb.Video),
        ("a.wav", "no sound", wandb.Audio),
        ("a.pdb", "ATOM", wandb.Molecule),
        ("a.pts.json", "[[0,0,0]]", wandb.Object3D),
    ],
)
def test_files_come_back(
    wandb_init_run: Any, tmp_path: Path, name: str, text: str, make: Callable[..., Any]
) -> None:
    (tmp_path / name).write_text(text)
    found = there_and_back(wandb_init_run, make(str(tmp_path / name), caption="seen"))
    assert (type(found), found.caption) == (make, "seen")
    assert Path(found._content().data).read_text() == text


def test_what_is_not_there_is_none(wandb_init_run: Any) -> None:
    artifact = wandb.Artifact("case", type="media")
    artifact.add(wandb.Classes(CLASSES), "classes")
    wandb_init_run.log_artifact(artifact)
    assert artifact.get("classes") == wandb.Classes(CLASSES)
    assert artifact.get("other") is None


def test_a_file_that_is_no_table_is_an_error(wandb_init_run: Any, tmp_path: Path) -> None:
    for index, text in enumerate(["no json", "[]", '{"_type": "table"}', '{"_type": "image-file"}', "{}"]):
        (tmp_path / "it").write_text(text)
        artifact = wandb.Artifact(f"case-{index}", type="media")
        artifact.add_file(str(tmp_path / "it"), "t.table.json")
        wandb_init_run.log_artifact(artifact)
        if text in ("[]", "{}"):
            assert artifact.get("t") is None
        else:
            with pytest.raises(MediaFileError, match="t.table.json is no Table"):
                artifact.get("t")


def test_joined_tables_come_back_with_their_tables(wandb_init_run: Any) -> None:
    left, right = (wandb.Table(columns=["id", name], data=[["a", 1]]) for name in ("left", "right"))
    found = there_and_back(wandb_init_run, wandb.JoinedTable(left, right, "id"))
    assert (found.table1, found.table2, found.join_key) == (left, right, "id")


def test_two_joins_in_one_artifact_keep_their_own_tables(wandb_init_run: Any) -> None:
    artifact = wandb.Artifact("case", type="media")
    for name in ("one", "two"):
        tables = [wandb.Table(columns=["id", name], data=[["a", index]]) for index in range(2)]
        artifact.add(wandb.JoinedTable(*tables, "id"), name)
    wandb_init_run.log_artifact(artifact)
    assert [artifact.get(name).table1.columns[1] for name in ("one", "two")] == ["one", "two"]


def test_the_parts_of_a_table_are_read_as_one(wandb_init_run: Any) -> None:
    artifact = wandb.Artifact("case", type="media")
    for index in range(3):
        artifact.add(wandb.Table(columns=["a"], data=[[index], [index]]), f"parts/{index}")
    artifact.add(PartitionedTable("parts"), "whole")
    wandb_init_run.log_artifact(artifact)
    rows = list(artifact.get("whole").iterrows())
    assert rows == [(index, [index // 2]) for index in range(6)]


def test_parts_of_different_columns_are_refused(wandb_init_run: Any) -> None:
    artifact = wandb.Artifact("case", type="media")
    artifact.add(wandb.Table(columns=["a"], data=[[1]]), "parts/1")
    artifact.add(wandb.Table(columns=["b"], data=[[1]]), "parts/2")
    artifact.add(PartitionedTable("parts"), "whole")
    wandb_init_run.log_artifact(artifact)
    with pytest.raises(ValidationError, match="has the columns"):
        list(artifact.get("whole").iterrows())


def test_a_table_points_at_rows_of_another(wandb_init_run: Any) -> None:
    people = wandb.Table(columns=["name"], data=[["ann"], ["bob"]])
    people.set_pk("name")
    notes = wandb.Table(columns=["who", "note"], data=[["bob", "x"]])
    notes.set_fk("who", people, "name")
    rows = wandb.Table(columns=["row"])
    rows.add_data(people.get_index()[1])
    artifact = wandb.Artifact("case", type="media")
    for name, table in (("notes", notes), ("rows", rows)):
        artifact.add(table, name)
    wandb_init_run.log_artifact(artifact)
    assert artifact.get("notes").data == [["bob", "x"]]
    assert artifact.get("rows").data == [[1]]
    (where,) = [path for path in artifact.manifest.entries if path.startswith("media/tables/")]
    assert artifact.get(where) == people


def test_a_table_that_contains_itself_is_refused(wandb_init_run: Any) -> None:
    table = wandb.Table(columns=["t"])
    table.add_data(table)
    with pytest.raises(ValidationError, match="contains itself"):
        wandb_init_run.log({"t": table})
    with pytest.raises(ValidationError, match="contains itself"):
        wandb.Artifact("case", type="media").add(table, "t")


def test_a_row_may_have_its_own_number(wandb_init_run: Any) -> None:
    table = wandb.Table(columns=["x"], data=[[1], [2]])
    for index, _ in list(table.iterrows()):
        assert index == table.get_index()[index]
    table.add_column("own", table.get_index())
    wandb_init_run.log({"t": table})
    record = artifacts_of(wandb_init_run)[f"run-{wandb_init_run.id}-t"]
    assert json_of(record, "t.table.json")["data"] == [[1, 0], [2, 1]]


def test_a_logged_table_is_an_artifact_before_its_row(wandb_init_run: Any) -> None:
    wandb_init_run.log({"deep": {"t": wandb.Table(columns=["a"], data=[[1]])}})
    kinds = LogView(wandb_init_run.sync_dir).kinds()
    assert kinds.index("artifact") < kinds.index("history")
    (record,) = artifacts_of(wandb_init_run).values()
    assert (record.name, record.type) == (f"run-{wandb_init_run.id}-t", "run_table")
    row = LogView(wandb_init_run.sync_dir).rows()[-1]["deep"]["t"]
    assert row["artifact_path"] == f"wandb-client-artifact://{record.client_id}/t.table.json"
    assert row["_latest_artifact_path"].endswith(f"{record.sequence_client_id}:latest/t.table.json")
    for entry in record.manifest.contents:
        assert Path(entry.local_path).is_relative_to(wandb_init_run.sync_dir)


def test_an_immutable_table_is_one_artifact(wandb_init_run: Any) -> None:
    table = wandb.Table(columns=["a"], data=[[1]])
    for _ in range(3):
        wandb_init_run.log({"t": table})
    assert len(LogView(wandb_init_run.sync_dir).of("artifact")) == 1
    assert len({row["t"]["artifact_path"] for row in LogView(wandb_init_run.sync_dir).rows()}) == 1


def test_a_mutable_table_is_an_artifact_each_time(wandb_init_run: Any) -> None:
    table = wandb.Table(columns=["a"], log_mode="MUTABLE")
    for index in range(2):
        table.add_data(index)
        wandb_init_run.log({"t": table})
    records = LogView(wandb_init_run.sync_dir).of("artifact")
    assert [json_of(record, "t.table.json")["data"] for record in records] == [[[0]], [[0], [1]]]


def test_increments_are_read_back_as_one_table(wandb_init_run: Any) -> None:
    table = wandb.Table(columns=["a"], log_mode="INCREMENTAL")
    whole = wandb.Artifact("all", type="media")  # what a server makes of the increments
    for index in range(12):
        table.add_data(index)
        wandb_init_run.log({"t": table})
    records = LogView(wandb_init_run.sync_dir).of("artifact")
    assert {record.type for record in records} == {"wandb-run-incremental-table"}
    for record in records:
        (entry,) = record.manifest.contents
        whole.add_file(entry.local_path, entry.path)
    wandb_init_run.log_artifact(whole)
    assert whole.get(records[0].manifest.contents[0].path).data == [[index] for index in range(12)]
    rows = LogView(wandb_init_run.sync_dir).rows()
    assert rows[-1]["t"]["previous_increments_paths"] == [row["t"]["artifact_path"] for row in rows[:-1]]


def test_a_run_that_goes_on_goes_on_with_its_increments() -> None:
    paths = []
    for index in range(2):
        options: Any = {"resume": "allow", "settings": {"silent": True, "console": "off"}}
        with wandb.init(mode="offline", id="goes-on", **options) as run:
            run.log({"t": wandb.Table(columns=["a"], data=[[index]], log_mode="INCREMENTAL")})
        row = LogView(run.sync_dir).rows()[-1]["t"]
        assert (row["increment_num"], row["previous_increments_paths"]) == (index, paths)
        paths.append(row["artifact_path"])


def test_a_value_of_another_artifact_is_referred_to(wandb_init_run: Any) -> None:
    first, second = (wandb.Artifact(name, type="media") for name in ("first", "second"))
    table = wandb.Table(columns=["a"], data=[[1]])
    first.add(table, "t")
    wandb_init_run.log_artifact(first)
    second.add(table, "again")
    second.add(first.get("t"), "back")
    wandb_init_run.log_artifact(second)
    entries = artifacts_of(wandb_init_run)["second"].manifest.contents
    assert [(entry.path, entry.ref.rpartition("/")[2]) for entry in entries] == [
        ("again.table.json", "t.table.json"),
        ("back.table.json", "t.table.json"),
    ]


@pytest.mark.parametrize("key", ["../../up", "a/../b", "/top", "line\nbreak", "x" * 300, "ünï", "a\\b", "."])
def test_no_key_makes_an_artifact_that_cannot_be(wandb_init_run: Any, key: str) -> None:
    wandb_init_run.log({key: wandb.Table(columns=["a"], data=[[1]])})
    (record,) = LogView(wandb_init_run.sync_dir).of("artifact")
    assert len(record.name) <= 128
    (entry,) = record.manifest.contents
    assert ".." not in entry.path.split("/") and not entry.path.startswith("/")
    assert json.loads(Path(entry.local_path).read_text())["data"] == [[1]]


def test_what_cannot_stand_in_an_artifact_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.obj").write_text("v 0 0 0\n")
    artifact = wandb.Artifact("case", type="media")
    for value in (3, None, wandb.Histogram([1]), wandb.Object3D(str(tmp_path / "a.obj"))):
        with pytest.raises(ValidationError, match="Artifact.add"):
            artifact.add(value, "it")
    with pytest.raises(ValidationError):
        artifact.add(wandb.Classes(CLASSES), "../up")
    assert list(artifact.manifest.entries) == []


@pytest.mark.swallows
def test_without_room_for_the_artifact_the_table_is_logged(
    wandb_init_run: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, swallowed_errors: List[Any]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "file"))  # no directory, and none can be made there
    wandb_init_run.log({"t": wandb.Table(columns=["a"], data=[[1]])})
    assert [type(error) for error in swallowed_errors] == [LogWriteError]
    row = LogView(wandb_init_run.sync_dir).rows()[-1]["t"]
    assert (row["nrows"], "artifact_path" in row) == (1, False)
    assert os.path.isfile(os.path.join(wandb_init_run.dir, row["path"]))
