"""The benchmark of speed and size: `python -m tests.benchmarks`, described in its `__main__`."""
