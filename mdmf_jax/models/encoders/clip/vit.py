"""CLIP's vision transformer (ViT; Radford et al. 2021)."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from mdmf_jax.models.encoders.clip.blocks import Encoder, layer_norm
from mdmf_jax.models.encoders.clip.config import VisionConfig


class PatchEmbedding(nn.Module):
    """Projects square patches. [N, S, S, 3] -> [N, patches, D], row after row.

    A convolution whose stride is its kernel size, without bias, as one matrix product.
    """

    config: VisionConfig
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, pixels: jax.Array) -> jax.Array:
        side, size, grid = self.config.patch_size, self.config.hidden_size, self.config.grid
        fan_in = 3 * side**2
        kernel = self.param(
            "kernel", nn.initializers.normal(fan_in**-0.5), (side, side, 3, size), jnp.float32
        )
        patches = pixels.astype(self.dtype).reshape(-1, grid, side, grid, side, 3)
        patches = patches.transpose(0, 1, 3, 2, 4, 5).reshape(-1, grid * grid, fan_in)
        return patches @ kernel.astype(self.dtype).reshape(fan_in, size)


class VisionEmbeddings(nn.Module):
    """Class token, patches and positions. [N, S, S, 3] -> [N, 1 + patches, D]."""

    config: VisionConfig
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, pixels: jax.Array) -> jax.Array:
        size = self.config.hidden_size
        init = nn.initializers.normal(size**-0.5)
        patches = PatchEmbedding(self.config, self.dtype, name="patch_embedding")(pixels)
        token = self.param("class_embedding", init, (size,), jnp.float32).astype(self.dtype)
        token = jnp.broadcast_to(token, (len(patches), 1, size))
        tokens = jnp.concatenate([token, patches], axis=1)  # [N, 1 + patches, D]
        positions = nn.Embed(
            self.config.num_patches + 1,
            size,
            embedding_init=init,
            dtype=self.dtype,
            name="position_embedding",
        )
        return tokens + positions(jnp.arange(tokens.shape[1]))[None]


class VisionTransformer(nn.Module):
    """Pixels to the class token's final state. [N, S, S, 3] -> [N, hidden_size]."""

    config: VisionConfig
    dtype: jnp.dtype = jnp.float32
    attention: str = "auto"
    remat: bool = False
    scan: bool = False

    @nn.compact
    def __call__(self, pixels: jax.Array) -> jax.Array:
        x = VisionEmbeddings(self.config, self.dtype, name="embeddings")(pixels)
        # "pre_layrnorm" is the spelling of the published checkpoints.
        x = layer_norm(self.config, self.dtype, "pre_layrnorm")(x)
        encoder = Encoder(
            self.config,
            dtype=self.dtype,
            attention=self.attention,
            remat=self.remat,
            scan=self.scan,
            first_only=True,  # nothing else of the last block is used
            name="encoder",
        )
        x = encoder(x)
        return layer_norm(self.config, self.dtype, "post_layernorm")(x[:, 0])
