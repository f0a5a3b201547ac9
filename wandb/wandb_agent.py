"""Where wandb has `agent`."""

from wandb.sdk.wandb_sweep import agent as agent
