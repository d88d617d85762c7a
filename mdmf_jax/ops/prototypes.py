"""Class prototypes, of videos and of texts."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from mdmf_jax.ops.arrays import AnyArray
from mdmf_jax.ops.similarity import unit


def class_means(
    support: Float[AnyArray, "W K *rest"], mask: Bool[AnyArray, "W K"] | None = None
) -> Float[Array, "W *rest"]:
    """Mean of each class over its shots.

    `mask` says which shots are there, for classes with unequal numbers of shots; each class
    needs at least one.
    """
    support = jnp.asarray(support)
    if mask is None:
        shots = support.shape[1]
        # Shot by shot: XLA then adds gathered shots without writing them side by side first.
        return sum((support[:, k] for k in range(1, shots)), start=support[:, 0]) / shots
    weights = mask.astype(support.dtype)
    weights = weights / weights.sum(axis=1, keepdims=True)
    return jnp.einsum("wk,wk...->w...", weights, support)


def text_means(
    texts: Float[AnyArray, "C M D"],
    mask: Bool[AnyArray, "C M"] | None = None,
    *,
    normed: bool = False,
) -> Float[Array, "C D"]:
    """Mean of each class over its texts.

    Args:
      mask: which texts are there; each class needs at least one.
      normed: the mean is one of texts of norm 1, and is given norm 1 itself.
    """
    texts = unit(texts) if normed else jnp.asarray(texts)
    if mask is None or texts.shape[1] == 1:
        means = texts.mean(axis=1)
    else:
        shares = mask / mask.sum(axis=1, keepdims=True)
        means = (texts * shares[..., None]).sum(axis=1)
    return unit(means) if normed else means
