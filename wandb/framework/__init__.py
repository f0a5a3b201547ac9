"""What belongs to one framework: hooks and callbacks.  Each loads its framework when it is used."""
