"""Bidirectional mean Hausdorff matching of frames, as D2ST-Adapter has it (arXiv 2312.01431)."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from mdmf_jax.ops.arrays import AnyArray
from mdmf_jax.ops.similarity import norm

SMALLEST = 1e-12  # of a vector's length, before it is divided by it


def unit(x: Float[AnyArray, "*batch D"]) -> Float[Array, "*batch D"]:
    """Vectors of length 1; the zero vector stays."""
    return jnp.asarray(x) / jnp.maximum(norm(x), SMALLEST)[..., None]


def frame_distances(
    query: Float[AnyArray, "Q T D"], prototypes: Float[AnyArray, "W S D"]
) -> Float[Array, "Q W S T"]:
    """1 - cosine of every frame of a prototype with every frame of a query, without epsilon."""
    return 1 - jnp.einsum("wsd,qtd->qwst", unit(prototypes), unit(query))


def hausdorff(distances: Float[AnyArray, "*batch S T"]) -> Float[Array, "*batch"]:
    """Each row's least distance and each column's, all summed (not averaged)."""
    distances = jnp.asarray(distances)
    return distances.min(axis=-1).sum(-1) + distances.min(axis=-2).sum(-1)
