"""Query-specific prototypes: what a class's supports offer for each token of a query.

This is the attention of CrossTransformers (Doersch et al., 2020, arXiv 2007.11498), with frame
tuples or frames in place of image patches, as TRX uses it.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from mdmf_jax.ops.arrays import AnyArray


def query_prototypes(
    query_keys: Float[AnyArray, "Q N D"],
    support_keys: Float[AnyArray, "W K M D"],
    support_values: Float[AnyArray, "W K M V"],
    mask: Bool[AnyArray, "W K"] | None = None,
) -> Float[Array, "Q W N V"]:
    """For each query token and class: the mean of the class's values, weighted by attention.

    The weights are softmax(<query key, support key> / sqrt(D)) over all tokens of all shots of
    the class together. `mask` says which shots are there; each class needs at least one.
    """
    scores = jnp.einsum("qnd,wkmd->qwnkm", query_keys, support_keys)
    scores = scores / query_keys.shape[-1] ** 0.5
    if mask is not None:
        scores = jnp.where(mask[None, :, None, :, None], scores, -jnp.inf)
    weights = jax.nn.softmax(scores, axis=(-2, -1))
    return jnp.einsum("qwnkm,wkmv->qwnv", weights, support_values)


def squared_distance(
    query_values: Float[AnyArray, "Q N V"], prototypes: Float[AnyArray, "Q W N V"]
) -> Float[Array, "Q W"]:
    """Squared Euclidean distance of a query's tokens to its prototypes, mean over the tokens."""
    return jnp.square(query_values[:, None] - prototypes).sum(-1).mean(-1)
