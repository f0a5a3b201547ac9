"""Where wandb has it; ours is in `wandb.data_types.image_labels`."""

from wandb.data_types.image_labels import ImageMask as ImageMask
