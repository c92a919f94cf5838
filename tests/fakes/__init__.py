"""Loopback servers that speak the vendors' wire formats, for tests with the real client libraries."""
