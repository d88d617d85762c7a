"""Where a deformable attention looks (D2ST-Adapter, arXiv 2312.01431): points of a volume.

Positions along an axis run from -1 to 1. The references are centres of n equal cells of that
range, at (2 i + 1) / n - 1; a learned offset moves a point by at most min(1, 2 / n). So points
may leave the volume.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mdmf_jax.ops.arrays import AnyArray

Sizes = tuple[int, int, int]  # frames, rows, columns


class Window(NamedTuple):
    """A convolution's window; each of kernel, stride and padding has frames, rows, columns."""

    kernel: Sizes
    stride: Sizes
    padding: Sizes = (0, 0, 0)

    def grid(self, sizes: Sizes) -> Sizes:
        """Its places in a volume of T x H x W cells; 0 along an axis where it does not fit."""
        t, y, x = (
            max(0, (size + 2 * padding - kernel) // stride + 1)
            for size, kernel, stride, padding in zip(sizes, *self, strict=True)
        )
        return t, y, x


def reference_points(grid: Sizes) -> np.ndarray:
    """Centres of the cells of a grid, (t, y, x) [T', H', W', 3]."""
    axes = [(2 * np.arange(n) + 1) / n - 1 for n in grid]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)


def sampling_points(offsets: Float[AnyArray, "N T H W 3"]) -> Float[Array, "N P 3"]:
    """The points of a grid, t slowest, from offsets in any range.

    Args:
      offsets: (t, y, x), squeezed here to the range of each axis.
    """
    count, *grid = offsets.shape[:4]
    t, y, x = grid
    reach = np.array([min(1.0, 2 / n) for n in grid])
    moved = jnp.tanh(offsets) * jnp.asarray(reach, offsets.dtype)
    references = jnp.asarray(reference_points((t, y, x)), offsets.dtype)[None]
    return (references + moved).reshape(count, -1, 3)
