"""How much of what the log takes.  Each limit says why it is there."""

from __future__ import annotations

MAX_DEPTH = 100  # levels of nesting: deeper values are circular or a mistake, and no reader shows them
MAX_INT_BITS = 14_284  # of 4300 digits, the most that Python, in its default, prints or reads as a number
MAX_LIST_ARRAY = 32  # elements: a longer array is stored as a histogram, as wandb does
HISTOGRAM_BINS = 32  # of an array that is logged as it is, as wandb does
MAX_STEP = 2**63 - 1  # what `HistoryStep.num` holds
