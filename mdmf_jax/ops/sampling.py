"""Trilinear sampling of volumes at points that may lie outside (D2ST-Adapter, arXiv 2312.01431).

Along an axis with n cells the coordinates -1 and 1 are the centres of the first and the last
cell. Around the volume everything is zero, cell by cell: up to one cell outside a sample fades
in a line, farther out it is zero.
"""

from itertools import product

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mdmf_jax.ops.arrays import AnyArray


def trilinear(
    volume: Float[AnyArray, "N T H W C"], points: Float[AnyArray, "N P 3"]
) -> Float[Array, "N P C"]:
    """The volume's values at points (t, y, x), linear between the eight cells around each.

    The gradient reaches the points through the weights, and the cells inside the volume.
    """
    sizes = volume.shape[1:4]
    cells = (jnp.asarray(points) + 1) / 2 * (jnp.asarray(sizes, points.dtype) - 1)[None, None]
    lower = jax.lax.stop_gradient(jnp.floor(cells))
    upper_weights = cells - lower  # [N, P, 3]
    numbers, weights = [], []
    for corner in product((0, 1), repeat=3):
        number, weight = _corner(lower, upper_weights, corner, sizes)
        numbers.append(number)
        weights.append(weight)
    flat = jnp.asarray(volume).reshape(len(volume), -1, volume.shape[-1])
    # One gather for all corners: [N, 8 P, C].
    found = jnp.take_along_axis(flat, jnp.concatenate(numbers, axis=1)[..., None], axis=1)
    found = found.reshape(len(flat), 8, -1, flat.shape[-1])
    return jnp.einsum("nkp,nkpc->npc", jnp.stack(weights, axis=1), found).astype(flat.dtype)


def _corner(
    lower: Array, upper_weights: Array, corner: tuple[int, ...], sizes: tuple[int, ...]
) -> tuple[Array, Array]:
    """Number of a corner's cell in the flat volume [N, P], and its weight, zero outside."""
    number, weight = jnp.zeros(lower.shape[:2], jnp.int32), jnp.ones_like(lower[..., 0])
    for axis, (step, size) in enumerate(zip(corner, sizes, strict=True)):
        place, share = lower[..., axis] + step, upper_weights[..., axis]
        inside = (place >= 0) & (place < size)
        weight = weight * jnp.where(inside, share if step else 1 - share, 0)
        number = number * size + jnp.clip(place, 0, size - 1).astype(jnp.int32)
    return number, weight
