"""A bottleneck over the frames of a video, before a block."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from mdmf_jax.models.layers.adapter import Adapter, BlockContext
from mdmf_jax.models.layers.dropout import Dropout


class TemporalBottleneck(Adapter):
    """Down, a convolution over the frames, GELU, up; added to the block's input.

    After ST-Adapter (Pan et al. 2022), whose convolution joins places as well. Each channel and
    place of the frame is convolved for itself, with zeros before the first frame and after the
    last. `up` starts at zero, so that the block starts as it was.

    Attributes:
      width: inner width.
      kernel: frames that the convolution joins, odd.
      rate: of the dropout before `up`.
    """

    width: int
    kernel: int
    rate: float = 0.0

    @nn.compact
    def before_attention(self, x: jax.Array, context: BlockContext) -> jax.Array:
        inner = nn.Dense(self.width, dtype=x.dtype, name="down")(x)
        taps = self.param("kernel", _middle, (self.kernel, self.width), jnp.float32)
        inner = nn.gelu(over_frames(inner, taps.astype(x.dtype)), approximate=False)
        inner = Dropout(self.rate)(inner, train=context.train)
        zeros = nn.initializers.zeros
        return x + nn.Dense(x.shape[-1], kernel_init=zeros, dtype=x.dtype, name="up")(inner)


def over_frames(x: jax.Array, taps: jax.Array) -> jax.Array:
    """Each channel convolved over the frames. [N, T, L, D], [odd K, D] -> [N, T, L, D]."""
    frames, size = x.shape[1], len(taps)
    reach = size // 2
    padded = jnp.pad(x, ((0, 0), (reach, reach), (0, 0), (0, 0)))
    return sum(
        (padded[:, k : k + frames] * taps[k] for k in range(1, size)),
        start=padded[:, :frames] * taps[0],
    )


def _middle(key: jax.Array, shape: tuple[int, int], dtype: jnp.dtype) -> jax.Array:
    """The convolution that changes nothing."""
    return jnp.zeros(shape, dtype).at[shape[0] // 2].set(1)
