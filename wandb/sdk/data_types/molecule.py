"""Where wandb has it; ours is in `wandb.data_types.molecule`."""

from wandb.data_types.molecule import Molecule as Molecule
