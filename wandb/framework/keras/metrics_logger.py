"""`WandbMetricsLogger`: what Keras measures, row by row."""

from __future__ import annotations

from typing import Any, Dict, Optional, Union

from wandb.framework.keras.library import as_number, current_run, keras
from wandb.term import termerror


class WandbMetricsLogger(keras.callbacks.Callback):
    """Log the loss, the metrics and the learning rate of `model.fit`.

        model.fit(x, y, callbacks=[WandbMetricsLogger()])

    Rows of epochs have `epoch/epoch`, `epoch/learning_rate` and `epoch/<metric>`; those of batches have
    `batch/batch_step` and so on.  They are drawn over `epoch/epoch` or `batch/batch_step`.

    Args:
        log_freq: "epoch", "batch", or every how many batches.
        initial_global_step: How many batches came before, for a learning rate that follows a schedule.

    Raises:
        Error: There is no run.
    """

    def __init__(
        self, log_freq: Union[str, int] = "epoch", initial_global_step: int = 0, *args: Any, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._run = current_run(self, "keras_metrics_logger")
        self.log_freq = 1 if log_freq == "batch" else log_freq if isinstance(log_freq, int) else None
        self.logging_batch_wise = self.log_freq is not None
        self.global_batch = 0
        self.global_step = initial_global_step
        unit, axis = ("batch", "batch/batch_step") if self.logging_batch_wise else ("epoch", "epoch/epoch")
        self._run.define_metric(axis)
        self._run.define_metric(f"{unit}/*", step_metric=axis)

    def on_epoch_end(self, epoch: int, logs: Optional[Dict[str, Any]] = None) -> None:
        """Log the epoch's row."""
        self._log("epoch", {**(logs or {}), "epoch": epoch})

    def on_train_batch_end(self, batch: int, logs: Optional[Dict[str, Any]] = None) -> None:
        """Log the batch's row, if it is its turn."""
        self.global_step += 1
        if self.log_freq is not None and batch % self.log_freq == 0:
            self._log("batch", {**(logs or {}), "batch_step": self.global_batch})
            self.global_batch += self.log_freq

    def _log(self, unit: str, values: Dict[str, Any]) -> None:
        rate = self._learning_rate()
        if rate is not None:
            values["learning_rate"] = rate
        self._run.log({f"{unit}/{name}": value for name, value in values.items()})

    def _learning_rate(self) -> Optional[float]:
        rate = self.model.optimizer.learning_rate
        try:
            return as_number(rate(self.global_step) if callable(rate) else rate)
        except Exception as error:  # whatever a user's schedule does
            termerror(f"Unable to log learning rate: {error}", repeat=False)
            return None
