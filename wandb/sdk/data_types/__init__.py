"""The import paths that wandb has its data types under; ours live in `wandb.data_types`."""
