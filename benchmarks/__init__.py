"""Measurements and whole-library trials, run by hand: `python -m benchmarks.NAME --help`."""
