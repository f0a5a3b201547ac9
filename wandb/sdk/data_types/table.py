"""Where wandb has it; ours is in `wandb.data_types.table`."""

from wandb.data_types.table import JoinedTable as JoinedTable
from wandb.data_types.table import PartitionedTable as PartitionedTable
from wandb.data_types.table import Table as Table
