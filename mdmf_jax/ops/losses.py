"""Classification losses."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def cross_entropy(
    logits: Float[Array, "N C"], labels: Int[Array, "N"], reduction: str = "mean"
) -> Float[Array, ""]:
    """Cross entropy of softmax(logits), `reduction` over the N items: "mean" or "sum"."""
    log_probabilities = jax.nn.log_softmax(logits, axis=-1)
    picked = jnp.take_along_axis(log_probabilities, labels[:, None], axis=-1)[:, 0]
    if reduction == "sum":
        return -picked.sum()
    if reduction == "mean":
        return -picked.mean()
    raise ValueError(f"reduction={reduction!r}: use 'mean' or 'sum'")
