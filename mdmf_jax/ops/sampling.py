"""Trilinear sampling of volumes at points that may lie outside (D2ST-Adapter, arXiv 2312.01431).

Along an axis with n cells the coordinates -1 and 1 are the centres of the first and the last
cell. Around the volume everything is zero, cell by cell: up to one cell outside a sample fades
in a line, farther out it is zero.

A sample has a weight for each cell of an axis, two of them not zero. The products of the three
axes' weights are a matrix [P, T H W], and the samples one matrix product: that is quicker than
gathering, in its gradient and on accelerators above all, for the few points of an attention.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mdmf_jax.ops.arrays import AnyArray


def trilinear(
    volume: Float[AnyArray, "N T H W C"], points: Float[AnyArray, "N P 3"]
) -> Float[Array, "N P C"]:
    """The volume's values at points (t, y, x), linear between the eight cells around each.

    The gradient reaches the points through the weights, and the cells inside the volume. At a
    cell's centre the derivative by the point is that of the side behind it.
    """
    volume, points = jnp.asarray(volume), jnp.asarray(points)
    t, y, x = (
        _axis_weights(points[..., axis], size) for axis, size in enumerate(volume.shape[1:4])
    )
    planes = t[:, :, :, None] * y[:, :, None, :]  # [N, P, T, H]
    weights = planes[..., None] * x[:, :, None, None, :]
    cells = volume.reshape(len(volume), -1, volume.shape[-1])
    weights = weights.reshape(*points.shape[:2], cells.shape[1])
    return jnp.einsum("npv,nvc->npc", weights, cells).astype(volume.dtype)


def _axis_weights(coordinates: Array, size: int) -> Array:
    """Weight of each of an axis's cells for each point: [N, P] -> [N, P, size]."""
    places = (coordinates + 1) / 2 * (size - 1)
    lower = jax.lax.stop_gradient(jnp.floor(places))
    share = (places - lower)[..., None]  # of the next cell
    behind = jnp.arange(size, dtype=places.dtype)[None, None] - lower[..., None]
    return jnp.where(behind == 0, 1 - share, 0) + jnp.where(behind == 1, share, 0)
