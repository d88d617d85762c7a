"""Smaller matrices and vectors from large ones: how a side network starts from a pretrained
network (TS-FSAR, arXiv 2512.11340)."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mdmf_jax.errors import ConfigError
from mdmf_jax.ops.arrays import AnyArray

_CUBIC = -0.75  # coefficient of the interpolation's kernel


def principal_part(
    matrix: Float[AnyArray, "N D"], rows: int, columns: int
) -> Float[Array, "rows columns"]:
    """A matrix of `rows` times `columns` from a larger one, by principal components.

    With rows >= columns: the first rows of the centred matrix, in the `columns` directions in
    which its rows vary most. Otherwise the same of the transposed matrix, transposed. In each
    direction the entry of largest magnitude is positive.

    Raises:
      ConfigError: the matrix has too few rows or columns for that.
    """
    if rows < columns:
        return principal_part(jnp.asarray(matrix).T, columns, rows).T
    if rows > matrix.shape[0] or columns > min(matrix.shape):
        raise ConfigError(
            f"a start of {rows} x {columns} numbers cannot be made from a pretrained matrix of "
            f"{matrix.shape[0]} x {matrix.shape[1]}: choose a smaller width"
        )
    centred = matrix - jnp.mean(matrix, axis=0)
    product = partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)
    # Several times faster than the singular values of the matrix itself, and as exact.
    vectors = jnp.linalg.eigh(product(centred.T, centred))[1]  # ascending
    directions = vectors[:, ::-1][:, :columns]  # [D, columns]
    largest = jnp.abs(directions).argmax(axis=0)
    signs = jnp.sign(jnp.take_along_axis(directions, largest[None], axis=0))
    return product(centred[:rows], signs * directions)


def resized(vector: Float[AnyArray, "D"], size: int) -> Float[Array, "size"]:
    """A vector of another length by cubic interpolation, without smoothing.

    Entry i is read at (i + 1/2) D / size - 1/2; beyond an end the last number is repeated.
    """
    length = vector.shape[0]
    places = (np.arange(size) + 0.5) * length / size - 0.5
    first = np.floor(places).astype(int)
    found = jnp.zeros(size, jnp.asarray(vector).dtype)
    for offset in (-1, 0, 1, 2):
        weights = _cubic(np.abs(places - (first + offset)))
        found += weights.astype(found.dtype) * vector[np.clip(first + offset, 0, length - 1)]
    return found


def _cubic(distance: np.ndarray) -> np.ndarray:
    """The kernel of cubic convolution (Keys, 1981) at distances of 0 to 2."""
    a, x = _CUBIC, distance
    near = (a + 2) * x**3 - (a + 3) * x**2 + 1
    far = a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a
    return np.where(x <= 1, near, np.where(x < 2, far, 0))
