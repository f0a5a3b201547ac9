"""Where wandb has it; ours is in `wandb.data_types.media`."""

from wandb.data_types.media import Media as Media
