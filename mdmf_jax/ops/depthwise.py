"""Depthwise convolution over frames, rows and columns, by sums of shifted or cut volumes.

XLA's own convolution with as many groups as channels takes hundreds of times as long on a CPU.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mdmf_jax.ops.arrays import AnyArray
from mdmf_jax.ops.deformable import Window

_MOST_SHIFTS = 64  # each is an operation to compile


def depthwise(
    x: Float[AnyArray, "N T H W C"], kernel: Float[AnyArray, "A B D C"], window: Window
) -> Float[Array, "N U V Z C"]:
    """The convolution (a correlation, as everywhere in deep learning), zero around the volume.

    Args:
      kernel: of the window's kernel sizes, one for each channel.
    """
    x, kernel = jnp.asarray(x), jnp.asarray(kernel)
    around = [(0, 0), *((side, side) for side in window.padding), (0, 0)]
    x = jnp.pad(x, around)
    sizes, steps = window.kernel, window.stride
    if steps == (1, 1, 1) and np.prod(sizes) <= _MOST_SHIFTS:
        return _shifted(x, kernel, sizes)
    for axis, (size, step) in enumerate(zip(sizes, steps, strict=True)):
        x = _windows(x, 1 + 2 * axis, size, step)  # in the end [N, U, A, V, B, Z, D, C]
    a, b, d, channels = kernel.shape
    return (x * kernel.reshape(1, 1, a, 1, b, 1, d, channels)).sum((2, 4, 6))


def _shifted(x: Array, kernel: Array, sizes: tuple[int, int, int]) -> Array:
    t, h, w = (have - size + 1 for have, size in zip(x.shape[1:4], sizes, strict=True))
    total = None
    for a, b, d in np.ndindex(*sizes):
        part = x[:, a : a + t, b : b + h, d : d + w] * kernel[a, b, d]
        total = part if total is None else total + part
    assert total is not None
    return total


def _windows(x: Array, axis: int, size: int, step: int) -> Array:
    """Cuts an axis of cells into two: windows, and the cells of each."""
    count = (x.shape[axis] - size) // step + 1
    if size == step:  # side by side: nothing is copied
        x = jax.lax.slice_in_dim(x, 0, count * size, axis=axis)
        return x.reshape(*x.shape[:axis], count, size, *x.shape[axis + 1 :])
    ends = [start + (count - 1) * step + 1 for start in range(size)]
    parts = [jax.lax.slice_in_dim(x, start, end, step, axis=axis) for start, end in enumerate(ends)]
    return jnp.stack(parts, axis + 1)
