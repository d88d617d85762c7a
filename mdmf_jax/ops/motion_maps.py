"""What moves in a grey video: differences and flow, without the camera's own movement and light.

Between two frames the camera's part is fitted as one similarity (shift, zoom, roll) and one change
of light (gain, offset) by weighted least squares on the linearised difference, robustly: what moves
against the rest gets little weight (Beaton and Tukey's idea with the weights of Cauchy; the global
part of Odobez and Bouthemy, 1995). The flow of what is left is that of Lucas and Kanade (1981).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mdmf_jax.ops.arrays import AnyArray

ROUNDS = 3  # of reweighting
RIDGE = 1e-4  # on shares of the trace
NOISE = 0.004  # of a grey level 0..1, the least that counts as difference
FLOW_RIDGE = 2e-4  # squared gradient below which flow is drawn to 0


def halve(x: Float[AnyArray, "N F H W"]) -> Float[Array, "N F h w"]:
    """Means of 2 x 2 pixels; H and W are even."""
    *first, height, width = x.shape
    return x.reshape(*first, height // 2, 2, width // 2, 2).mean((-3, -1))


def gradients(x: Float[AnyArray, "N F H W"]) -> tuple[Array, Array]:
    """Central differences across and down, with the edges repeated; each as x."""
    wide = jnp.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    across = (wide[..., 1:-1, 2:] - wide[..., 1:-1, :-2]) / 2
    down = (wide[..., 2:, 1:-1] - wide[..., :-2, 1:-1]) / 2
    return across, down


def box(x: Float[AnyArray, "N F H W"], size: int) -> Float[Array, "N F H W"]:
    """Means over squares of `size` (odd) pixels, zeros outside."""
    for axis in (-2, -1):
        edges = [(0, 0)] * x.ndim
        edges[axis] = (size // 2 + 1, size // 2)
        sums = jnp.cumsum(jnp.pad(x, edges), axis)
        last = x.shape[axis] + size
        later = jax.lax.slice_in_dim(sums, size, last, axis=axis)
        x = (later - jax.lax.slice_in_dim(sums, 0, last - size, axis=axis)) / size
    return x


def solve(matrix: Float[AnyArray, "*B P P"], vector: Float[AnyArray, "*B P"]) -> Array:
    """The solution of small symmetric positive systems by elimination, [*B, P].

    Without LAPACK, so that exported programs run anywhere.
    """
    size = vector.shape[-1]
    rows = [[matrix[..., i, j] for j in range(size)] + [vector[..., i]] for i in range(size)]
    for i in range(size):
        for j in range(i + 1, size):
            factor = rows[j][i] / rows[i][i]
            rows[j] = [a - factor * b for a, b in zip(rows[j], rows[i], strict=True)]
    found: list[AnyArray] = [jnp.zeros(())] * size
    for i in reversed(range(size)):
        rest = sum((rows[i][j] * found[j] for j in range(i + 1, size)), jnp.zeros(()))
        found[i] = (rows[i][size] - rest) / rows[i][i]
    return jnp.stack(found, -1)


def _columns(frames: AnyArray) -> list[AnyArray]:
    """What a shift, zoom, roll, gain and offset of 1 would change, six of [N, F, H, W]."""
    across, down = gradients(frames)
    height, width = frames.shape[-2:]
    y = jnp.linspace(-0.5, 0.5, height)[:, None]
    x = jnp.linspace(-0.5, 0.5, width)[None]
    zoom, roll = across * x + down * y, down * x - across * y
    return [across, down, zoom, roll, frames / 8, jnp.full_like(frames, 0.1)]


def _sum(columns: list[AnyArray], parameters: AnyArray) -> AnyArray:
    """The columns times their parameters [N, F, 6], added: [N, F, H, W]."""
    parts = [x * parameters[..., i, None, None] for i, x in enumerate(columns)]
    return sum(parts[1:], parts[0])


def camera_part(
    frames: Float[AnyArray, "N F H W"], change: Float[AnyArray, "N F H W"]
) -> tuple[Array, Array]:
    """The robust fit of a change by camera and light: parameters [N, F, 6], noise [N, F]."""
    columns = _columns(frames)
    weights, noise = jnp.ones_like(change), jnp.zeros(change.shape[:2])
    parameters = jnp.zeros((*change.shape[:2], len(columns)))
    for _ in range(ROUNDS):
        parameters = _fit(columns, change, weights)
        size = jnp.abs(change - _sum(columns, parameters))
        noise = (weights * size).sum((-2, -1)) / weights.sum((-2, -1))
        scale = 1.5 * noise + NOISE
        weights = 1 / (1 + jnp.square(size / scale[..., None, None]))
    return parameters, noise


def _fit(columns: list[AnyArray], change: AnyArray, weights: AnyArray) -> Array:
    """Weighted least squares with a small ridge, [N, F, 6]."""
    stacked = jnp.stack([*columns, change], -3)  # [N, F, 7, H, W]
    flat = stacked.reshape(*stacked.shape[:3], -1)
    weighted = (stacked * weights[..., None, :, :]).reshape(flat.shape)
    products = jnp.einsum("nfpx,nfqx->nfpq", weighted, flat)
    matrix, vector = products[..., :-1, :-1], products[..., :-1, -1]
    size = jnp.trace(matrix, axis1=-2, axis2=-1)[..., None] + 1e-6
    ridge = RIDGE * jnp.eye(len(columns))
    return solve(matrix / size[..., None] + ridge, vector / size)


def without_camera(grey: Float[AnyArray, "N F H W"]) -> tuple[AnyArray, AnyArray, AnyArray]:
    """Differences of neighbouring frames less the camera's part.

    Args:
      grey: 0..1; H and W are even. Fitted at half the size, where shifts are smaller.

    Returns:
      differences [N, F-1, H, W], means of the two frames (the same shape), noise [N, F-1].
    """
    means, change = (grey[:, 1:] + grey[:, :-1]) / 2, grey[:, 1:] - grey[:, :-1]
    parameters, noise = camera_part(halve(means), halve(change))
    # A shift of one large pixel is one of two small ones.
    scales = jnp.array([2.0, 2.0, 2.0, 2.0, 1.0, 1.0])
    return change - _sum(_columns(means), parameters * scales), means, noise


def flow(
    change: Float[AnyArray, "N F H W"], frames: Float[AnyArray, "N F H W"], size: int = 5
) -> tuple[Array, Array]:
    """Flow in pixels a frame, across and down, drawn to 0 where nothing can be told."""
    across, down = gradients(frames)
    xx, yy, xy = (box(p, size) for p in (across**2, down**2, across * down))
    xt, yt = box(across * change, size), box(down * change, size)
    xx, yy = xx + FLOW_RIDGE, yy + FLOW_RIDGE
    determinant = xx * yy - xy**2
    return (xy * yt - yy * xt) / determinant, (xy * xt - xx * yt) / determinant


def motion_maps(grey: Float[AnyArray, "N F H W"]) -> Float[Array, "N M h w 6"]:
    """What moves where, in each of M = F / 2 moments and each cell of 4 x 4 pixels.

    The six are the strength of change, the flow to the right, left, down and up, and the distance
    from the usual picture; means over a cell. None depends on the sign or much on the size of
    contrasts. The change of the last frame is 0.

    Args:
      grey: 0..1; F is even, H and W are multiples of 4.
    """
    change, frames, noise = without_camera(grey)
    floor = (1.5 * noise + NOISE)[..., None, None]
    strength = jnp.maximum(jnp.abs(change) - floor, 0)
    u, v = (jnp.clip(x, -1.5, 1.5) for x in flow(halve(change), halve(frames)))
    small = halve(grey)
    light = small - small.mean((-2, -1), keepdims=True)
    distance = jnp.abs(light - jnp.median(light, axis=1, keepdims=True))
    level = noise.mean(-1)[:, None, None, None]
    distance = jnp.maximum(distance - 2 * level - 2 * NOISE, 0)
    last = lambda x: jnp.pad(x, ((0, 0), (0, 1), (0, 0), (0, 0)))  # noqa: E731
    ways = [jnp.maximum(x, 0) for x in (u, -u, v, -v)]
    parts = [halve(_compressed(last(strength))), *map(last, ways), _compressed(distance)]
    cells = jnp.stack([halve(x) for x in parts], -1)  # [N, F, h, w, 6]
    return cells.reshape(len(grey), -1, 2, *cells.shape[2:]).mean(2)


def _compressed(x: AnyArray) -> Array:
    """Strengths on a scale of their own video, large ones drawn together."""
    size = jnp.sqrt(jnp.square(x).mean((1, 2, 3), keepdims=True)) + NOISE
    return jnp.log1p(x / size)


def coarse_maps(
    maps: Float[AnyArray, "N M h w C"], length: int, rows: int, columns: int
) -> Float[Array, "N T D"]:
    """Mean maps of each position on a coarse grid, D = rows * columns * C.

    Args:
      maps: M is a multiple of the length, h of the rows, w of the columns.
      length: T.
      rows, columns: of the grid.
    """
    count, moments, height, width, channels = maps.shape
    cells = maps.reshape(
        (count, length, moments // length, rows, height // rows, columns, width // columns, -1)
    ).mean((2, 4, 6))
    return cells.reshape(count, length, rows * columns * channels)
