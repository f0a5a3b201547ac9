"""Where records go: into the log, into memory (tests), or nowhere (disabled mode)."""
