"""Where wandb has it; ours is in `wandb.data_types.image`."""

from wandb.data_types.image import Image as Image
