"""Where wandb has its printer; `wandb.term` is where ours is."""

from wandb.term import termerror as termerror
from wandb.term import termlog as termlog
from wandb.term import termsetup as termsetup
from wandb.term import termwarn as termwarn
