"""Media in what is logged: written as files, and replaced in the row by the JSON that stands for them.

Rule 1: they are encoded by whoever logs them, before the row is written (decision 0023), and before the run's
        lock is taken: other threads go on logging.
Rule 2: what the disk does to a file costs that value; the rest of the row is recorded.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterator, Mapping

from wandb.data_types.media import Media
from wandb.errors import LogWriteError, ValidationError
from wandb.interface.values import holds_media, key_text, kind_name, plain
from wandb.internal.media_files import MediaFiles


class RowMedia:
    """The media of one run.

    Args:
        files: Where they go.
        failed: Told what the disk did; may raise it.
    """

    def __init__(self, files: MediaFiles, failed: Callable[[str, Exception], None]) -> None:
        self._files = files
        self._failed = failed

    def made(self, data: Mapping[str, Any]) -> Dict[str, Any]:
        """Return the same with figures and DataFrames as media, and everything encoded that takes time.

        Raises:
            ValidationError: A value cannot be stored.
        """
        found = {key: _made(value, f"log: {key}") for key, value in data.items()}
        for value in found.values():
            for one in _media_in(value):
                one._prepare()
        return found

    def stored(self, data: Mapping[str, Any], step: object) -> Dict[str, Any]:
        """Write the media that `made` has returned, and return what stands for them in the row.

        A chart becomes the table that it is made of, and a note in the config.

        Raises:
            ValidationError: A value cannot be stored.
            LogWriteError: With on_error="raise": a file could not be written.
        """
        beside: Dict[str, Any] = {}  # tables of charts, which are top-level keys wherever the chart stands
        found = self._stored(data, step, "", beside)
        return {**found, **beside}

    def _stored(self, data: Mapping[str, Any], step: object, above: str, beside: Dict[str, Any]) -> Any:
        found: Dict[str, Any] = {}
        for key, value in data.items():
            path = f"{above}{key}"
            if hasattr(type(value), "table_key"):
                where, note = value.note(path)
                self._files.note(where, note)
                name = value.table_key(path)
                self._keep(beside, name, lambda: value.table._store(self._files, name, step))
            elif isinstance(value, Media):
                self._keep(found, key, lambda: value._store(self._files, key, step))
            elif isinstance(value, dict):
                found[key] = self._stored(value, step, f"{path}.", beside)
            elif isinstance(value, list) and value and holds_media(value):
                self._keep(found, key, lambda: self._list(value, key, step))
            else:
                found[key] = value
        return found

    def put(self, content: bytes, folder: str, key: str, step: object, extension: str) -> Dict[str, Any]:
        """Write a file whose content is encoded already, as `MediaFiles.put`."""
        return self._files.put(content, folder, key, step, extension)

    def _keep(self, found: Dict[str, Any], key: str, store: Callable[[], Any]) -> None:
        try:
            found[key] = store()
        except ValidationError:
            raise
        except OSError as error:
            reason = error.strerror or type(error).__name__
            self._failed("log", LogWriteError(f"log: {key}: its file could not be written: {reason}"))

    def _list(self, values: Any, key: str, step: object) -> Any:
        kinds = {type(value) for value in values}
        if len(kinds) == 1:
            return kinds.pop()._store_list(values, self._files, key, step)
        return [value._store(self._files, key, step) for value in values]


def _made(value: Any, path: str) -> Any:
    """Return a value with figures and DataFrames as media, and all else plain; a list has media only or none.

    What cannot be stored raises here, before a file is written.
    """
    if not holds_media(value):
        return plain(value, path)
    if isinstance(value, Media) or hasattr(type(value), "table_key"):
        return value
    if isinstance(value, dict):
        return {key_text(key, path): _made(item, f"{path}.{key}") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        found = [_made(item, f"{path}[{index}]") for index, item in enumerate(value)]
        for index, item in enumerate(found):
            if not isinstance(item, Media):
                raise ValidationError(
                    f"{path}[{index}]",
                    f"{kind_name(item)} is not storable in a list with media",
                    hint="log it under a key of its own",
                )
        return found
    if type(value).__name__ == "DataFrame":
        from wandb.data_types.table import Table

        return Table(dataframe=value)
    from wandb.data_types.figures import Plotly

    return Plotly.make_plot_media(value)


def _media_in(value: Any) -> Iterator[Media]:
    if isinstance(value, Media):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _media_in(item)
    elif isinstance(value, list) and value and holds_media(value):
        yield from value
