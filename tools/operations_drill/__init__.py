"""An installation on two worker machines, from its deployment to a restored backup. See `__main__`."""
