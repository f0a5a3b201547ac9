"""Figures of plotting libraries: `wandb.Plotly`, `wandb.data_types.Bokeh`, and matplotlib's."""

from __future__ import annotations

import os
from typing import Any, Union

from wandb.data_types.image import Image
from wandb.data_types.matplotlib_figures import library_of, matplotlib_figure
from wandb.data_types.media import Content, Media, compact_json, existing_file, library
from wandb.errors import MediaFileError, ValidationError
from wandb.interface.values import kind_name, plain


class Plotly(Media):
    """A figure that can be zoomed and asked.

        run.log({"chart": wandb.Plotly(figure)})

    Args:
        val: A figure of plotly's, or one of matplotlib's that plotly can redraw.

    Raises:
        ValueError: It is neither.
        MissingLibraryError: A figure of matplotlib's needs plotly: `pip install "wandb-ng[figures]"`.
    """

    _folder = "plotly"
    _kind = "plotly-file"

    def __init__(self, val: Any) -> None:
        if library_of(val) == "matplotlib":
            val = _redrawn(matplotlib_figure(val))
        elif not hasattr(val, "to_plotly_json"):
            raise ValidationError(
                "wandb.Plotly", f"{kind_name(val)} is no figure of plotly's or matplotlib's"
            )
        self._val = compact_json(_without_arrays(val.to_plotly_json()))

    @staticmethod
    def make_plot_media(val: Any) -> Union[Image, Plotly]:
        """Return a figure as what shows it best: one of matplotlib's that holds pictures as a picture.

        What plotly cannot redraw becomes a picture too.
        """
        if library_of(val) != "matplotlib":
            return Plotly(val)
        figure = matplotlib_figure(val)
        if any(axes.images for axes in figure.axes):
            return Image(figure)
        try:
            return Plotly(figure)
        except ValidationError:
            return Image(figure)

    def _content(self) -> Content:
        return Content(self._val, ".plotly.json")


class Bokeh(Media):
    """A figure of Bokeh's.

    Args:
        data_or_path: A Bokeh document or model, or the path of its JSON.

    Raises:
        ValueError: It is neither.
        FileNotFoundError: There is no such file.
        MissingLibraryError: Bokeh is missing: `pip install "wandb-ng[figures]"`.
    """

    _folder = "bokeh"
    _kind = "bokeh-file"

    def __init__(self, data_or_path: Any) -> None:
        where = "wandb.data_types.Bokeh"
        bokeh = library("bokeh.document", "figures", "a figure of Bokeh's")
        model = library("bokeh.model", "figures", "a figure of Bokeh's").Model
        if isinstance(data_or_path, (str, os.PathLike)):
            import json

            path = existing_file(data_or_path, where)
            try:
                with open(path, encoding="utf-8") as file:
                    tree = json.load(file)
                if not isinstance(tree, dict):
                    raise ValueError("it is no document")
            except (OSError, ValueError) as error:
                raise MediaFileError(where, f"{path} cannot be read: {error}") from None
        elif isinstance(data_or_path, bokeh.Document):
            tree = _document_json(data_or_path)
        elif isinstance(data_or_path, model):
            document = data_or_path.document
            if document is None:
                document = bokeh.Document()
                document.add_root(data_or_path)
            tree = _document_json(document)
        else:
            raise ValidationError(where, f"{kind_name(data_or_path)} is no document, no model and no path")
        self._val = compact_json(_without_arrays(tree))

    def _content(self) -> Content:
        return Content(self._val, ".bokeh.json")


def _document_json(document: Any) -> Any:
    try:
        return document.to_json(deferred=False)  # else Bokeh 3 keeps arrays in buffers beside the JSON
    except TypeError:  # Bokeh 2
        return document.to_json()


def _redrawn(figure: Any) -> Any:
    tools = library("plotly.tools", "figures", "a figure of matplotlib's as a chart")
    try:
        return tools.mpl_to_plotly(figure)
    except Exception as error:  # there is no end to what it raises for what it does not know
        raise ValidationError("wandb.Plotly", f"plotly cannot redraw the figure: {error}") from None


def _without_arrays(value: Any) -> Any:
    """Return what a library's JSON form holds, with lists for arrays and text for dates."""
    if isinstance(value, dict):
        return {str(key): _without_arrays(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_arrays(item) for item in value]
    if hasattr(value, "tolist"):
        return _without_arrays(value.tolist())
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if hasattr(value, "to_plotly_json"):
        return _without_arrays(value.to_plotly_json())
    return plain(value, "the figure")
