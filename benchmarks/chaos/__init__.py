"""Collections that are killed at random moments: `python -m benchmarks.chaos --help`."""
