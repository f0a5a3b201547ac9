"""Media in what is logged: written as files, and replaced in the row by the JSON that stands for them.

Rule 1: they are encoded by whoever logs them, before the row is written (decision 0023), and before the run's
        lock is taken: other threads go on logging.
Rule 2: what the disk does to a file costs that value; the rest of the row is recorded.
Rule 3: a table is kept as an artifact too, as wandb does; what the disk does to that costs the artifact only.
"""

from __future__ import annotations

from time import time_ns
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, Mapping, NamedTuple, Optional, Tuple

from wandb.data_types.artifact_media import ArtifactMedia
from wandb.data_types.media import Media
from wandb.errors import LogWriteError, ValidationError
from wandb.interface.values import holds_media, key_text, kind_name, plain
from wandb.internal.media_files import MediaFiles, safe_key

if TYPE_CHECKING:
    from wandb.sdk.artifacts.artifact import Artifact

TABLES = ("table", "joined-table", "partitioned-table")
TABLE_ARTIFACT, INCREMENTAL_ARTIFACT = "run_table", "wandb-run-incremental-table"  # types, as wandb has them


class Made(NamedTuple):
    """What is to be logged, ready for it.

    Attributes:
        data: Plain values and media.
        artifacts: The id of a table and the key that it stands under -> the artifact that has it.
    """

    data: Dict[str, Any]
    artifacts: Dict[Tuple[int, str], Artifact]


class RowMedia:
    """The media of one run.

    Args:
        files: Where they go.
        run_id: The run's.
        log_artifact: Keeps an artifact as one of the run's.
        earlier: Returns what parts of the run that went before have logged under a key, or None.
        failed: Told what the disk did; may raise it.
    """

    def __init__(
        self,
        files: MediaFiles,
        run_id: str,
        log_artifact: Callable[[Artifact], object],
        earlier: Callable[[str], Any],
        failed: Callable[[str, Exception], None],
    ) -> None:
        self._files = files
        self._run_id = run_id
        self._log_artifact = log_artifact
        self._earlier = earlier
        self._failed = failed

    def made(self, data: Mapping[str, Any]) -> Made:
        """Return the same with figures and DataFrames as media, and everything encoded that takes time.

        Raises:
            ValidationError: A value cannot be stored.
        """
        found = {key: _made(value, f"log: {key}") for key, value in data.items()}
        for value in found.values():
            for one in _media_in(value):
                one._prepare()
        artifacts = {}
        for key, table in _tables_in(found, ""):
            artifact = self._artifact_of(key, table)
            if artifact is not None:
                artifacts[id(table), key] = artifact
        return Made(found, artifacts)

    def stored(self, made: Made, step: object) -> Dict[str, Any]:
        """Write the media that `made` has returned, and return what stands for them in the row.

        A chart becomes the table that it is made of, and a note in the config.

        Raises:
            ValidationError: A value cannot be stored.
            LogWriteError: With on_error="raise": a file could not be written.
        """
        beside: Dict[str, Any] = {}  # tables of charts, which are top-level keys wherever the chart stands

        def store(value: Media, key: str) -> Any:
            artifact = made.artifacts.get((id(value), key))
            if artifact is not None:
                self._log_artifact(artifact)
            return value._store(self._files, key, step)

        found = self._stored(made.data, store, step, "", beside)
        return {**found, **beside}

    def _stored(
        self,
        data: Mapping[str, Any],
        store: Callable[[Media, str], Any],
        step: object,
        above: str,
        beside: Dict[str, Any],
    ) -> Any:
        found: Dict[str, Any] = {}
        for key, value in data.items():
            path = f"{above}{key}"
            if hasattr(type(value), "table_key"):
                where, note = value.note(path)
                self._files.note(where, note)
                name = value.table_key(path)
                self._keep(beside, name, lambda: store(value.table, name))
            elif isinstance(value, Media):
                self._keep(found, key, lambda: store(value, key))
            elif isinstance(value, dict):
                found[key] = self._stored(value, store, step, f"{path}.", beside)
            elif isinstance(value, list) and value and holds_media(value):
                kinds = {type(item) for item in value}
                if len(kinds) == 1 and not _is_table(value[0]):
                    kind = kinds.pop()
                    self._keep(found, key, lambda: kind._store_list(value, self._files, key, step))
                else:
                    self._keep(found, key, lambda: [store(item, key) for item in value])
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

    def _artifact_of(self, key: str, table: Any) -> Optional[Artifact]:
        """Return an artifact with a table that is to be logged; None if the run has it already.

        Raises:
            ValidationError: What is in it cannot be stored.
            LogWriteError: With on_error="raise": there is no room for it.
        """
        from wandb.sdk.artifacts.internal_artifact import internal_artifact  # only tables need artifacts

        kind, name, entry, is_increment = TABLE_ARTIFACT, f"run-{self._run_id}-{key}", key, False
        if table._kind == "table":
            if not table._is_news_for(self._files):
                return None
            table._begin_log(self._files, self._earlier(key))
            if table.log_mode == "INCREMENTAL":
                kind, name, is_increment = INCREMENTAL_ARTIFACT, f"run-{self._run_id}-incr-{key}", True
                entry = f"{table._n_increments}-{time_ns() // 1_000_000}.{key}"
        try:
            artifact = internal_artifact(name, kind, is_increment)
            ArtifactMedia(artifact, f"log: {key}").add(table, safe_key(entry))
        except ValidationError:
            raise
        except OSError as error:
            reason = error.strerror or type(error).__name__
            self._failed("log", LogWriteError(f"log: {key}: it is no artifact, for want of room: {reason}"))
            return None
        return artifact


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


def _is_table(value: Any) -> bool:
    return isinstance(value, Media) and value._kind in TABLES


def _tables_in(data: Mapping[str, Any], above: str) -> Iterator[Tuple[str, Any]]:
    """Yield each table, those of charts too, and the key that it is stored under."""
    for key, value in data.items():
        path = f"{above}{key}"
        if hasattr(type(value), "table_key"):
            yield value.table_key(path), value.table
        elif isinstance(value, dict):
            yield from _tables_in(value, f"{path}.")
        elif isinstance(value, list):
            yield from ((key, item) for item in value if _is_table(item))
        elif _is_table(value):
            yield key, value
