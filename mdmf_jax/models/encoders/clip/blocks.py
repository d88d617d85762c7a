"""Transformer layers shared by CLIP's image and text towers.

Modules and parameters are named as in Hugging Face's FlaxCLIPModel. Initial values follow
OpenAI's CLIP (Radford et al. 2021, published code).
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from mdmf_jax.models.encoders.clip.config import TowerConfig
from mdmf_jax.models.layers.attention import attention


def quick_gelu(x: jax.Array) -> jax.Array:
    """x * sigmoid(1.702 x), the activation of OpenAI's CLIP."""
    return x * jax.nn.sigmoid(1.702 * x)


def activation(name: str, x: jax.Array) -> jax.Array:
    """Applies `quick_gelu`, or `gelu` in its exact (erf) form."""
    return quick_gelu(x) if name == "quick_gelu" else jax.nn.gelu(x, approximate=False)


def layer_norm(config: TowerConfig, dtype: jnp.dtype, name: str | None = None) -> nn.LayerNorm:
    """LayerNorm whose mean and variance are float32 also where `dtype` is smaller."""
    # The two-pass variance: E[x^2] - E[x]^2 cancels when the mean is large.
    return nn.LayerNorm(
        epsilon=config.layer_norm_eps, use_fast_variance=False, dtype=dtype, name=name
    )


class Attention(nn.Module):
    """Multi-head attention of queries [N, M, D] to tokens [N, L, D] -> [N, M, D].

    `causal`: no look at later tokens.
    """

    config: TowerConfig
    causal: bool = False
    dtype: jnp.dtype = jnp.float32
    implementation: str = "auto"

    @nn.compact
    def __call__(self, queries: jax.Array, tokens: jax.Array) -> jax.Array:
        size, heads = self.config.hidden_size, self.config.num_attention_heads
        inward = nn.initializers.normal(size**-0.5)
        outward = nn.initializers.normal((2 * self.config.num_hidden_layers * size) ** -0.5)

        def project(name: str, x: jax.Array) -> jax.Array:
            y = nn.Dense(size, kernel_init=inward, dtype=self.dtype, name=name)(x)
            return y.reshape(*y.shape[:-1], heads, size // heads)  # [N, L, heads, D / heads]

        mixed = attention(
            project("q_proj", queries),
            project("k_proj", tokens),
            project("v_proj", tokens),
            causal=self.causal,
            implementation=self.implementation,
        )
        mixed = mixed.reshape(queries.shape)
        return nn.Dense(size, kernel_init=outward, dtype=self.dtype, name="out_proj")(mixed)


class MLP(nn.Module):
    """Two dense layers with the tower's activation. [N, L, D] -> [N, L, D]."""

    config: TowerConfig
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        config, size = self.config, self.config.hidden_size
        inward = nn.initializers.normal((2 * size) ** -0.5)
        outward = nn.initializers.normal((2 * config.num_hidden_layers * size) ** -0.5)
        x = nn.Dense(config.intermediate_size, kernel_init=inward, dtype=self.dtype, name="fc1")(x)
        x = activation(config.hidden_act, x)
        return nn.Dense(size, kernel_init=outward, dtype=self.dtype, name="fc2")(x)


class EncoderLayer(nn.Module):
    """Pre-norm transformer block. [N, L, D] -> [N, L, D].

    With `first_only` it computes the first token only, from all tokens: [N, L, D] -> [N, 1, D].
    """

    config: TowerConfig
    causal: bool = False
    dtype: jnp.dtype = jnp.float32
    attention: str = "auto"
    first_only: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        normed = layer_norm(self.config, self.dtype, "layer_norm1")(x)
        # One query is too little for cuDNN.
        implementation = "xla" if self.first_only else self.attention
        attend = Attention(self.config, self.causal, self.dtype, implementation, name="self_attn")
        count = 1 if self.first_only else x.shape[1]
        x = x[:, :count] + attend(normed[:, :count], normed)
        normed = layer_norm(self.config, self.dtype, "layer_norm2")(x)
        return x + MLP(self.config, self.dtype, name="mlp")(normed)


class EncoderLayers(nn.Module):
    """The stack of blocks, named "0", "1", ... [N, L, D] -> [N, L, D].

    With `remat` a backward pass keeps the input of each block only and computes the rest again.
    With `scan` one block is compiled and runs in a loop over the parameters of all, which are
    put together at every call; the parameters themselves are the same as without.
    With `first_only` the last block computes the first token only: [N, L, D] -> [N, 1, D].
    """

    config: TowerConfig
    causal: bool = False
    dtype: jnp.dtype = jnp.float32
    attention: str = "auto"
    remat: bool = False
    scan: bool = False
    first_only: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        options = (self.config, self.causal, self.dtype, self.attention)
        layer = nn.remat(EncoderLayer) if self.remat else EncoderLayer
        *names, last = (str(index) for index in range(self.config.num_hidden_layers))
        if self.scan and names and not self.is_initializing():
            each = [self.variables["params"][name] for name in names]
            x = scan_blocks(EncoderLayer(*options, parent=None), each, x, self.remat)
        else:
            for name in names:
                x = layer(*options, name=name)(x)
        return layer(*options, self.first_only, name=last)(x)


def scan_blocks(block: nn.Module, params: Sequence[Any], x: jax.Array, remat: bool) -> jax.Array:
    """One block after the other, in a loop. x [N, L, D] -> [N, L, D].

    Args:
      params: of each block, of the same shapes.
      remat: see `EncoderLayers`.
    """

    def step(x, params):
        return block.apply({"params": params}, x), None

    if remat:
        step = jax.checkpoint(step, prevent_cse=False)  # A loop is not optimised across steps.
    together = jax.tree.map(lambda *each: jnp.stack(each), *params)
    return jax.lax.scan(step, x, together)[0]


class Encoder(nn.Module):
    """Transformer without embeddings and final LayerNorm; see `EncoderLayers`."""

    config: TowerConfig
    causal: bool = False
    dtype: jnp.dtype = jnp.float32
    attention: str = "auto"
    remat: bool = False
    scan: bool = False
    first_only: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        layers = EncoderLayers(
            self.config,
            self.causal,
            self.dtype,
            self.attention,
            self.remat,
            self.scan,
            self.first_only,
            name="layers",
        )
        return layers(x)
