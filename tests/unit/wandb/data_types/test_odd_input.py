"""What nobody would log on purpose: each type says clearly what is wrong, or stores something sensible, and
the run goes on."""

from __future__ import annotations

import io
import os
from typing import Any, Callable, Dict, List

import numpy as np
import pytest
from log_view import LogView

import wandb
from wandb.errors import UsageError, ValidationError


class Unwilling:
    """An array whose own code fails."""

    def __array__(self, *args: Any, **options: Any) -> Any:
        raise RuntimeError("not today")


class Pair:
    def read(self) -> Any:
        return (1, 2)


def closed() -> Any:
    file = io.StringIO("text")
    file.close()
    return file


def within_itself() -> List[Any]:
    value: List[Any] = []
    value.append(value)
    return value


PIXELS = np.zeros((3, 3))
BOX = {"center": [0, 0, 0], "size": [1, 1, 1], "orientation": [1, 0, 0, 0], "color": [1, 2, 3]}
SCENE = {"type": "lidar/beta"}

REFUSED: Dict[str, Callable[[], Any]] = {
    "image of no array": lambda: wandb.Image(Unwilling()),
    "image of an open file": lambda: wandb.Image(io.BytesIO(b"x")),
    "image of ragged rows": lambda: wandb.Image([[1, 2], [3]]),
    "image of a directory": lambda: wandb.Image(os.curdir),
    "image with odd file_type": lambda: wandb.Image(PIXELS, file_type=["png"]),  # type: ignore[arg-type]
    "mask of a number": lambda: wandb.Image(PIXELS, masks={"a": {"path": 3}}),
    "mask of no array": lambda: wandb.Image(PIXELS, masks={"a": {"mask_data": Unwilling()}}),
    "audio of ragged rows": lambda: wandb.Audio([[1], [1, 2]], sample_rate=8000),  # type: ignore[list-item]
    "audio of no array": lambda: wandb.Audio(Unwilling(), sample_rate=8000),  # type: ignore[arg-type]
    "audio of None": lambda: wandb.Audio(None, sample_rate=8000),  # type: ignore[arg-type]
    "video of ragged rows": lambda: wandb.Video([[1], [2, 3]], format="gif"),
    "video of text": lambda: wandb.Video(np.full((2, 3, 4, 4), "a"), format="gif"),
    "video of less than no frames": lambda: wandb.Video(np.zeros((2, 3, 4, 4)), fps=-1, format="gif"),
    "video of a closed file": lambda: wandb.Video(closed(), format="gif"),
    "html of a closed file": lambda: wandb.Html(closed()),
    "html of a pair": lambda: wandb.Html(Pair()),  # type: ignore[arg-type]
    "molecule of a closed file": lambda: wandb.Molecule(closed(), file_type="pdb"),
    "molecule of another type": lambda: wandb.Molecule(io.StringIO("x"), file_type="../../x"),
    "points of text": lambda: wandb.Object3D(np.full((2, 3), "a")),
    "points of one number": lambda: wandb.Object3D(np.float64(1)),  # type: ignore[arg-type]
    "scene of a number": lambda: wandb.Object3D({**SCENE, "points": 5}),
    "scene of a list": lambda: wandb.Object3D({"type": ["lidar/beta"]}),
    "box of text": lambda: wandb.box3d(**{**BOX, "center": "abc"}),  # type: ignore[arg-type]
    "box of None": lambda: wandb.box3d(**{**BOX, "size": None}),  # type: ignore[arg-type]
    "histogram of text bins": lambda: wandb.Histogram([1], num_bins="auto"),  # type: ignore[arg-type]
    "histogram of a number": lambda: wandb.Histogram(np_histogram=5),  # type: ignore[arg-type]
    "histogram of nothing": lambda: wandb.Histogram(np_histogram=(None, None)),  # type: ignore[arg-type]
    "histogram of objects": lambda: wandb.Histogram(np_histogram=([object()], [1, 2])),  # type: ignore
    "table of numbers": lambda: wandb.Table(columns=["a"], data=[np.float64(1)]),
    "table of ragged rows": lambda: wandb.Table(columns=["a", "b"], data=[[1, 2], [3]]),
    "table with an endless cell": lambda: wandb.Table(columns=["a"], data=[[within_itself()]]),
    "graph of None": lambda: wandb.Graph.from_keras(None),
    "edge of None": lambda: wandb.Graph().add_edge(None, None),  # type: ignore[arg-type]
    "classes of a number": lambda: wandb.Classes(5),  # type: ignore[arg-type]
    "joined tables of no name": lambda: wandb.JoinedTable("a", "b", "c"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_makes_no_media_is_refused_by_name(case: str) -> None:
    with pytest.raises(UsageError, match="wandb"):
        REFUSED[case]()


TAKEN: Dict[str, Callable[[], Any]] = {
    "pixels that are no numbers": lambda: wandb.Image(np.full((3, 3), np.nan)),
    "infinite pixels": lambda: wandb.Image(np.array([[np.inf, -np.inf]])),
    "a huge caption": lambda: wandb.Image(PIXELS, caption="x" * 1_000_000),
    "a caption of half a character": lambda: wandb.Image(PIXELS, caption="\ud800"),
    "a caption of control characters": lambda: wandb.Image(PIXELS, caption="\0\x1b[2J"),
    "a name of a mask that leads out": lambda: wandb.Image(
        PIXELS, masks={"../../x": {"mask_data": np.zeros((3, 3), int)}}
    ),
    "a sound of no length": lambda: wandb.Audio([], sample_rate=8000),
    "an empty page": lambda: wandb.Html(""),
    "no points": lambda: wandb.Object3D(np.zeros((0, 3))),
    "a table of no rows": lambda: wandb.Table(columns=["a"]),
    "a table of no columns": lambda: wandb.Table(columns=[], data=[[], []]),
    "a table of a column of half a character": lambda: wandb.Table(columns=["\ud800"], data=[["\udfff"]]),
    "a table of infinities": lambda: wandb.Table(columns=["a"], data=[[float("inf")], [float("nan")]]),
    "a table in a table": lambda: wandb.Table(columns=["t"], data=[[wandb.Table(columns=["a"])]]),
    "an empty list": lambda: [],
    "a mixed list": lambda: [wandb.Image(PIXELS), wandb.Html("x")],
    "many tables": lambda: [wandb.Table(columns=["a"], data=[[index]]) for index in range(3)],
    "more pictures than are kept": lambda: [wandb.Image(PIXELS)] * 200,
    "an empty graph": lambda: wandb.Graph(),
}


@pytest.mark.parametrize("case", TAKEN)
def test_what_is_odd_is_stored(wandb_init_run: Any, case: str) -> None:
    key = f"{case}\x1b/../../.."
    wandb_init_run.log({key: TAKEN[case](), "after": 1})
    rows = LogView(wandb_init_run.sync_dir).rows()
    assert [row["after"] for row in rows] == [1] and key in rows[0]


def test_names_of_classes_are_not_logged_by_themselves(wandb_init_run: Any) -> None:
    with pytest.raises(ValidationError, match="log: classes"):
        wandb_init_run.log({"classes": wandb.Classes([{"id": 1, "name": "a"}])})


def test_computed_columns_that_do_not_fit_change_nothing() -> None:
    table = wandb.Table(columns=["a"], data=[[1], [2]])
    for wrong in (lambda index, row: {"b": 1} if index else {"c": 1}, lambda index, row: None):
        with pytest.raises(ValidationError, match="add_computed_columns"):
            table.add_computed_columns(wrong)
    assert (table.columns, table.data) == (["a"], [[1], [2]])
