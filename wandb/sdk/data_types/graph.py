"""Where wandb has it; ours is in `wandb.data_types.graph`."""

from wandb.data_types.graph import Edge as Edge
from wandb.data_types.graph import Graph as Graph
from wandb.data_types.graph import Node as Node
