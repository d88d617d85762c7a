"""The small network that reads motion maps: where things move at first, then how over time."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import linen as nn


@dataclass(frozen=True)
class MotionSizes:
    """Sizes of the network.

    Attributes:
      side: of the grey frames in pixels, a multiple of 8.
      dense: grey frames for each position of a clip, a multiple of 4.
      channels: of the two layers that look at places.
      width: of the part that looks along time.
      features: D, of what it gives.
    """

    side: int = 48
    dense: int = 4
    channels: tuple[int, ...] = (64, 64)
    width: int = 192
    features: int = 128


class MotionNetwork(nn.Module):
    """From motion maps [N, M, h, w, 6] (see `ops.motion_maps`) to features of T positions."""

    sizes: MotionSizes = MotionSizes()

    @nn.compact
    def __call__(self, maps: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Features [N, T, features], and what they are made of: what happens in each moment
        [N, M, width], which training reads as well."""
        first, second = self.sizes.channels
        x = nn.relu(nn.Dense(first, name="where")(_cells(maps, 2)))
        x = jnp.concatenate([_later(x, 1), x, _later(x, -1)], -1)
        x = nn.relu(nn.Dense(second, name="how")(x))
        x = nn.Dense(self.sizes.width, name="places")(x.reshape(*x.shape[:2], -1))
        x = nn.LayerNorm(name="norm_in")(x)
        for number, step in enumerate((1, 2, 4)):
            inner = nn.relu(x)
            inner = jnp.concatenate([_later(inner, step), inner, _later(inner, -step)], -1)
            x = x + nn.Dense(self.sizes.width, name=f"time_{number}")(inner)
        moments = nn.relu(x)
        several = self.sizes.dense // 2
        x = moments.reshape(len(x), -1, several, self.sizes.width).mean(2)
        x = nn.LayerNorm(name="norm_out")(x)
        return nn.Dense(self.sizes.features, name="features")(x), moments


def _cells(x: jax.Array, side: int) -> jax.Array:
    """Squares of side x side pixels [N, M, H, W, C] as cells [N, M, H / side, W / side, ...]."""
    *first, height, width, channels = x.shape
    x = x.reshape(*first, height // side, side, width // side, side, channels)
    x = jnp.swapaxes(x, -4, -3)
    return x.reshape(*first, height // side, width // side, side * side * channels)


def _later(x: jax.Array, steps: int) -> jax.Array:
    """Moments [N, M, ...] moved along time; the ends repeat."""
    if steps > 0:
        return jnp.concatenate([x[:, :1]] * steps + [x[:, :-steps]], 1)
    return jnp.concatenate([x[:, -steps:]] + [x[:, -1:]] * -steps, 1)
