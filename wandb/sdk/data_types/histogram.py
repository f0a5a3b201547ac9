"""Where wandb has it; ours is in `wandb.data_types.histogram`."""

from wandb.data_types.histogram import Histogram as Histogram
