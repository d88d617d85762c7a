"""Splits, videos, episodes and loaders. NumPy and PyAV only; TensorFlow is optional, JAX unused."""
