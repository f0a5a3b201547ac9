"""How good a classifier is: confusion matrix, ROC and precision-recall curves.

The curves come from scikit-learn.
"""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence, Tuple

from wandb.data_types.media import library
from wandb.data_types.table import Table
from wandb.errors import ValidationError
from wandb.interface.values import kind_name
from wandb.plot.charts import CustomChart, table_of
from wandb.term import termwarn

MAX_POINTS = 10_000  # of a chart, as many as wandb's page draws
_DIGITS = 3


def confusion_matrix(
    probs: Optional[Sequence[Sequence[float]]] = None,
    y_true: Optional[Sequence[Any]] = None,
    preds: Optional[Sequence[Any]] = None,
    class_names: Optional[Sequence[str]] = None,
    title: str = "Confusion Matrix Curve",
    split_table: bool = False,
) -> CustomChart:
    """Return how often which class was taken for which.

    Args:
        probs: Per example, the probability of each class.  Either this or `preds` is given.
        y_true: Per example, the class that it is of.
        preds: Per example, the class that it was taken for.
        class_names: Of the classes, in order.  Default: Class_1, Class_2 ...

    Raises:
        ValueError: There are not as many of one as of the other, or not enough names.
    """
    where = "wandb.plot.confusion_matrix"
    if probs is not None and preds is not None:
        raise ValidationError(where, "takes probs or preds, not both")
    if y_true is None or (probs is None and preds is None):
        raise ValidationError(where, "needs y_true, and either probs or preds")
    truth = _listed(y_true, f"{where}: y_true")
    if probs is not None:
        guesses = [max(range(len(row)), key=row.__getitem__) for row in _rows(probs, f"{where}: probs")]
    else:
        guesses = _listed(preds, f"{where}: preds")
    if len(guesses) != len(truth):
        raise ValidationError(where, f"{len(truth)} examples have {len(guesses)} predictions")
    classes = _in_order({*truth, *guesses})
    if class_names is not None:
        names = [*map(str, class_names)]
        if len(classes) > len(names):
            raise ValidationError(where, f"{len(classes)} classes have {len(names)} names")
        if all(isinstance(one, int) and 0 <= one < len(names) for one in classes):
            classes = list(range(len(names)))
    else:
        names = [f"Class_{number}" for number in range(1, len(classes) + 1)]
    places = {one: place for place, one in enumerate(classes)}
    counts = [[0.0] * len(classes) for _ in classes]
    for actual, guess in zip(truth, guesses):
        counts[places[actual]][places[guess]] += 1
    columns = ["Actual", "Predicted", "nPredictions"]
    rows = [[names[i], names[j], counts[i][j]] for i in range(len(classes)) for j in range(len(classes))]
    return CustomChart(
        Table(columns=columns, data=rows),
        "wandb/confusion_matrix/v1",
        {name: name for name in columns},
        {"title": title},
        split_table,
    )


def roc_curve(
    y_true: Sequence[Any],
    y_probas: Optional[Sequence[Sequence[float]]] = None,
    labels: Optional[Sequence[str]] = None,
    classes_to_plot: Optional[Sequence[Any]] = None,
    title: str = "ROC Curve",
    split_table: bool = False,
) -> CustomChart:
    """Return the true against the false positives of each class, for all thresholds.

    Args:
        y_true: Per example, the class that it is of.
        y_probas: Per example, the probability of each class, in their order.
        labels: The names of the classes, in order.  Default: the classes themselves.
        classes_to_plot: Only these.

    Raises:
        ValueError: There are not as many of one as of the other.
        MissingLibraryError: scikit-learn is missing: `pip install "wandb-ng[plot]"`.
    """
    where = "wandb.plot.roc_curve"
    metrics = library("sklearn.metrics", "plot", "an ROC curve")
    rows: List[List[Any]] = []
    for name, truth, scores in _classes(y_true, y_probas, labels, classes_to_plot, where):
        false_rates, true_rates, _ = metrics.roc_curve(truth, scores)
        for false_rate, true_rate in zip(false_rates.tolist(), true_rates.tolist()):
            rows.append([name, round(false_rate, _DIGITS), round(true_rate, _DIGITS)])
    return CustomChart(
        table_of(["class", "fpr", "tpr"], _thinned(rows)),
        "wandb/area-under-curve/v0",
        {"x": "fpr", "y": "tpr", "class": "class"},
        {"title": title, "x-axis-title": "False positive rate", "y-axis-title": "True positive rate"},
        split_table,
    )


def pr_curve(
    y_true: Optional[Sequence[Any]] = None,
    y_probas: Optional[Sequence[Sequence[float]]] = None,
    labels: Optional[Sequence[str]] = None,
    classes_to_plot: Optional[Sequence[Any]] = None,
    interp_size: int = 21,
    title: str = "Precision-Recall Curve",
    split_table: bool = False,
) -> CustomChart:
    """Return the precision that each class reaches at a recall.

    Args:
        y_true: Per example, the class that it is of.
        y_probas: Per example, the probability of each class, in their order.
        labels: The names of the classes, in order.  Default: the classes themselves.
        classes_to_plot: Only these.
        interp_size: At how many places of the recall, from 1 down to 0.

    Raises:
        ValueError: There are not as many of one as of the other.
        MissingLibraryError: scikit-learn is missing: `pip install "wandb-ng[plot]"`.
    """
    where = "wandb.plot.pr_curve"
    metrics = library("sklearn.metrics", "plot", "a precision-recall curve")
    if interp_size < 2:
        raise ValidationError(f"{where}: interp_size", f"{interp_size} places make no curve")
    places = [1 - index / (interp_size - 1) for index in range(interp_size)]
    rows: List[List[Any]] = []
    for name, truth, scores in _classes(y_true, y_probas, labels, classes_to_plot, where):
        precisions, recalls, _ = metrics.precision_recall_curve(truth, scores)
        points = list(zip(recalls.tolist(), precisions.tolist()))
        for place in places:
            reached = max(precision for recall, precision in points if recall >= place - 1e-12)
            rows.append([name, round(reached, _DIGITS), round(place, _DIGITS)])
    return CustomChart(
        table_of(["class", "precision", "recall"], _thinned(rows)),
        "wandb/area-under-curve/v0",
        {"x": "recall", "y": "precision", "class": "class"},
        {"title": title, "x-axis-title": "Recall", "y-axis-title": "Precision"},
        split_table,
    )


def _classes(
    y_true: Any, y_probas: Any, labels: Any, classes_to_plot: Any, where: str
) -> List[Tuple[Any, List[bool], List[float]]]:
    """Return per class its name, whether each example is of it, and how probable that was held to be."""
    if y_true is None or y_probas is None:
        raise ValidationError(where, "needs y_true and y_probas")
    truth, probas = _listed(y_true, f"{where}: y_true"), _rows(y_probas, f"{where}: y_probas")
    if len(truth) != len(probas):
        raise ValidationError(where, f"there are {len(truth)} examples and {len(probas)} rows of y_probas")
    if any(one != one for one in truth):
        raise ValidationError(f"{where}: y_true", "contains NaN")
    if any(score != score for row in probas for score in row):
        raise ValidationError(f"{where}: y_probas", "contains NaN")
    classes = _in_order(set(truth))
    n_columns = len(probas[0]) if probas else 0
    if len(classes) > n_columns or any(len(row) != n_columns for row in probas):
        raise ValidationError(where, f"there are {len(classes)} classes and {n_columns} columns of y_probas")
    if len(classes) < n_columns and all(isinstance(one, int) for one in classes):
        classes = list(range(n_columns))  # some class has no example
    names: Dict[Any, Any] = dict(zip(classes, labels if labels is not None else classes))
    wanted = classes if classes_to_plot is None else [one for one in classes if one in classes_to_plot]
    found = []
    for column, one in enumerate(classes):
        if one in wanted and one in truth:
            found.append((names.get(one, one), [x == one for x in truth], [row[column] for row in probas]))
    return found


def _thinned(rows: List[List[Any]]) -> List[List[Any]]:
    if len(rows) <= MAX_POINTS:
        return rows
    termwarn(f"wandb.plot: {len(rows)} points are more than {MAX_POINTS}; they are thinned evenly.")
    step = len(rows) / MAX_POINTS
    return [rows[int(index * step)] for index in range(MAX_POINTS)]


def _in_order(values: Any) -> List[Any]:
    try:
        return sorted(values)
    except TypeError:
        return sorted(values, key=str)


def _listed(values: Any, where: str) -> List[Any]:
    if hasattr(values, "detach"):  # torch
        values = values.detach().cpu()
    if hasattr(values, "tolist"):
        values = values.tolist()
    if isinstance(values, (str, bytes)) or not hasattr(values, "__iter__"):
        raise ValidationError(where, f"{kind_name(values)} is no list")
    return [value.item() if hasattr(value, "item") else value for value in values]


def _rows(values: Any, where: str) -> List[List[float]]:
    rows = [_listed(row, where) for row in _listed(values, where)]
    if any(not row for row in rows):
        raise ValidationError(where, "a row is empty")
    return rows
