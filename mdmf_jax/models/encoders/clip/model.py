"""Both CLIP towers and the learned temperature in one module."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from mdmf_jax.models.encoders.clip.config import CLIPConfig
from mdmf_jax.models.encoders.clip.text import CLIPText
from mdmf_jax.models.encoders.clip.vision import CLIPVision


class CLIP(nn.Module):
    """Contrastive image-text model (Radford et al. 2021).

    The parameters of `CLIPVision` and `CLIPText` and `logit_scale` (the logarithm of the factor
    before the cosines) lie side by side, as in Hugging Face's FlaxCLIPModel.
    """

    config: CLIPConfig
    dtype: jnp.dtype = jnp.float32

    def setup(self) -> None:
        self.vision = CLIPVision(self.config, self.dtype)
        self.text = CLIPText(self.config, self.dtype)
        # The towers keep no level of their own in the parameter tree.
        nn.share_scope(self, self.vision)
        nn.share_scope(self, self.text)
        self.logit_scale = self.param(
            "logit_scale", nn.initializers.constant(math.log(1 / 0.07)), (), jnp.float32
        )

    def encode_image(self, pixels: jax.Array) -> jax.Array:
        """Image features. [N, S, S, 3] -> [N, D]."""
        return self.vision(pixels)

    def encode_text(self, ids: jax.Array) -> jax.Array:
        """Text features. int [M, L] -> [M, D]."""
        return self.text(ids)

    def __call__(self, pixels: jax.Array, ids: jax.Array) -> jax.Array:
        """Scaled cosines of every image and text. [N, S, S, 3], int [M, L] -> [N, M]."""
        image, text = self.encode_image(pixels), self.encode_text(ids)
        image = image / jnp.linalg.norm(image, axis=-1, keepdims=True)
        text = text / jnp.linalg.norm(text, axis=-1, keepdims=True)
        return jnp.exp(self.logit_scale) * image @ text.T
