"""Flax modules: encoders and few-shot methods."""
