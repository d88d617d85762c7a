"""Evaluation: features of every video once, then many episodes of them."""
