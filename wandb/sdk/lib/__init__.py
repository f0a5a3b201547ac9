"""The import paths of wandb's inner parts that scripts and other libraries use; each leads to ours."""

from wandb.sdk.lib.disabled import RunDisabled as RunDisabled
from wandb.sdk.lib.disabled import SummaryDisabled as SummaryDisabled
from wandb.sdk.lib.run_moment import RunMoment as RunMoment
