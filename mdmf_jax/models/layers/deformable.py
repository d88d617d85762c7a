"""Deformable attention over space and time, and the bottleneck that D2ST-Adapter makes of two.

Source: "D2ST-Adapter: Disentangled-and-Deformable Spatio-Temporal Adapter for Few-shot Action
Recognition" (arXiv 2312.01431) and its published code.
"""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn

from mdmf_jax.models.layers.attention import attention
from mdmf_jax.models.layers.initializers import torch_bias, torch_kernel
from mdmf_jax.ops.deformable import Sizes, Window, sampling_points
from mdmf_jax.ops.depthwise import depthwise
from mdmf_jax.ops.sampling import trilinear

gelu = partial(jax.nn.gelu, approximate=False)

_NEIGHBOURS = Window((3, 3, 3), (1, 1, 1), (1, 1, 1))


@dataclass(frozen=True)
class Deformable:
    """Sizes of a deformable attention: its window, heads, and groups of channels that are
    sampled at points of their own."""

    window: Window
    heads: int
    groups: int


class DepthwiseConv(nn.Module):
    """Convolution over space and time, each channel by itself. [N, T, H, W, C] -> the same axes."""

    window: Window

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        a, b, d = self.window.kernel
        channels = x.shape[-1]
        kernel = self.param("kernel", torch_kernel, (a, b, d, channels), jnp.float32)
        bias = self.param("bias", torch_bias(a * b * d), (channels,), jnp.float32)
        return depthwise(x, kernel.astype(x.dtype), self.window) + bias.astype(x.dtype)


def _norm(name: str | None = None) -> nn.LayerNorm:
    return nn.LayerNorm(epsilon=1e-5, use_fast_variance=False, name=name)


def _dense(size: int, fan_in: int, dtype: jnp.dtype, name: str | None = None) -> nn.Dense:
    """A dense layer that starts as PyTorch's."""
    bias = torch_bias(fan_in)
    return nn.Dense(size, kernel_init=torch_kernel, bias_init=bias, dtype=dtype, name=name)


class DeformableAttention(nn.Module):
    """All tokens of a video attend to samples of its patches. [N, T, L, c] -> [N, T, L, c].

    A small network makes of the queries the points where the patches are sampled. The points
    and the weights of the samples are float32, what else there is has the tokens' dtype.

    Attributes:
      sizes: frames, rows and columns of the patches, the last of a frame's L tokens.
    """

    channels: int
    options: Deformable
    sizes: Sizes
    dtype: jnp.dtype = jnp.float32

    def setup(self) -> None:
        dense = partial(_dense, self.channels, self.channels, self.dtype)
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (dense() for _ in range(4))
        self.offset_conv = DepthwiseConv(self.options.window)
        self.offset_norm = _norm()
        self.offset_out = nn.Dense(3, use_bias=False, kernel_init=torch_kernel)

    def __call__(self, x: jax.Array) -> jax.Array:
        query = self.q_proj(x)
        samples = self.samples(self._grouped(x), self.points(self._grouped(query)))
        mixed = attention(
            self._heads(query), self._heads(self.k_proj(samples)), self._heads(self.v_proj(samples))
        )
        return self.out_proj(mixed.reshape(x.shape))

    def points(self, queries: jax.Array) -> jax.Array:
        """Points (t, y, x) [N g, P, 3], from the patches' queries [N g, T, H, W, c / g]."""
        found = gelu(self.offset_norm(self.offset_conv(queries)))
        return sampling_points(self.offset_out(found))

    def samples(self, patches: jax.Array, points: jax.Array) -> jax.Array:
        """Patches [N g, T, H, W, c / g] at points [N g, P, 3] -> [N, P, c]."""
        found = trilinear(patches, points)
        groups, (_, count, own) = self.options.groups, found.shape
        return found.reshape(-1, groups, count, own).swapaxes(1, 2).reshape(-1, count, groups * own)

    def _grouped(self, tokens: jax.Array) -> jax.Array:
        """The patches of tokens [N, T, L, c], a volume for each group [N g, T, H, W, c / g]."""
        (t, rows, columns), groups = self.sizes, self.options.groups
        patches = tokens[:, :, -rows * columns :]
        own = patches.shape[-1] // groups
        volumes = patches.reshape(-1, t, rows, columns, groups, own)
        return jnp.moveaxis(volumes, 4, 1).reshape(-1, t, rows, columns, own)

    def _heads(self, tokens: jax.Array) -> jax.Array:
        """[N, ..., c] -> [N, tokens, heads, c / heads]."""
        heads = self.options.heads
        return tokens.reshape(len(tokens), -1, heads, tokens.shape[-1] // heads)


class D2STBottleneck(nn.Module):
    """What D2ST-Adapter adds to the tokens of a block or stage. [N, T, L, C] -> [N, T, L, C].

    Down to `inner` channels, a depthwise convolution of the patches, two deformable attentions
    side by side (one dense in space, one in time), their mean, and up again. It starts as zero.

    Attributes:
      grid: rows and columns of the patches, the last of a frame's L tokens.
      activate: a GELU behind both ends, as in a vision transformer; a ResNet's has none there.
    """

    inner: int
    space: Deformable
    time: Deformable
    grid: tuple[int, int]
    activate: bool = True

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        size, sizes = x.shape[-1], (x.shape[1], *self.grid)
        end = gelu if self.activate else lambda y: y
        y = end(_dense(self.inner, size, x.dtype, "down")(x))
        rest = y.shape[2] - sizes[1] * sizes[2]
        patches = y[:, :, rest:].reshape(len(y), *sizes, self.inner)
        patches = patches + DepthwiseConv(_NEIGHBOURS, name="neighbours")(patches)
        y = jnp.concatenate([y[:, :, :rest], patches.reshape(y[:, :, rest:].shape)], axis=2)
        added = []
        for name, options in (("space", self.space), ("time", self.time)):
            attend = DeformableAttention(
                self.inner, options, sizes, x.dtype, name=f"{name}_attention"
            )
            added.append(y + attend(_norm(f"{name}_norm")(y).astype(x.dtype)))
        y = gelu((added[0] + added[1]) / 2)
        zeros = nn.initializers.zeros
        return end(nn.Dense(size, kernel_init=zeros, dtype=x.dtype, name="up")(y))
