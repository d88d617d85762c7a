"""Episodes drawn, loaded and batched."""
