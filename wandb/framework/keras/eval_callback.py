"""`WandbEvalCallback`: a table of the data, and after each epoch one of what the model says of them."""

from __future__ import annotations

import abc
from typing import Any, Dict, List, Optional

import wandb
from wandb.framework.keras.library import current_run, keras


class WandbEvalCallback(keras.callbacks.Callback, abc.ABC):  # type: ignore[misc, unused-ignore]
    """Base of callbacks that show predictions in tables.

        class Predictions(WandbEvalCallback):
            def add_ground_truth(self, logs=None):
                for index, (image, label) in enumerate(zip(x, y)):
                    self.data_table.add_data(index, wandb.Image(image), label)

            def add_model_predictions(self, epoch, logs=None):
                for index, scores in enumerate(self.model.predict(x, verbose=0)):
                    row = self.data_table_ref.data[index]
                    self.pred_table.add_data(epoch, *row, scores.argmax())

        model.fit(x, y, callbacks=[Predictions(["index", "image", "label"],
                                               ["epoch", "index", "image", "label", "guess"])])

    The data's table is the artifact `val`, used by the run; each table of predictions is a version of
    `run_<id>_pred`.

    Args:
        data_table_columns, pred_table_columns: The names of the columns.

    Raises:
        Error: There is no run.
    """

    def __init__(
        self, data_table_columns: List[str], pred_table_columns: List[str], *args: Any, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._run = current_run(self, "keras_wandb_eval_callback")
        self.data_table_columns = data_table_columns
        self.pred_table_columns = pred_table_columns

    def on_train_begin(self, logs: Optional[Dict[str, float]] = None) -> None:
        """Make and log the table of the data."""
        self.init_data_table(column_names=self.data_table_columns)
        self.add_ground_truth(logs)
        self.log_data_table()

    def on_epoch_end(self, epoch: int, logs: Optional[Dict[str, float]] = None) -> None:
        """Make and log the table of the predictions."""
        self.init_pred_table(column_names=self.pred_table_columns)
        self.add_model_predictions(epoch, logs)
        self.log_pred_table()

    @abc.abstractmethod
    def add_ground_truth(self, logs: Optional[Dict[str, float]] = None) -> None:
        """Fill `data_table`; called once, before the training."""

    @abc.abstractmethod
    def add_model_predictions(self, epoch: int, logs: Optional[Dict[str, float]] = None) -> None:
        """Fill `pred_table`; called after each epoch."""

    def init_data_table(self, column_names: List[str]) -> None:
        """Begin the table of the data."""
        self.data_table = wandb.Table(columns=column_names, allow_mixed_types=True)

    def init_pred_table(self, column_names: List[str]) -> None:
        """Begin a table of predictions."""
        self.pred_table = wandb.Table(columns=column_names)

    def log_data_table(self, name: str = "val", type: str = "dataset", table_name: str = "val_data") -> None:
        """Make the table of the data an artifact that the run uses; `data_table_ref` is the table.

        wandb waits for the server here and reads the table back.  That needs a server, and gives the same.
        """
        artifact = wandb.Artifact(name, type=type)
        artifact.add(self.data_table, table_name)
        self._run.use_artifact(artifact)
        self.data_table_ref = self.data_table

    def log_pred_table(
        self,
        type: str = "evaluation",
        table_name: str = "eval_data",
        aliases: Optional[List[str]] = None,
    ) -> None:
        """Log a table of predictions as a version of an artifact."""
        artifact = wandb.Artifact(f"run_{self._run.id}_pred", type=type)
        artifact.add(self.pred_table, table_name)
        self._run.log_artifact(artifact, aliases=aliases or ["latest"])
