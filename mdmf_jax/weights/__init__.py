"""Other people's checkpoints, converted to this package's parameters."""
