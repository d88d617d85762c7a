"""CLIP's vision transformer (ViT; Radford et al. 2021)."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from mdmf_jax.models.encoders.clip.blocks import layer_norm
from mdmf_jax.models.encoders.clip.config import VisionConfig
from mdmf_jax.models.encoders.clip.stack import Transformer
from mdmf_jax.models.layers.adapter import ALONE, EmbeddingMaker, TowerCall


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
    """Pixels to the tokens behind the last block. [B, S, S, 3] -> see `__call__`.

    Attributes:
      patches: all last tokens are wanted, not only the class token.
      keep: numbers of blocks whose tokens are wanted as well; see `EncoderLayers`.
      normed: numbers of blocks whose tokens are wanted behind the last LayerNorm.
      blocks: further attributes of `EncoderLayers`.
      embedding: makes what changes the tokens with their positions, before the first LayerNorm;
        see `CLIPEncoder.embedding_adapter`.
    """

    config: VisionConfig
    dtype: jnp.dtype = jnp.float32
    patches: bool = False
    keep: tuple[int, ...] = ()
    blocks: Any = None
    embedding: EmbeddingMaker | None = None
    normed: tuple[int, ...] = ()

    @nn.compact
    def __call__(
        self, pixels: jax.Array, texts: jax.Array | None = None, call: TowerCall = ALONE
    ) -> dict[str, jax.Array]:
        """Returns "frames", the class token's final state [B, hidden_size]; if asked for,
        "patches", those of the patches [B, patches, hidden_size], and "tokens_<l>", all tokens
        behind block l before any further LayerNorm (l = 0: before the first block), or
        "projected_<l>", the same behind the last LayerNorm.
        """
        x = VisionEmbeddings(self.config, self.dtype, name="embeddings")(pixels)
        if self.embedding is not None:
            grouped = x.reshape(-1, call.group, *x.shape[1:])
            changed = self.embedding(name="adapter_embedding")(grouped, call)
            x = changed.reshape(x.shape).astype(x.dtype)
        # "pre_layrnorm" is the spelling of the published checkpoints.
        x = layer_norm(self.config, self.dtype, "pre_layrnorm")(x)
        last = self.config.num_hidden_layers
        keep = tuple(sorted({*self.keep, *self.normed}))
        options = dict(self.blocks or {}) | {
            "dtype": self.dtype,
            "keep": keep,
            "first_only": not self.patches and last not in keep,
        }
        x, kept = Transformer(self.config, options, name="encoder")(x, texts, call)
        final = layer_norm(self.config, self.dtype, "post_layernorm")
        found = {f"tokens_{number}": kept[number] for number in self.keep}
        found |= {f"projected_{number}": final(kept[number]) for number in self.normed}
        found["frames"] = final(x[:, 0])
        if self.patches:
            found["patches"] = final(x[:, 1:])
        return found
