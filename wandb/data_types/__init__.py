"""Values that are more than a number: pictures, sounds, tables, figures.

    run.log({"sample": wandb.Image(pixels, caption="epoch 3"), "loss": 0.2})

Each type turns what the user has into a file below the run's `files/media/` and into the JSON that stands for
it in the row; both are those of wandb 0.31 (observed, and held to it by tests/interop/test_media.py).  One
module per type; `media.py` says what they have in common and how to add one.

A type, and the library it needs, is loaded when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, List

from wandb import _load

if TYPE_CHECKING:
    from wandb.data_types.audio import Audio as Audio
    from wandb.data_types.figures import Bokeh as Bokeh
    from wandb.data_types.figures import Plotly as Plotly
    from wandb.data_types.graph import Edge as Edge
    from wandb.data_types.graph import Graph as Graph
    from wandb.data_types.graph import Node as Node
    from wandb.data_types.histogram import Histogram as Histogram
    from wandb.data_types.html import Html as Html
    from wandb.data_types.image import Image as Image
    from wandb.data_types.image_labels import BoundingBoxes2D as BoundingBoxes2D
    from wandb.data_types.image_labels import Classes as Classes
    from wandb.data_types.image_labels import ImageMask as ImageMask
    from wandb.data_types.media import Media as Media
    from wandb.data_types.molecule import Molecule as Molecule
    from wandb.data_types.object_3d import Object3D as Object3D
    from wandb.data_types.object_3d import box3d as box3d
    from wandb.data_types.table import JoinedTable as JoinedTable
    from wandb.data_types.table import PartitionedTable as PartitionedTable
    from wandb.data_types.table import Table as Table
    from wandb.data_types.video import Video as Video

# Public name -> the module it lives in.
HOMES: Dict[str, str] = {
    "Audio": "wandb.data_types.audio",
    "Bokeh": "wandb.data_types.figures",
    "BoundingBoxes2D": "wandb.data_types.image_labels",
    "Classes": "wandb.data_types.image_labels",
    "Edge": "wandb.data_types.graph",
    "Graph": "wandb.data_types.graph",
    "Histogram": "wandb.data_types.histogram",
    "Html": "wandb.data_types.html",
    "Image": "wandb.data_types.image",
    "ImageMask": "wandb.data_types.image_labels",
    "JoinedTable": "wandb.data_types.table",
    "Media": "wandb.data_types.media",
    "Molecule": "wandb.data_types.molecule",
    "Node": "wandb.data_types.graph",
    "Object3D": "wandb.data_types.object_3d",
    "PartitionedTable": "wandb.data_types.table",
    "Plotly": "wandb.data_types.figures",
    "Table": "wandb.data_types.table",
    "Video": "wandb.data_types.video",
    "box3d": "wandb.data_types.object_3d",
}

__all__ = list(HOMES)


def __getattr__(name: str) -> Any:
    return _load(globals(), HOMES, name)


def __dir__() -> List[str]:
    return sorted({*globals(), *__all__})
