"""CLIP's text tower: a causal transformer read at the end token (Radford et al. 2021)."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from mdmf_jax.errors import ConfigError
from mdmf_jax.models.encoders.clip.blocks import layer_norm
from mdmf_jax.models.encoders.clip.config import LEGACY_EOS, CLIPConfig, TextConfig
from mdmf_jax.models.encoders.clip.stack import AdapterOf, Transformer, no_adapter
from mdmf_jax.models.layers.adapter import ALONE, TowerCall


def end_position(ids: jax.Array, eos_token_id: int) -> jax.Array:
    """Position of the token that stands for the whole text. int [N, L] -> int [N].

    The first `eos_token_id`; for the legacy value 2 the first largest id (as transformers).
    """
    if eos_token_id == LEGACY_EOS:
        return jnp.argmax(ids, axis=-1)
    return jnp.argmax(ids == eos_token_id, axis=-1)


class TextEmbeddings(nn.Module):
    """Tokens and positions. int [N, L] -> [N, L, hidden_size]."""

    config: TextConfig
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, ids: jax.Array) -> jax.Array:
        config, length = self.config, ids.shape[-1]
        if length > config.max_position_embeddings:
            raise ConfigError(
                f"texts of {length} tokens, but this CLIP takes at most "
                f"{config.max_position_embeddings}: shorten the prompt"
            )
        tokens = nn.Embed(
            config.vocab_size,
            config.hidden_size,
            embedding_init=nn.initializers.normal(0.02),
            dtype=self.dtype,
            name="token_embedding",
        )
        positions = nn.Embed(
            config.max_position_embeddings,
            config.hidden_size,
            embedding_init=nn.initializers.normal(0.01),
            dtype=self.dtype,
            name="position_embedding",
        )
        return tokens(ids) + positions(jnp.arange(length))[None]


class TextTransformer(nn.Module):
    """Token ids to the end token's final state. int [B, L] -> [B, hidden_size].

    Attention is causal, so what pads a text after its end token has no influence and needs no
    mask, unless an adapter looks across texts. `blocks` holds further attributes of
    `EncoderLayers`; `there` is what adapters are told of missing texts, see `BlockContext`.
    """

    config: TextConfig
    dtype: jnp.dtype = jnp.float32
    blocks: Any = None

    @nn.compact
    def __call__(
        self, ids: jax.Array, call: TowerCall = ALONE, there: jax.Array | None = None
    ) -> jax.Array:
        x = TextEmbeddings(self.config, self.dtype, name="embeddings")(ids)
        options = dict(self.blocks or {}) | {"causal": True, "dtype": self.dtype}
        x, _ = Transformer(self.config, options, name="encoder")(x, there, call)
        x = layer_norm(self.config, self.dtype, "final_layer_norm")(x)
        return x[jnp.arange(len(x)), end_position(ids, self.config.eos_token_id)]


class CLIPText(nn.Module):
    """Text tower with its projection. Token ids int [B, L] -> [B, D], not normalised.

    `adapter_of` and `streams` are for adapters in its blocks; see `EncoderLayers`.

    Raises:
      ConfigError: L is larger than the tower's number of positions.
    """

    config: CLIPConfig
    dtype: jnp.dtype = jnp.float32
    adapter_of: AdapterOf = no_adapter
    streams: tuple[str, ...] = ()

    @nn.compact
    def __call__(
        self, ids: jax.Array, call: TowerCall = ALONE, there: jax.Array | None = None
    ) -> jax.Array:
        text = self.config.text
        blocks = {"adapter_of": self.adapter_of, "streams": self.streams}
        pooled = TextTransformer(text, self.dtype, blocks, name="text_model")(ids, call, there)
        return nn.Dense(
            self.config.projection_dim,
            use_bias=False,
            kernel_init=nn.initializers.normal(text.hidden_size**-0.5),
            dtype=self.dtype,
            name="text_projection",
        )(pooled)
