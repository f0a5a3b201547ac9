"""`python -m wandb_sync`."""

from wandb_sync.cli import main

if __name__ == "__main__":
    main()
