"""Where wandb has it; ours is in `wandb.data_types.audio`."""

from wandb.data_types.audio import Audio as Audio
