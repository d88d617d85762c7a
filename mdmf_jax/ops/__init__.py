"""Pure functions on arrays: the mathematics of few-shot action recognition."""
