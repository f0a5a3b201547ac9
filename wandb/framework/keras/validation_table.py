"""Validation data as a table in an artifact, and predictions as tables whose rows point into it."""

from __future__ import annotations

from functools import partial
from typing import Any, Callable, Dict, Iterable, Mapping, Optional, Sequence

import numpy as np

import wandb

Row = Dict[Any, Any]
RowProcessor = Callable[[int, Row], Mapping[str, Any]]  # the number of a row, and the row -> more columns

MOST_SHOWN = 10  # numbers of a vector that become a column of their own


class ValidationTable:
    """Logs what a model says of the same data, again and again.

    Args:
        inputs, targets: Arrays, or dicts of them by the names of the model's inputs and outputs.
        indexes: Instead of a table of the data: where each example stands in one that is there already.
        validation_row_processor, prediction_row_processor: What makes more columns of a row.
        labels: Names of the classes.
        infer_missing_processors: Guess a processor that was not given, by the shape of the first example.
    """

    def __init__(
        self,
        run: Any,
        inputs: Any,
        targets: Any,
        indexes: Optional[Sequence[Any]],
        validation_row_processor: Optional[RowProcessor],
        prediction_row_processor: Optional[RowProcessor],
        labels: Sequence[Any],
        infer_missing_processors: bool,
    ) -> None:
        self._run = run
        self._inputs = inputs
        self._infers = infer_missing_processors
        self._prediction_processor = prediction_row_processor
        self._labels = None
        if labels:
            self._labels = wandb.Table(columns=["label"], data=[[label] for label in labels])
        if indexes is not None:
            self._indexes = indexes
            return
        table = wandb.Table(columns=[], data=[])
        for name, column in [*_named(targets, "target").items(), *_named(inputs, "input").items()]:
            table.add_column(name, column)
        if validation_row_processor is None and self._infers:
            guesses = _guesses(_named(inputs, "input"), None)
            guesses.update(_guesses(_named(targets, "target"), self._labels))
            validation_row_processor = _processor(guesses)
        if validation_row_processor is not None:
            table.add_computed_columns(validation_row_processor)
        artifact = wandb.Artifact("wb_validation_data", "validation_dataset")
        artifact.add(table, "validation_data")
        run.use_artifact(artifact)
        self._indexes = table.get_index()

    def log_predictions(self, predict: Callable[[Any], Any], commit: bool) -> None:
        """Log what the model says now, as `validation_predictions`."""
        outputs = _named(predict(self._inputs), "output")
        table = wandb.Table(columns=[], data=[])
        for name, column in outputs.items():
            table.add_column(name, column)
        table.add_column("val_row", self._indexes)
        if self._prediction_processor is None and self._infers:
            self._prediction_processor = _processor(_guesses(outputs, self._labels))
        if self._prediction_processor is not None:
            table.add_computed_columns(self._prediction_processor)
        self._run.log({"validation_predictions": table}, commit=commit)


def _named(data: Any, name: str) -> Dict[str, Any]:
    return data if isinstance(data, dict) else {name: data}


def _processor(guesses: Dict[str, Callable[[Row], Any]]) -> RowProcessor:
    return lambda index, row: {name: guess(row) for name, guess in guesses.items()}


def _guesses(columns: Dict[str, Any], labels: Any) -> Dict[str, Callable[[Row], Any]]:
    """Return what can be said of each column beside it, by the shape of its first value."""
    found: Dict[str, Callable[[Row], Any]] = {}
    for name, column in columns.items():
        for what, guess in _guesses_of(np.asarray(column[0]), labels):
            found[f"{name}:{what}"] = partial(_said_of, name, guess)
    return found


def _said_of(name: str, guess: Callable[[Any], Any], row: Row) -> Any:
    return guess(row[name])


def _guesses_of(example: Any, labels: Any) -> Iterable[Any]:
    """Yield a name, and what makes a value of one like the example."""
    is_one_hot = set(np.unique(example).tolist()) == {0, 1}
    n_labels = 0 if labels is None else len(labels.data)
    if example.ndim == 1 and len(example) == n_labels:
        names = labels.get_column("label")
        yield "max_class", lambda scores: labels.index_ref(int(np.argmax(scores)))
        if not is_one_hot:
            yield "score", lambda scores: {str(name): score for name, score in zip(names, scores)}
    elif example.ndim == 1 and len(example) == 1 and example.dtype.kind in "iu":
        if n_labels:
            yield "class", lambda one: labels.index_ref(int(one[0])) if one[0] < n_labels else one[0]
        else:
            yield "val", lambda one: one[0]
    elif example.ndim == 1:
        if len(example) <= MOST_SHOWN:
            yield "node", lambda numbers: list(numbers)
        yield "argmax", lambda numbers: int(np.argmax(numbers))
        if not is_one_hot:
            yield "argmin", lambda numbers: int(np.argmin(numbers))
    elif example.ndim in (2, 3):
        yield "image", lambda pixels: wandb.Image(np.asarray(pixels))
    elif example.ndim == 4:
        yield "video", lambda frames: wandb.Video(np.asarray(frames))
