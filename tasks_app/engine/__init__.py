"""How a slice works: routing stocks to sources, calls in threads, recording responses."""
