"""Where wandb has it; ours is in `wandb.data_types.html`."""

from wandb.data_types.html import Html as Html
