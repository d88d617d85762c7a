"""CLIP's ResNet (Radford et al. 2021): anti-aliased strides, attention instead of mean pooling.

Modules and parameters are named as in OpenAI's published code.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from mdmf_jax.models.encoders.clip.config import ResNetConfig
from mdmf_jax.models.layers.adapter import ALONE, TowerCall
from mdmf_jax.models.layers.attention import attention
from mdmf_jax.models.layers.initializers import torch_bias, torch_kernel

EXPANSION = 4  # channels that leave a block, for one of its inner channels
EPSILON = 1e-5  # of every BatchNorm


def pool(x: jax.Array, side: int) -> jax.Array:
    """Means of squares of side x side cells. [N, H, W, C] -> [N, H / side, W / side, C]."""
    return x if side == 1 else nn.avg_pool(x, (side, side), strides=(side, side))


class FrozenBatchNorm(nn.Module):
    """BatchNorm that uses its running statistics. [N, H, W, C] -> [N, H, W, C].

    `scale` and `bias` are trained. The running `mean` and `var` lie beside them among the
    parameters, but no gradient reaches them: their gradient is exactly zero, and Adam without
    weight decay never changes a number whose gradient is always zero, not by one bit. Neither
    does training update them from the batch. (An optimizer with weight decay would have to be
    told to leave them alone.) The statistics and what is done with them are float32.

    With `batch` it uses the statistics of the images that it is given, as the published code of
    CLIP-SPM does after its first evaluation; the running ones do not move.
    """

    dtype: jnp.dtype = jnp.float32
    scale_init: nn.initializers.Initializer = nn.initializers.ones
    batch: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        def channels(name: str, init: nn.initializers.Initializer) -> jax.Array:
            value = self.param(name, init, x.shape[-1:], jnp.float32)
            return value.reshape((1,) * (x.ndim - 1) + (-1,))

        scale = channels("scale", self.scale_init)
        bias = channels("bias", nn.initializers.zeros)
        mean = jax.lax.stop_gradient(channels("mean", nn.initializers.zeros))
        variance = jax.lax.stop_gradient(channels("var", nn.initializers.ones))
        if self.batch:
            mean = x.mean(axis=(0, 1, 2), keepdims=True)
            variance = jnp.square(x - mean).mean(axis=(0, 1, 2), keepdims=True)
        factor = scale * jax.lax.rsqrt(variance + EPSILON)
        return (x * factor + (bias - mean * factor)).astype(self.dtype)


def conv_norm(
    x: jax.Array,
    features: int,
    side: int,
    names: tuple[str, str],
    *,
    stride: int = 1,
    scale_init: nn.initializers.Initializer = nn.initializers.ones,
    dtype: jnp.dtype,
    batch: bool = False,
) -> jax.Array:
    """Square convolution without bias, then BatchNorm. [N, H, W, C] -> [N, H', W', features].

    To be called in a module, to whose parameters both are added under `names`.
    """
    x = nn.Conv(
        features,
        (side, side),
        strides=stride,
        padding=side // 2,
        use_bias=False,
        kernel_init=torch_kernel,
        dtype=dtype,
        name=names[0],
    )(x)
    return FrozenBatchNorm(dtype, scale_init, batch, name=names[1])(x)


class Bottleneck(nn.Module):
    """Residual block. [N, H, W, C] -> [N, H / stride, W / stride, 4 * features].

    All convolutions have stride 1; means of squares make the image smaller, on both ways.
    """

    features: int
    stride: int = 1
    dtype: jnp.dtype = jnp.float32
    batch: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        outer, options = EXPANSION * self.features, {"dtype": self.dtype, "batch": self.batch}
        y = nn.relu(conv_norm(x, self.features, 1, ("conv1", "bn1"), **options))
        y = nn.relu(conv_norm(y, self.features, 3, ("conv2", "bn2"), **options))
        # Before training, a block adds nothing to its shortcut.
        y = conv_norm(
            pool(y, self.stride),
            outer,
            1,
            ("conv3", "bn3"),
            scale_init=nn.initializers.zeros,
            **options,
        )
        if self.stride > 1 or x.shape[-1] != outer:
            names = ("downsample_conv", "downsample_bn")
            x = conv_norm(pool(x, self.stride), outer, 1, names, **options)
        return nn.relu(x + y)


class Stage(nn.Module):
    """Blocks named "0", "1", ..., the first with the stride."""

    features: int
    blocks: int
    stride: int
    dtype: jnp.dtype = jnp.float32
    remat: bool = False
    batch: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        block = nn.remat(Bottleneck) if self.remat else Bottleneck
        for index in range(self.blocks):
            stride = self.stride if index == 0 else 1
            x = block(self.features, stride, self.dtype, self.batch, name=str(index))(x)
        return x


class AttentionPool(nn.Module):
    """The mean cell attends to itself and all cells. [N, grid, grid, C] -> [N, C].

    Without the last layer (c_proj in OpenAI's code), which is `CLIPVision`'s projection.
    """

    config: ResNetConfig
    dtype: jnp.dtype = jnp.float32
    attention: str = "auto"

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        size, heads = self.config.hidden_size, self.config.heads
        cells = x.reshape(len(x), -1, size)
        tokens = jnp.concatenate([cells.mean(axis=1, keepdims=True), cells], axis=1)
        init = nn.initializers.normal(size**-0.5)
        shape = (1 + self.config.grid**2, size)
        positions = self.param("positional_embedding", init, shape, jnp.float32)
        tokens = tokens + positions.astype(self.dtype)[None]  # [N, 1 + grid^2, C]

        def project(name: str, y: jax.Array) -> jax.Array:
            dense = nn.Dense(
                size, kernel_init=init, bias_init=torch_bias(size), dtype=self.dtype, name=name
            )
            return dense(y).reshape(*y.shape[:-1], heads, size // heads)

        query = project("q_proj", tokens[:, :1])
        mixed = attention(
            query,
            project("k_proj", tokens),
            project("v_proj", tokens),
            implementation=self.attention,
        )
        return mixed.reshape(len(x), size)


class ResNet(nn.Module):
    """Pixels [N, S, S, 3] to "frames", the attention pooling's output [N, 32 * width].

    With `patches` also to "patches", the cells before the pooling [N, grid * grid, 32 * width].
    A stem of three convolutions, four stages of blocks, the attention pooling. The image
    becomes smaller by 2 in the first convolution, behind the stem and in the stages 2 to 4.
    `batch`: see `FrozenBatchNorm`.
    """

    config: ResNetConfig
    dtype: jnp.dtype = jnp.float32
    attention: str = "auto"
    remat: bool = False
    patches: bool = False
    batch: bool = False

    @nn.compact
    def __call__(
        self, pixels: jax.Array, texts: jax.Array | None = None, call: TowerCall = ALONE
    ) -> dict[str, jax.Array]:
        width, x = self.config.width, pixels.astype(self.dtype)
        for number, features in enumerate((width // 2, width // 2, width), 1):
            names, stride = (f"conv{number}", f"bn{number}"), 2 if number == 1 else 1
            made = conv_norm(
                x, features, 3, names, stride=stride, dtype=self.dtype, batch=self.batch
            )
            x = nn.relu(made)
        x = pool(x, 2)
        for index, blocks in enumerate(self.config.layers):
            stride, name = 1 if index == 0 else 2, f"layer{index + 1}"
            stage = Stage(
                width * 2**index, blocks, stride, self.dtype, self.remat, self.batch, name=name
            )
            x = stage(x)
        pooled = AttentionPool(self.config, self.dtype, self.attention, name="attnpool")(x)
        found = {"frames": pooled}
        if self.patches:
            found["patches"] = x.reshape(len(x), -1, x.shape[-1])
        return found
