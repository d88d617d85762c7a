"""One module for each command of `python -m mdmf_jax`."""
