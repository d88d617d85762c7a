"""Few-shot action recognition in video with JAX and Flax."""

__version__ = "0.1.0"
