"""A ladder network beside a frozen tower (TS-FSAR, arXiv 2512.11340)."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn

from mdmf_jax.models.encoders.clip.blocks import Attention, EncoderLayer, layer_norm
from mdmf_jax.models.encoders.clip.config import TowerConfig
from mdmf_jax.models.layers.initializers import torch_kernel

HEAD = 64  # width of an attention head of the ladder
FRAME_HEADS = 8  # of the attention across frame features


class Ladder(nn.Module):
    """Tokens after each of a tower's L blocks to tokens of a narrow network beside it.

    Tokens l = 0..L [B, 1 + P, H] are normed and projected to the ladder's width d; block l runs
    on what block l - 1 left (the first one on the tokens 0) and is mixed with the tokens l.

    Attributes:
      config: sizes of the ladder's blocks.
      temporal: numbers of the blocks, from 0, whose attention runs over the frames of a video,
        for each token by itself, instead of over the tokens of a frame.
      gated: mixed by a learned share for each block; otherwise added.
      temperature: of the gates' logistic function.
      remat: a backward pass computes the blocks again.
    """

    config: TowerConfig
    temporal: tuple[int, ...] = ()
    gated: bool = True
    temperature: float = 0.1
    dtype: jnp.dtype = jnp.float32
    attention: str = "auto"
    remat: bool = False

    @nn.compact
    def __call__(self, tokens: Sequence[jax.Array], frames: int) -> jax.Array:
        """[B, 1 + P, H] for each l -> [B, 1 + P, d], with the rows B = N frames of N videos."""
        down = [self._down(number, x) for number, x in enumerate(tokens)]
        x = down[0]
        for number, beside in enumerate(down[1:]):
            x = self._block(number, x, frames)
            self.sow("intermediates", "side_block", x)
            if self.gated:
                gate = self.param(f"gate_{number}", nn.initializers.zeros, (1,), jnp.float32)
                share = jax.nn.sigmoid(gate / self.temperature).astype(x.dtype)
                x = share * x + (1 - share) * beside
            else:
                x = x + beside
            self.sow("intermediates", "side_state", x)
        return x

    def _down(self, number: int, x: jax.Array) -> jax.Array:
        normed = layer_norm(self.config, self.dtype, f"norm_{number}")(x)
        x = nn.Dense(
            self.config.hidden_size,
            use_bias=False,
            kernel_init=torch_kernel,
            dtype=self.dtype,
            name=f"down_{number}",
        )(normed)
        self.sow("intermediates", "downsample", x)
        return x

    def _block(self, number: int, x: jax.Array, frames: int) -> jax.Array:
        layer = nn.remat(EncoderLayer) if self.remat else EncoderLayer
        block = layer(
            self.config, dtype=self.dtype, attention=self.attention, name=f"block_{number}"
        )
        if number not in self.temporal:
            return block(x)
        count, length, width = x.shape
        videos = x.reshape(-1, frames, length, width).swapaxes(1, 2)  # [N, 1 + P, T, d]
        moved = block(videos.reshape(-1, frames, width))
        return moved.reshape(videos.shape).swapaxes(1, 2).reshape(count, length, width)


class FrameAdapter(nn.Module):
    """Attention over the frame features of a video. [N, T, D] -> [N, T, D].

    (2 - residual) x + residual attention(norm(x)).
    """

    residual: float
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        width = x.shape[-1]
        config = TowerConfig(width, width, 1, FRAME_HEADS)
        normed = layer_norm(config, self.dtype, "norm")(x)
        mixed = Attention(config, dtype=self.dtype, implementation="xla", name="attention")(
            normed, normed
        )
        return (2 - self.residual) * x + self.residual * mixed


class TokenProjection(nn.Module):
    """LayerNorm and a projection without bias. [..., d] -> [..., width]."""

    width: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.LayerNorm(1e-5, use_fast_variance=False, dtype=self.dtype, name="norm")(x)
        return nn.Dense(
            self.width,
            use_bias=False,
            kernel_init=torch_kernel,
            dtype=self.dtype,
            name="projection",
        )(x)
