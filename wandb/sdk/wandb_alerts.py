"""Where wandb has `AlertLevel`."""

from wandb.sdk.wandb_alert import AlertLevel as AlertLevel
