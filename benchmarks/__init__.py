"""Benchmarks: `make bench`, or `python -m benchmarks --help` in an environment with the dependency group `bench`."""
