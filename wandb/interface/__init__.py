"""Python values -> validated record bytes.  Pure functions: no file, no clock, no state of a run."""
