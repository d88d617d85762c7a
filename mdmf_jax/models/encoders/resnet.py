"""ImageNet's ResNet (He et al. 2016) as torchvision has it: strides in the 3 x 3 convolutions.

BatchNorm always uses its running statistics. Without the pooling and the classifier.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import linen as nn

from mdmf_jax.models.encoders.clip.resnet import EXPANSION, conv_norm

STAGES = 4


@dataclass(frozen=True)
class ResNetSizes:
    """Sizes of a ResNet; the defaults are those of ResNet-50.

    Attributes:
      layers: blocks in each of the four stages.
      planes: inner channels of the blocks of each stage.
      stem: channels behind the first convolution.
      bottleneck: blocks of three convolutions, whose output has 4 * planes channels; otherwise of
        two (ResNet-18 and 34).
    """

    layers: tuple[int, ...] = (3, 4, 6, 3)
    planes: tuple[int, ...] = (64, 128, 256, 512)
    stem: int = 64
    bottleneck: bool = True

    @property
    def width(self) -> int:
        """Channels behind the last stage."""
        return self.planes[-1] * (EXPANSION if self.bottleneck else 1)


class Stem(nn.Module):
    """[N, S, S, 3] -> [N, S / 4, S / 4, features]: a 7 x 7 convolution and a maximum."""

    features: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, pixels: jax.Array) -> jax.Array:
        x = pixels.astype(self.dtype)
        x = conv_norm(x, self.features, 7, ("conv1", "bn1"), stride=2, dtype=self.dtype)
        x = jnp.pad(nn.relu(x), ((0, 0), (1, 1), (1, 1), (0, 0)))  # nothing is below zero
        return nn.max_pool(x, (3, 3), strides=(2, 2))


class Block(nn.Module):
    """Residual block. [N, H, W, C] -> [N, H / stride, W / stride, planes or 4 * planes]."""

    planes: int
    stride: int = 1
    bottleneck: bool = True
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        sides = (1, 3, 1) if self.bottleneck else (3, 3)
        outer = self.planes * (EXPANSION if self.bottleneck else 1)
        strided = sides.index(3)  # the first convolution that sees neighbours
        y = x
        for index, side in enumerate(sides):
            last = index == len(sides) - 1
            y = conv_norm(
                y,
                outer if last else self.planes,
                side,
                (f"conv{index + 1}", f"bn{index + 1}"),
                stride=self.stride if index == strided else 1,
                dtype=self.dtype,
            )
            y = y if last else nn.relu(y)
        if self.stride > 1 or x.shape[-1] != outer:
            names = ("downsample_conv", "downsample_bn")
            x = conv_norm(x, outer, 1, names, stride=self.stride, dtype=self.dtype)
        return nn.relu(x + y)


class ResNetStage(nn.Module):
    """Blocks named "0", "1", ...; in all stages but the first (number 0) the first has stride 2."""

    sizes: ResNetSizes
    number: int
    dtype: jnp.dtype = jnp.float32
    remat: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        block = nn.remat(Block) if self.remat else Block
        planes, bottleneck = self.sizes.planes[self.number], self.sizes.bottleneck
        for index in range(self.sizes.layers[self.number]):
            stride = 2 if index == 0 and self.number else 1
            x = block(planes, stride, bottleneck, self.dtype, name=str(index))(x)
        return x
