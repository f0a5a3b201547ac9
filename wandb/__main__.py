"""`python -m wandb` is the `wandb` command."""

from wandb.cli import main

if __name__ == "__main__":
    main(prog_name="python -m wandb")
