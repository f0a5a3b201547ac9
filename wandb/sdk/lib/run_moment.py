"""Where wandb has `RunMoment`."""

from wandb.sdk.wandb_settings import RunMoment as RunMoment
