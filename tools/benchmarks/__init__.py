"""What `tools/bench.py` measures; one module per section, and programs that are measured in `children/`."""
