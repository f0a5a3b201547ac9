"""`WandbCallback`: the classic one, that does everything.

wandb 0.31 has it no more; this is the one that its versions up to 0.2x had, on Keras 3.
"""

from __future__ import annotations

import os
import operator
from typing import Any, Dict, List, Optional, Sequence

import numpy as np

import wandb
from wandb.errors import ValidationError
from wandb.framework.keras.examples import PICTURES, Examples, kind_of
from wandb.framework.keras.gradients import Gradients
from wandb.framework.keras.library import current_run, keras
from wandb.framework.keras.validation_table import RowProcessor, ValidationTable
from wandb.term import termerror, termwarn

MAX_PREDICTIONS = 100
WHERE = "WandbCallback"


class WandbCallback(keras.callbacks.Callback):
    """Log what `model.fit` measures, the best model, and as much more as is wished.

        model.fit(x, y, validation_data=(vx, vy), callbacks=[WandbCallback()])

    Rows have `epoch` and Keras's own names: `loss`, `val_loss` ...; the summary has `best_val_loss` and
    `best_epoch`.

    Args:
        monitor: The metric that says which epoch is the best.
        verbose: 1 prints when a better one was found.
        mode: "min", "max", or "auto", by the metric's name.
        save_weights_only: Keep the weights of the best model (`model-best.weights.h5`), and not the whole.
        log_weights: Log histograms `parameters/<layer>.weights`, `.bias` and so on.
        log_gradients: Log histograms `gradients/<layer>/<weight>.gradient`, summed over `training_data`.
        save_model: Keep the best model: as the file `model-best.h5`, and as the artifact `model-<run>`.
        training_data: (x, y), or what yields both.
        validation_data: (x, y) to show examples of; or what yields both, as `generator`.
        labels: Names of the classes, or of false and true.
        predictions: How many examples are shown per epoch, at most 100.
        generator: Yields (x, y) to show.
        input_type, output_type: "label", "image", "segmentation_mask"; "auto" looks at the model.  With
            pictures on either side, `examples` are logged in each epoch.
        log_evaluation: Log the table `validation_predictions`.
        validation_steps: How many times `generator` is asked for that table.
        class_colors: Of a mask's classes: red, green and blue from 0 to 1.
        log_batch_frequency: Log rows of every so many batches, too.
        log_best_prefix: What the best values are called in the summary; None for not at all.
        save_graph: Put the layers into the summary, as `graph`.
        validation_indexes: Where each example stands in a table that is there already.
        validation_row_processor, prediction_row_processor: Given a row's number and the row; return more
            columns.
        infer_missing_processors: Guess those that are not given.
        log_evaluation_frequency: Every how many epochs; 0 is once, at the end.
        compute_flops: Put GFLOPs, of one example, into the summary; with the torch backend.
        data_type: The old name of `input_type`.

    Raises:
        Error: There is no run.
        ValueError: `log_gradients` has no training data of which it could be.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        verbose: int = 0,
        mode: str = "auto",
        save_weights_only: bool = False,
        log_weights: bool = False,
        log_gradients: bool = False,
        save_model: bool = True,
        training_data: Any = None,
        validation_data: Any = None,
        labels: Optional[Sequence[Any]] = None,
        predictions: int = 36,
        generator: Any = None,
        input_type: Optional[str] = None,
        output_type: Optional[str] = None,
        log_evaluation: bool = False,
        validation_steps: Optional[int] = None,
        class_colors: Any = None,
        log_batch_frequency: Optional[int] = None,
        log_best_prefix: Optional[str] = "best_",
        save_graph: bool = True,
        validation_indexes: Optional[Sequence[Any]] = None,
        validation_row_processor: Optional[RowProcessor] = None,
        prediction_row_processor: Optional[RowProcessor] = None,
        infer_missing_processors: bool = True,
        log_evaluation_frequency: int = 0,
        compute_flops: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        self._run = current_run(self, "keras")
        unknown = set(kwargs) - {"data_type"}
        if unknown:
            raise ValidationError(WHERE, f"there is no argument {sorted(unknown)[0]!r}")
        if log_gradients and training_data is None:
            raise ValidationError(WHERE, "training_data argument is required for gradient logging.")
        if isinstance(training_data, (tuple, list)) and len(training_data) != 2:
            raise ValidationError(WHERE, "training data must be a tuple of length two")
        if validation_data is not None and not isinstance(validation_data, (tuple, list)):
            validation_data, generator = None, validation_data
        self.monitor = monitor
        self.verbose = verbose
        self.save_weights_only = save_weights_only
        self.log_weights = log_weights
        self.log_gradients = log_gradients
        self.save_model = save_model
        self.training_data = training_data
        self.validation_data = validation_data
        self.labels = list(labels or ())
        self.predictions = min(predictions, MAX_PREDICTIONS)
        self.generator = None if generator is None else iter(_Endless(generator))
        self.input_type = kwargs.get("data_type") or input_type
        self.output_type = output_type
        self.log_evaluation = log_evaluation
        self.validation_steps = validation_steps
        self.class_colors = class_colors
        self.log_batch_frequency = log_batch_frequency
        self.log_best_prefix = log_best_prefix
        self.save_graph = save_graph
        self.compute_flops = compute_flops
        self.current: Optional[float] = None
        self._table_options: Dict[str, Any] = {
            "indexes": validation_indexes,
            "validation_row_processor": validation_row_processor,
            "prediction_row_processor": prediction_row_processor,
            "infer_missing_processors": infer_missing_processors,
        }
        self._log_evaluation_frequency = log_evaluation_frequency
        self._table: Optional[ValidationTable] = None
        self._gradients: Optional[Gradients] = None
        self._is_trained_since_evaluation = False

        if mode not in ("auto", "min", "max"):
            termwarn(f"WandbCallback mode {mode} is unknown, fallback to auto mode.")
            mode = "auto"
        is_max = mode == "max" or (mode == "auto" and ("acc" in monitor or monitor.startswith("fmeasure")))
        self.monitor_op = operator.gt if is_max else operator.lt
        self.best = float("-inf" if is_max else "inf")
        earlier = self._run.summary.get(f"{log_best_prefix}{monitor}") if log_best_prefix else None
        if earlier is not None:  # the run goes on from another segment
            self.best = earlier
        suffix = "weights.h5" if save_weights_only else "h5"
        self.filepath = os.path.join(self._run.dir, f"model-best.{suffix}")
        if save_model:
            self._run.save(self.filepath, base_path=self._run.dir)

    def set_model(self, model: Any) -> None:
        """Take the model that is about to be trained."""
        super().set_model(model)
        inputs = list(getattr(model, "inputs", None) or ())
        outputs = list(getattr(model, "outputs", None) or ())
        if self.input_type == "auto":
            self.input_type = kind_of(inputs[0].shape, risky=True) if len(inputs) == 1 else None
        if self.input_type and self.output_type is None and len(outputs) == 1:
            self.output_type = kind_of(outputs[0].shape)

    def on_train_begin(self, logs: Optional[Dict[str, Any]] = None) -> None:
        """Make ready what needs the model: tables, the gradients' twin, FLOPs."""
        if self.log_gradients:
            is_pair = isinstance(self.training_data, (tuple, list))
            x, y = self.training_data if is_pair else (self.training_data, None)
            self._gradients = Gradients(self.model, x, y)
        if self.log_evaluation:
            data = self._all_validation_data()
            if data is not None:
                options = {**self._table_options, "labels": self.labels}
                self._table = ValidationTable(self._run, data[0], data[1], **options)
        if self.compute_flops:
            self._count_flops()

    def on_train_batch_end(self, batch: int, logs: Optional[Dict[str, Any]] = None) -> None:
        """Log the batch's row, if it is its turn."""
        self._is_trained_since_evaluation = True
        if self.save_graph:  # before the first batch the model may not be built
            self._run.summary["graph"] = wandb.Graph.from_keras(self.model)
            self.save_graph = False
        if self.log_batch_frequency and batch % self.log_batch_frequency == 0:
            self._run.log(dict(logs or {}))

    def on_epoch_end(self, epoch: int, logs: Optional[Dict[str, Any]] = None) -> None:
        """Log the epoch's row, and keep the model if it is the best."""
        row: Dict[str, Any] = {"epoch": epoch}
        if self.log_weights:
            row.update(self._weights())
        if self._gradients is not None:
            for name, gradient in self._gradients.measure().items():
                row[f"gradients/{name}.gradient"] = wandb.Histogram(gradient)
        if self.input_type in PICTURES or self.output_type in PICTURES:
            row.update(self._examples())
        if self._log_evaluation_frequency > 0 and epoch % self._log_evaluation_frequency == 0:
            self._evaluate(commit=False)
        self._run.log({**row, **(logs or {})})
        self._keep_best(epoch, (logs or {}).get(self.monitor))

    def on_train_end(self, logs: Optional[Dict[str, Any]] = None) -> None:
        """Log the last table of predictions."""
        if self._is_trained_since_evaluation:
            self._evaluate(commit=True)

    def _keep_best(self, epoch: int, current: Optional[float]) -> None:
        self.current = current
        if current is None or not self.monitor_op(current, self.best):
            return
        if self.log_best_prefix:
            self._run.summary[f"{self.log_best_prefix}{self.monitor}"] = current
            self._run.summary[f"{self.log_best_prefix}epoch"] = epoch
        if self.verbose:
            saving = f", saving model to {self.filepath}" if self.save_model else ""
            print(
                f"Epoch {epoch:05}: {self.monitor} improved from {self.best:0.5f} to {current:0.5f}{saving}"
            )
        if self.save_model and not self._run.disabled:
            self._save_model(epoch)
        self.best = current

    def _save_model(self, epoch: int) -> None:
        try:
            if self.save_weights_only:
                self.model.save_weights(self.filepath, overwrite=True)
            else:
                self.model.save(self.filepath, overwrite=True)
        except (
            ImportError,
            RuntimeError,
            TypeError,
            AttributeError,
            NotImplementedError,
            ValueError,
        ) as error:
            termerror(f"The model cannot be saved as HDF5, only as an artifact: {error}", repeat=False)
        from tempfile import TemporaryDirectory

        artifact = wandb.Artifact(f"model-{self._run.name or self._run.id}", type="model")
        with TemporaryDirectory() as place:
            name = "model-best.weights.h5" if self.save_weights_only else "model-best.keras"
            path = os.path.join(place, name)
            if self.save_weights_only:
                self.model.save_weights(path)
            else:
                self.model.save(path)
            artifact.add_file(path, name=name)
            self._run.log_artifact(artifact, aliases=["latest", f"epoch_{epoch}"])

    def _weights(self) -> Dict[str, Any]:
        found: Dict[str, Any] = {}
        for layer in self.model.layers:
            weights = layer.weights
            names: List[str] = ["weights", "bias"][: len(weights)]
            if len(weights) > 2:
                names = [weight.name for weight in weights]
            for name, weight in zip(names, weights):
                values = keras.ops.convert_to_numpy(weight)
                if values.dtype.kind in "biufV":
                    found[f"parameters/{layer.name}.{name}"] = wandb.Histogram(values.astype(float))
        return found

    def _examples(self) -> Dict[str, Any]:
        data = next(self.generator) if self.generator is not None else self.validation_data
        if data is None:
            termwarn(
                "No validation_data set, pass validation_data or a generator to the callback.", repeat=False
            )
            return {}
        examples = Examples(self.input_type, self.output_type, self.labels, self.class_colors)
        pictures = examples.pictures(
            lambda x: self.model.predict(x, verbose=0), data[0], data[1], self.predictions
        )
        return {"examples": pictures}

    def _all_validation_data(self) -> Any:
        if self.validation_data is not None:
            return self.validation_data
        if self.generator is None:
            termwarn(
                "log_evaluation: Keras keeps its validation data to itself; pass validation_data here, too"
            )
            return None
        if not self.validation_steps:
            termwarn("log_evaluation: with a generator, pass validation_steps")
            return None
        batches = [next(self.generator) for _ in range(self.validation_steps)]
        return tuple(np.concatenate([np.asarray(batch[side]) for batch in batches]) for side in (0, 1))

    def _evaluate(self, commit: bool) -> None:
        if self._table is not None:
            self._table.log_predictions(lambda x: self.model.predict(x, verbose=0), commit=commit)
            self._is_trained_since_evaluation = False

    def _count_flops(self) -> None:
        if keras.backend.backend() != "torch" or not getattr(self.model, "inputs", None):
            termwarn("compute_flops: it takes Keras's torch backend and a model that knows its inputs")
            return
        from torch.utils.flop_counter import FlopCounterMode

        given = [
            keras.ops.zeros([size or 1 for size in one.shape], dtype=one.dtype) for one in self.model.inputs
        ]
        with FlopCounterMode(display=False) as counter:
            self.model(given if len(given) > 1 else given[0], training=False)
        self._run.summary["GFLOPs"] = counter.get_total_flops() / 2e9  # one per multiply and add, as in wandb


class _Endless:
    """What yields batches, from the start again when it is at its end."""

    def __init__(self, batches: Any) -> None:
        self._batches = batches

    def __iter__(self) -> Any:
        while True:
            n_batches = 0
            source = self._batches
            indexed = hasattr(source, "__getitem__") and not hasattr(source, "__iter__")
            for batch in (source[index] for index in range(len(source))) if indexed else source:
                n_batches += 1
                yield batch
            if not n_batches:
                return
