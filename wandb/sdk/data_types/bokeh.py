"""Where wandb has it; ours is in `wandb.data_types.figures`."""

from wandb.data_types.figures import Bokeh as Bokeh
