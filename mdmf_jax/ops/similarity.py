"""Cosine similarity as CLIP-MDMF and CLIP-FSAR compute it."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from mdmf_jax.ops.arrays import AnyArray

EPSILON = 0.01


def norm(x: Float[AnyArray, "*batch D"]) -> Float[Array, "*batch"]:
    """Euclidean norm over the last axis, with gradient zero (not NaN) at the zero vector."""
    squared = jnp.sum(x * x, axis=-1)
    positive = squared > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, squared, 1.0)), 0.0)


def unit(x: Float[AnyArray, "*batch D"]) -> Float[Array, "*batch D"]:
    """Vectors over the last axis with norm 1; zero vectors stay as they are."""
    length = norm(x)[..., None]
    return jnp.asarray(x) / jnp.where(length > 0, length, 1)


def cosine(
    x: Float[AnyArray, "*#batch D"], y: Float[AnyArray, "*#batch D"], epsilon: float = EPSILON
) -> Float[Array, "*#batch"]:
    """Cosine of matching vectors; the leading axes broadcast.

    `epsilon` is added to the product of the norms (it is not a lower bound), as in the
    published code of CLIP-MDMF and CLIP-FSAR.
    """
    return jnp.sum(x * y, axis=-1) / (norm(x) * norm(y) + epsilon)


def pairwise_cosine(
    x: Float[AnyArray, "*#batch N D"], y: Float[AnyArray, "*#batch M D"], epsilon: float = EPSILON
) -> Float[Array, "*#batch N M"]:
    """Cosine of every vector of `x` with every vector of `y`; epsilon as in `cosine`."""
    products = jnp.einsum("...nd,...md->...nm", x, y)
    norms = norm(x)[..., :, None] * norm(y)[..., None, :]
    return products / (norms + epsilon)
