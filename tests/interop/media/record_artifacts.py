"""Adds every kind of media to artifacts, with whichever client is installed: `record_artifacts.py DIRECTORY`.

Each case fills an artifact of its own, which is then logged; what a case returns is logged after that, in a
row of its own.  What a case raises is noted by its kind in `errors.json`, and that is compared too.
"""

from __future__ import annotations

import datetime
import io
import json
import os
import sys
from typing import Any, Callable, Dict

import numpy as np
from record_media import _write_given, pixels

import wandb

CASES: Dict[str, Callable[[Any], Any]] = {}
CLASSES = [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}]


def case(fill: Callable[[Any], Any]) -> Callable[[Any], Any]:
    CASES[fill.__name__] = fill
    return fill


def labelled(**options: Any) -> Any:
    """A picture with a mask and boxes."""
    return wandb.Image(
        pixels(8, 6, 3),
        masks={"guess": {"mask_data": pixels(8, 6) % 2, "class_labels": {0: "cat", 1: "dog"}}},
        boxes={
            "found": {
                "box_data": [
                    {
                        "position": {"minX": 0.1, "maxX": 0.5, "minY": 0.2, "maxY": 0.6},
                        "class_id": 1,
                        "box_caption": "a dog",
                        "scores": {"sure": 0.5},
                    }
                ],
                "class_labels": {0: "cat", 1: "dog"},
            }
        },
        **options,
    )


@case
def image(artifact: Any) -> None:
    artifact.add(wandb.Image(pixels(8, 6, 3), caption="rgb"), "picture")


@case
def image_in_a_folder(artifact: Any) -> None:
    artifact.add(wandb.Image(pixels(8, 6)), "folder/picture")


@case
def image_of_a_file(artifact: Any) -> None:
    artifact.add(wandb.Image("given.png"), "picture")


@case
def image_of_a_file_that_was_added(artifact: Any) -> None:
    artifact.add_file("given.png", "as/it/is.png")
    artifact.add(wandb.Image("given.png"), "picture")


@case
def image_with_all(artifact: Any) -> None:
    artifact.add(labelled(classes=CLASSES, caption="all", grouping=2), "picture")


@case
def image_with_classes_object(artifact: Any) -> None:
    artifact.add(labelled(classes=wandb.Classes(CLASSES)), "picture")


@case
def image_with_masks_without_classes(artifact: Any) -> None:
    artifact.add(labelled(), "picture")


@case
def image_with_mask_without_labels(artifact: Any) -> None:
    masks = {"guess": {"mask_data": pixels(8, 6) % 2}}
    artifact.add(wandb.Image(pixels(8, 6, 3), masks=masks, classes=CLASSES), "picture")


@case
def image_jpg(artifact: Any) -> None:
    artifact.add(wandb.Image(pixels(8, 6, 3), file_type="jpg"), "picture")


@case
def image_twice_under_two_names(artifact: Any) -> None:
    picture = wandb.Image(pixels(8, 6, 3))
    artifact.add(picture, "one")
    artifact.add(picture, "two")


@case
def two_equal_images(artifact: Any) -> None:
    artifact.add(wandb.Image(pixels(8, 6, 3)), "one")
    artifact.add(wandb.Image(pixels(8, 6, 3)), "two")


@case
def one_name_twice(artifact: Any) -> None:
    artifact.add(wandb.Image(pixels(8, 6, 3)), "one")
    artifact.add(wandb.Image(pixels(4, 6, 3)), "one")


@case
def one_name_overwritten(artifact: Any) -> None:
    artifact.add(wandb.Image(pixels(8, 6, 3)), "one")
    artifact.add(wandb.Image(pixels(4, 6, 3)), "one", overwrite=True)


@case
def name_with_suffix(artifact: Any) -> None:
    artifact.add(wandb.Image(pixels(8, 6, 3)), "one.image-file.json")
    artifact.add(wandb.Table(columns=["a"], data=[[1]]), "two.table.json")


@case
def set_by_index(artifact: Any) -> None:
    artifact["one"] = wandb.Image(pixels(8, 6, 3))


@case
def image_that_is_logged_after(artifact: Any) -> Any:
    picture = wandb.Image(pixels(8, 6, 3))
    artifact.add(picture, "picture")
    return picture


@case
def table_that_is_logged_after(artifact: Any) -> Any:
    table = wandb.Table(columns=["a"], data=[[1]])
    artifact.add(table, "table")
    return table


@case
def classes(artifact: Any) -> None:
    artifact.add(wandb.Classes(CLASSES), "classes")


@case
def audio_file(artifact: Any) -> None:
    artifact.add(wandb.Audio("given.wav", caption="heard"), "sound")


@case
def audio_samples(artifact: Any) -> None:
    artifact.add(wandb.Audio(np.linspace(-1, 1, 64), sample_rate=8000), "sound")


@case
def video_file(artifact: Any) -> None:
    artifact.add(wandb.Video("given.mp4", caption="seen"), "video")


@case
def video_open_file(artifact: Any) -> None:
    artifact.add(wandb.Video(io.BytesIO(b"no video"), format="mp4"), "video")


@case
def html(artifact: Any) -> None:
    artifact.add(wandb.Html("<p>text</p>"), "page")


@case
def html_file(artifact: Any) -> None:
    artifact.add(wandb.Html("given.html", inject=False), "page")


@case
def points(artifact: Any) -> None:
    artifact.add(wandb.Object3D(pixels(5, 3).astype(float)), "points")


@case
def points_file(artifact: Any) -> None:
    artifact.add(wandb.Object3D("given.pts.json"), "points")


@case
def solid(artifact: Any) -> None:
    artifact.add(wandb.Object3D("given.obj"), "thing")


@case
def molecule(artifact: Any) -> None:
    artifact.add(wandb.Molecule("given.pdb", caption="folded"), "molecule")


@case
def molecule_open_file(artifact: Any) -> None:
    artifact.add(wandb.Molecule(io.StringIO("ATOM"), file_type="pdb"), "molecule")


@case
def histogram(artifact: Any) -> None:
    artifact.add(wandb.Histogram([1, 2, 3]), "histogram")


@case
def plotly(artifact: Any) -> None:
    import plotly.graph_objects as go

    artifact.add(wandb.Plotly(go.Figure(go.Scatter(x=[1], y=[2]))), "figure")


@case
def number(artifact: Any) -> None:
    artifact.add(3, "number")


@case
def table(artifact: Any) -> None:
    artifact.add(wandb.Table(columns=["a", "b"], data=[[1, "x"], [2.5, None], [float("nan"), "é"]]), "table")


@case
def table_empty(artifact: Any) -> None:
    artifact.add(wandb.Table(columns=["a"]), "table")


@case
def table_without_columns(artifact: Any) -> None:
    artifact.add(wandb.Table(columns=[]), "table")


@case
def table_of_numbered_columns(artifact: Any) -> None:
    artifact.add(wandb.Table(columns=["1", "2"], data=[[1, 2]]), "table")


@case
def table_of_everything(artifact: Any) -> None:
    artifact.add(
        wandb.Table(
            columns=["n", "t", "b", "list", "dict", "date", "day", "np", "any"],
            data=[
                [
                    1,
                    "x",
                    True,
                    [1, 2],
                    {"a": 1},
                    datetime.datetime(2020, 1, 2, 3, 4, 5),
                    datetime.date(2020, 1, 2),
                    np.float32(0.5),
                    (1, "x"),
                ],
                [
                    2,
                    None,
                    False,
                    [3, 4],
                    {"a": 2},
                    datetime.datetime(2020, 1, 2, tzinfo=datetime.timezone.utc),
                    None,
                    np.float32(1.5),
                    None,
                ],
            ],
        ),
        "table",
    )


@case
def table_of_lists_of_several_lengths(artifact: Any) -> None:
    artifact.add(wandb.Table(columns=["list"], data=[[[1, 2]], [[3]]]), "table")


@case
def table_of_mixed_types(artifact: Any) -> None:
    artifact.add(wandb.Table(columns=["a"], data=[[1], ["x"], [None]], allow_mixed_types=True), "table")


@case
def table_of_typed_columns(artifact: Any) -> None:
    table = wandb.Table(columns=["a", "b"], data=[[1, "x"]], dtype=[int, str], optional=[False, True])
    artifact.add(table, "table")


@case
def table_of_pictures(artifact: Any) -> None:
    rows = [[1, wandb.Image(pixels(8, 6, 3), caption="first")], [2, wandb.Image(pixels(8, 6))], [3, None]]
    artifact.add(wandb.Table(columns=["n", "picture"], data=rows), "table")


@case
def table_of_files(artifact: Any) -> None:
    row = [wandb.Image("given.png"), wandb.Audio("given.wav"), wandb.Video("given.mp4"), wandb.Html("<p>")]
    artifact.add(wandb.Table(columns=["i", "a", "v", "h"], data=[row]), "table")


@case
def table_of_molecules_and_points(artifact: Any) -> None:
    row = [wandb.Molecule("given.pdb"), wandb.Object3D(pixels(5, 3).astype(float))]
    artifact.add(wandb.Table(columns=["m", "o"], data=[row]), "table")


@case
def table_of_labelled_pictures(artifact: Any) -> None:
    table = wandb.Table(columns=["picture"], data=[[labelled(classes=CLASSES)]])
    table.add_data(wandb.Image(pixels(4, 4, 3), classes=wandb.Classes([{"id": 2, "name": "bird"}])))
    artifact.add(table, "table")


@case
def table_of_arrays(artifact: Any) -> None:
    table = wandb.Table(columns=["short", "square"])
    for index in range(3):
        table.add_data(np.arange(4) + index, np.arange(4.0).reshape(2, 2) * index)
    artifact.add(table, "table")


@case
def table_of_long_arrays(artifact: Any) -> None:
    artifact.add(wandb.Table(columns=["long"], data=[[np.arange(300)], [np.arange(300)]]), "table")


@case
def table_of_dataframe(artifact: Any) -> None:
    import pandas as pd

    frame = pd.DataFrame({"n": [1, 2], "t": ["x", "y"], "f": [0.5, float("nan")]})
    artifact.add(wandb.Table(dataframe=frame), "table")


@case
def table_in_a_table(artifact: Any) -> None:
    inner = wandb.Table(columns=["a"], data=[[wandb.Image(pixels(8, 6, 3))]])
    artifact.add(wandb.Table(columns=["inner"], data=[[inner]]), "table")


@case
def table_with_keys(artifact: Any) -> None:
    people = wandb.Table(columns=["name", "age"], data=[["ann", 1], ["bob", 2]])
    people.set_pk("name")
    artifact.add(people, "people")


@case
def table_that_points_at_another(artifact: Any) -> None:
    people = wandb.Table(columns=["name", "age"], data=[["ann", 1], ["bob", 2]])
    people.set_pk("name")
    artifact.add(people, "people")
    notes = wandb.Table(columns=["who", "note"], data=[["ann", "x"]])
    notes.set_fk("who", people, "name")
    artifact.add(notes, "notes")


@case
def table_of_indices(artifact: Any) -> None:
    people = wandb.Table(columns=["name"], data=[["ann"], ["bob"]])
    artifact.add(people, "people")
    notes = wandb.Table(columns=["who", "note"])
    for index in people.get_index():
        notes.add_data(index, "x")
    artifact.add(notes, "notes")


@case
def table_with_computed_columns(artifact: Any) -> None:
    table = wandb.Table(columns=["x"], data=[[1], [2]])
    table.add_computed_columns(lambda index, row: {"twice": row["x"] * 2, "index": index})
    artifact.add(table, "table")


@case
def table_with_added_columns(artifact: Any) -> None:
    table = wandb.Table(columns=["x"], data=[[1], [2]])
    table.add_column("y", ["a", "b"])
    table.add_column("z", np.array([0.5, 1.5]))
    artifact.add(table, "table")


@case
def table_of_a_key_of_classes(artifact: Any) -> None:
    table = wandb.Table(columns=["class"], dtype=[wandb.Classes(CLASSES).get_type()])
    table.add_data(1)
    artifact.add(table, "table")


@case
def joined_tables(artifact: Any) -> None:
    for name in ("left", "right"):
        artifact.add(wandb.Table(columns=["id", name], data=[["a", 1]]), name)
    artifact.add(wandb.JoinedTable("left.table.json", "right.table.json", "id"), "both")


@case
def joined_tables_of_two_keys(artifact: Any) -> None:
    for name in ("left", "right"):
        artifact.add(wandb.Table(columns=[name, "x"], data=[["a", 1]]), name)
    artifact.add(wandb.JoinedTable("left.table.json", "right.table.json", ["left", "right"]), "both")


@case
def joined_tables_that_are_objects(artifact: Any) -> None:
    left, right = (wandb.Table(columns=["id", name], data=[["a", 1]]) for name in ("left", "right"))
    artifact.add(left, "left")
    artifact.add(right, "right")
    artifact.add(wandb.JoinedTable(left, right, "id"), "both")


@case
def joined_tables_that_are_not_there(artifact: Any) -> None:
    artifact.add(wandb.JoinedTable("left.table.json", "right.table.json", "id"), "both")


@case
def joined_tables_that_are_logged_after(artifact: Any) -> Any:
    for name in ("left", "right"):
        artifact.add(wandb.Table(columns=["id", name], data=[["a", 1]]), name)
    both = wandb.JoinedTable("left.table.json", "right.table.json", "id")
    artifact.add(both, "both")
    return both


@case
def partitioned_table(artifact: Any) -> None:
    for index in range(2):
        artifact.add(wandb.Table(columns=["a"], data=[[index]]), f"parts/{index}")
    artifact.add(wandb.data_types.PartitionedTable(parts_path="parts"), "whole")


@case
def partitioned_table_that_is_logged_after(artifact: Any) -> Any:
    artifact.add(wandb.Table(columns=["a"], data=[[1]]), "parts/1")
    whole = wandb.data_types.PartitionedTable(parts_path="parts")
    artifact.add(whole, "whole")
    return whole


@case
def table_incremental(artifact: Any) -> Any:
    artifact.add_file("given.png")
    table = wandb.Table(columns=["a"], log_mode="INCREMENTAL")
    for index in range(3):
        table.add_data(index)
        run.log({"increments": table})
    return table


@case
def table_mutable_that_changes(artifact: Any) -> None:
    artifact.add_file("given.png")
    table = wandb.Table(columns=["a"], log_mode="MUTABLE")
    for index in range(2):
        table.add_data(index)
        run.log({"changing": table})


@case
def table_of_pictures_in_a_run(artifact: Any) -> Any:
    artifact.add_file("given.png")
    return wandb.Table(columns=["n", "picture"], data=[[1, wandb.Image(pixels(8, 6, 3))]])


@case
def chart(artifact: Any) -> Any:
    artifact.add_file("given.png")
    return wandb.plot.line(wandb.Table(columns=["x", "y"], data=[[1, 2]]), "x", "y")


@case
def joined_tables_that_are_in_no_artifact(artifact: Any) -> Any:
    artifact.add_file("given.png")
    return wandb.JoinedTable("left.table.json", "right.table.json", "id")


@case
def bokeh_model(artifact: Any) -> None:
    from bokeh.plotting import figure

    plot = figure()
    plot.line([1, 2], [3, 4])
    artifact.add(wandb.data_types.Bokeh(plot), "plot")


@case
def table_mutable(artifact: Any) -> Any:
    table = wandb.Table(columns=["a"], data=[[1]], log_mode="MUTABLE")
    artifact.add(table, "table")
    return table


@case
def name_that_leads_out(artifact: Any) -> None:
    artifact.add(wandb.Table(columns=["a"], data=[[1]]), "../table")


if __name__ == "__main__":
    os.makedirs(sys.argv[1], exist_ok=True)
    os.chdir(sys.argv[1])
    _write_given()
    errors: Dict[str, str] = {}
    run = wandb.init(
        mode="offline",
        project="media",
        id="fixed",
        settings=wandb.Settings(console="off", silent=True, x_disable_stats=True, x_disable_meta=True),
    )
    for name, fill in CASES.items():
        if sys.argv[2:] and name not in sys.argv[2:]:
            continue
        artifact = wandb.Artifact(name, type="media")
        try:
            value = fill(artifact)
            run.log_artifact(artifact)
            if value is not None:
                run.log({f"logged/{name}": value})
        except Exception as error:
            errors[name] = type(error).__name__ + ": " + str(error)
    run.finish()
    with open("errors.json", "w") as file:
        json.dump(errors, file, indent=1)
