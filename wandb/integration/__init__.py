"""Today's import paths of what belongs to one framework."""
