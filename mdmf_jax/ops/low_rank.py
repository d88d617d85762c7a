"""Low-rank changes of weights, and the directions that they leave alone."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mdmf_jax.ops.arrays import AnyArray

_EXACT = jax.lax.Precision.HIGHEST  # lower ones would not be orthogonal


def dominant_basis(weight: Float[AnyArray, "out into"]) -> Float[Array, "out least"]:
    """The leading left singular vectors of a weight as columns, the other columns 0.

    There are k = floor(exp(H)) of them, where H is the entropy of the singular values divided by
    their sum (P2A, CVPR 2026): few where some are much larger than the rest, all where they are
    equal.
    """
    vectors, values, _ = jnp.linalg.svd(jnp.asarray(weight), full_matrices=False)
    shares = values / values.sum()
    entropy = -jax.scipy.special.xlogy(shares, shares).sum()
    return jnp.where(jnp.arange(len(values)) < jnp.floor(jnp.exp(entropy)), vectors, 0)


def without_directions(
    rows: Float[AnyArray, "rank out"], basis: Float[AnyArray, "out k"]
) -> Float[Array, "rank out"]:
    """Each row less its projection to the span of the basis, whose columns are orthonormal or 0."""
    rows = jnp.asarray(rows)
    shares = jnp.matmul(rows, basis, precision=_EXACT)
    return rows - jnp.matmul(shares, jnp.asarray(basis).T, precision=_EXACT)
