import numpy as np
import pytest

from mdmf_jax.ops.deformable import Window
from mdmf_jax.ops.depthwise import depthwise


def plain(x, kernel, window):
    sizes, steps, sides = window
    x = np.pad(x, [(0, 0), *((side, side) for side in sides), (0, 0)])
    grid = window.grid(tuple(n - 2 * side for n, side in zip(x.shape[1:4], sides, strict=True)))
    found = np.zeros((len(x), *grid, x.shape[-1]), x.dtype)
    for t, h, w in np.ndindex(*grid):
        for a, b, d in np.ndindex(*sizes):
            place = t * steps[0] + a, h * steps[1] + b, w * steps[2] + d
            found[:, t, h, w] += x[:, *place] * kernel[a, b, d]
    return found


@pytest.mark.parametrize(
    "window",
    [
        Window((3, 3, 3), (1, 1, 1), (1, 1, 1)),  # shifts
        Window((2, 2, 2), (2, 2, 2)),  # side by side, and a row is left over
        Window((3, 2, 3), (2, 1, 2), (0, 1, 2)),  # overlapping, with a border
        Window((1, 1, 1), (1, 2, 3)),  # gaps
        Window((4, 4, 5), (1, 1, 1), (1, 0, 2)),  # too many shifts
    ],
    ids=str,
)
def test_like_loops(window, normal, check_values, check_gradient):
    x, kernel = normal(2, 4, 5, 6, 3), normal(*window.kernel, 3, seed=1)

    def ours(x, kernel):
        return depthwise(x, kernel, window)

    check_values(ours, lambda x, k: plain(x, k, window), x, kernel, rtol=1e-4, atol=1e-5)
    check_gradient(ours, x, kernel)
