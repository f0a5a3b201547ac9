"""`WandbModelCheckpoint`: Keras saves the model, and each saved file becomes a version of an artifact."""

from __future__ import annotations

import os
from string import Formatter
from typing import Any, Dict, List, Optional, Union

import wandb
from wandb.framework.keras.library import current_run, keras
from wandb.term import termwarn


class WandbModelCheckpoint(keras.callbacks.ModelCheckpoint):
    """Keras's ModelCheckpoint that also logs what it saves, as versions of the artifact `run_<id>_model`.

        model.fit(x, y, callbacks=[WandbModelCheckpoint("model-{epoch:02d}.keras")])

    A version has the aliases `latest` and `epoch_<n>`, or `epoch_<n>_batch_<m>`.  Where nothing was saved, as
    with `save_best_only` and no better model, nothing is logged.

    Args:
        filepath: Where to save; `.keras`, or `.weights.h5` with `save_weights_only`.
        monitor, verbose, save_best_only, save_weights_only, mode, save_freq, initial_value_threshold: As for
            keras.callbacks.ModelCheckpoint.

    Raises:
        Error: There is no run.
    """

    def __init__(
        self,
        filepath: Union[str, os.PathLike[str]],
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: Union[str, int] = "epoch",
        initial_value_threshold: Optional[float] = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            filepath=filepath,
            monitor=monitor,
            verbose=verbose,
            save_best_only=save_best_only,
            save_weights_only=save_weights_only,
            mode=mode,
            save_freq=save_freq,
            initial_value_threshold=initial_value_threshold,
            **kwargs,
        )
        self._run = current_run(self, "keras_model_checkpoint")
        has_field = any(field is not None for _, field, _, _ in Formatter().parse(self.filepath))
        if save_best_only and not has_field:
            termwarn(
                "With `save_best_only`, put a placeholder like {epoch:02d} into `filepath`, "
                "or each better model takes the place of the one before in the same file.",
                repeat=False,
            )

    def _save_model(self, epoch: int, batch: Optional[int], logs: Optional[Dict[str, Any]]) -> None:
        path = self._get_file_path(epoch, batch, logs)
        before = _state(path)
        super()._save_model(epoch, batch, logs)
        if _state(path) != before:
            name = f"epoch_{epoch}" if batch is None else f"epoch_{epoch}_batch_{batch}"
            self._log_ckpt_as_artifact(path, aliases=["latest", name])

    def _log_ckpt_as_artifact(self, filepath: str, aliases: Optional[List[str]] = None) -> None:
        """Log a saved model; a name that subclasses override."""
        artifact = wandb.Artifact(f"run_{self._run.id}_model", type="model")
        if os.path.isdir(filepath):
            artifact.add_dir(filepath)
        else:
            artifact.add_file(filepath)
        self._run.log_artifact(artifact, aliases=aliases or [])


def _state(path: str) -> Any:
    """Return what tells one content of a file from the next; None if there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
