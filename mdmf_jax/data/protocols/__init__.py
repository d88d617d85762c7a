"""Few-shot protocols, their lists and splits."""
