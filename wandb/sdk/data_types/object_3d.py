"""Where wandb has it; ours is in `wandb.data_types.object_3d`."""

from wandb.data_types.object_3d import Object3D as Object3D
from wandb.data_types.object_3d import box3d as box3d
