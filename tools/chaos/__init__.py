"""Fault injection: collections whose processes are killed at random moments. See `--help`."""
