"""Classification losses."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from mdmf_jax.ops.arrays import AnyArray


def cross_entropy(
    logits: Float[AnyArray, "N C"], labels: Int[AnyArray, "N"], reduction: str = "mean"
) -> Float[Array, ""]:
    """Cross entropy of softmax(logits), `reduction` over the N items: "mean" or "sum"."""
    log_probabilities = jax.nn.log_softmax(logits, axis=-1)
    picked = jnp.take_along_axis(log_probabilities, labels[:, None], axis=-1)[:, 0]
    if reduction == "sum":
        return -picked.sum()
    if reduction == "mean":
        return -picked.mean()
    raise ValueError(f"reduction={reduction!r}: use 'mean' or 'sum'")


def class_cross_entropy(
    logits: Float[AnyArray, "N C"],
    query_labels: Int[AnyArray, "Q"],
    class_ids: Int[AnyArray, "W"],
    reduction: str = "mean",
) -> Float[Array, ""]:
    """Cross entropy of the image-text logits of the supports, class after class, and queries.

    Args:
      logits: N = W K + Q videos against all C classes of the part.
      query_labels: classes of the queries, 0..W-1.
      class_ids: columns of the episode's classes.
    """
    shot = (logits.shape[0] - query_labels.shape[0]) // class_ids.shape[0]
    labels = jnp.concatenate([jnp.repeat(class_ids, shot), class_ids[query_labels]])
    return cross_entropy(logits, labels, reduction)
