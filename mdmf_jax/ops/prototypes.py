"""Class prototypes."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from mdmf_jax.ops.arrays import AnyArray


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
