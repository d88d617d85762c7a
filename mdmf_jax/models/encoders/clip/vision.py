"""CLIP's image tower with its projection, whichever network it is (Radford et al. 2021)."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from mdmf_jax.errors import ConfigError
from mdmf_jax.models.encoders.clip.config import CLIPConfig, ResNetConfig
from mdmf_jax.models.encoders.clip.resnet import ResNet
from mdmf_jax.models.encoders.clip.vit import VisionTransformer


class CLIPVision(nn.Module):
    """Image tower with its projection. Float pixels [N, S, S, 3] -> [N, D], not normalised.

    A vision transformer or a ResNet, by the type of `config.vision`. Both have the branches
    "vision_model" and "visual_projection"; a ResNet's projection is the last layer of its
    attention pooling and has a bias. Pixels are expected as `preprocess.normalise` gives them.
    Parameters are float32; `dtype` is that of the computation. See `attention.attention` for
    the names of implementations. With `remat` a backward pass computes each block again; with
    `scan` a transformer's blocks run in a loop (a ResNet's differ from each other, and do not).

    Raises:
        ConfigError: the images do not have the size S that the tower was made for.
    """

    config: CLIPConfig
    dtype: jnp.dtype = jnp.float32
    attention: str = "auto"
    remat: bool = False
    scan: bool = False

    @nn.compact
    def __call__(self, pixels: jax.Array) -> jax.Array:
        vision = self.config.vision
        side = vision.image_size
        if pixels.ndim != 4 or pixels.shape[1:] != (side, side, 3):
            raise ConfigError(
                f"the images have shape {tuple(pixels.shape)}, but this CLIP takes "
                f"[N, {side}, {side}, 3]: crop the frames to {side} x {side} pixels"
            )
        resnet = isinstance(vision, ResNetConfig)
        options = {"dtype": self.dtype, "attention": self.attention, "remat": self.remat}
        if resnet:
            tower = ResNet(vision, **options, name="vision_model")
        else:
            tower = VisionTransformer(vision, **options, scan=self.scan, name="vision_model")
        pooled = tower(pixels)
        return nn.Dense(
            self.config.projection_dim,
            use_bias=resnet,
            kernel_init=nn.initializers.normal(vision.hidden_size**-0.5),
            dtype=self.dtype,
            name="visual_projection",
        )(pooled)
