"""Where wandb has it; ours is in `wandb.data_types.video`."""

from wandb.data_types.video import Video as Video
