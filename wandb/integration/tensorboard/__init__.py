"""`wandb.tensorboard`: what a program writes for TensorBoard is recorded as the run's history.

wandb.init(sync_tensorboard=True)                   that is all, for most programs
wandb.tensorboard.patch(root_logdir="logs")         before init: what is above all directories of logs
wandb.tensorboard.log(event_or_summary)             one of them by hand
wandb.tensorboard.unpatch()
"""

from wandb.integration.tensorboard.log import log as log
from wandb.integration.tensorboard.log import reset_state as reset_state
from wandb.integration.tensorboard.log import tf_summary_to_dict as tf_summary_to_dict
from wandb.integration.tensorboard.monkeypatch import patch as patch
from wandb.integration.tensorboard.monkeypatch import unpatch as unpatch

__all__ = ["log", "patch", "reset_state", "tf_summary_to_dict", "unpatch"]
