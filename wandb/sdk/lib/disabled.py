"""What older wandb made of a run with mode="disabled": scripts ask `isinstance(run, RunDisabled)`.

Here, as in wandb since 0.19, a disabled run is a `wandb.Run`, and nothing is an instance of these.
"""


class RunDisabled:
    """What no run is; see `wandb.Run.disabled`."""


class SummaryDisabled(dict):  # type: ignore[type-arg]
    """What no summary is."""
