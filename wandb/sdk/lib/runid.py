"""Names for runs, as scripts make them themselves: `wandb.util.generate_id()`."""

from wandb.internal.names import generate_id as generate_id

generate_fast_id = generate_id
