"""Models as compiled-for-anywhere programs (`jax.export`), and the loader that runs them."""
