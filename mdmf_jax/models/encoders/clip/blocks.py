"""Transformer layers shared by CLIP's image and text towers.

Modules and parameters are named as in Hugging Face's FlaxCLIPModel. Initial values follow
OpenAI's CLIP (Radford et al. 2021, published code).
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from mdmf_jax.models.encoders.clip.config import TowerConfig
from mdmf_jax.models.layers.adapter import ALONE, AdapterMaker, BlockContext, TowerCall
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


# beside(name of a dense layer, its input) -> what is added to its output
Beside = Callable[[str, jax.Array], Any]


class Attention(nn.Module):
    """Multi-head attention of queries [N, M, D] to tokens [N, L, D] -> [N, M, D].

    `causal`: no look at later tokens.
    """

    config: TowerConfig
    causal: bool = False
    dtype: jnp.dtype = jnp.float32
    implementation: str = "auto"

    @nn.compact
    def __call__(
        self,
        queries: jax.Array,
        tokens: jax.Array,
        beside: Beside | None = None,
        causal: bool | None = None,
        there: jax.Array | None = None,
    ) -> jax.Array:
        """`causal` and `there` [N, L] (see `attention`) for this call alone."""
        size, heads = self.config.hidden_size, self.config.num_attention_heads
        inward = nn.initializers.normal(size**-0.5)
        outward = nn.initializers.normal((2 * self.config.num_hidden_layers * size) ** -0.5)
        dense = partial(_dense, beside=beside, dtype=self.dtype)

        def project(name: str, x: jax.Array) -> jax.Array:
            y = dense(name, size, inward, x)
            return y.reshape(*y.shape[:-1], heads, size // heads)  # [N, L, heads, D / heads]

        if queries.shape[-2] == tokens.shape[-2] == 1 and not self.is_initializing():
            # A single token looks at itself alone, whatever its query and key are.
            return dense("out_proj", size, outward, dense("v_proj", size, inward, tokens))
        mixed = attention(
            project("q_proj", queries),
            project("k_proj", tokens),
            project("v_proj", tokens),
            causal=self.causal if causal is None else causal,
            there=there,
            implementation=self.implementation,
        )
        return dense("out_proj", size, outward, mixed.reshape(queries.shape))


class MLP(nn.Module):
    """Two dense layers with the tower's activation. [N, L, D] -> [N, L, D]."""

    config: TowerConfig
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, beside: Beside | None = None) -> jax.Array:
        config, size = self.config, self.config.hidden_size
        inward = nn.initializers.normal((2 * size) ** -0.5)
        outward = nn.initializers.normal((2 * config.num_hidden_layers * size) ** -0.5)
        dense = partial(_dense, beside=beside, dtype=self.dtype)
        x = activation(config.hidden_act, dense("fc1", config.intermediate_size, inward, x))
        return dense("fc2", size, outward, x)


def _dense(
    name: str,
    size: int,
    init: nn.initializers.Initializer,
    x: jax.Array,
    *,
    beside: Beside | None,
    dtype: jnp.dtype,
) -> jax.Array:
    """A dense layer of the module that calls it, and what an adapter adds to it."""
    y = nn.Dense(size, kernel_init=init, dtype=dtype, name=name)(x)
    return y if beside is None else y + beside(name, x)


class EncoderLayer(nn.Module):
    """Pre-norm transformer block. [B, L, D] -> [B, L, D], with the rows B = N T.

    With `first_only` it computes the first token only, from all tokens: [B, L, D] -> [B, 1, D].
    An adapter (see `Adapter`) sees the tokens as [N, T, L, D] and needs all of them.
    """

    config: TowerConfig
    causal: bool = False
    dtype: jnp.dtype = jnp.float32
    attention: str = "auto"
    first_only: bool = False
    adapter: AdapterMaker | None = None

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        block: int | jax.Array = 0,
        texts: jax.Array | None = None,
        call: TowerCall = ALONE,
    ) -> jax.Array:
        norm1 = layer_norm(self.config, self.dtype, "layer_norm1")
        # One query is too little for cuDNN.
        implementation = "xla" if self.first_only else self.attention
        attend = Attention(self.config, self.causal, self.dtype, implementation, name="self_attn")
        norm2 = layer_norm(self.config, self.dtype, "layer_norm2")
        mlp = MLP(self.config, self.dtype, name="mlp")
        if self.adapter is None:
            normed = norm1(x)
            count = 1 if self.first_only else x.shape[1]
            x = x[:, :count] + attend(normed[:, :count], normed)
            return x + mlp(norm2(x))
        context = BlockContext(
            block,
            self.config.num_hidden_layers,
            call,
            texts,
            norm1,
            partial(_attend_over_rows, attend),
            norm2,
            mlp,
        )
        return self._adapted(x, self.adapter(name="adapter"), attend, context)

    def _adapted(self, x, adapter, attend, context: BlockContext) -> jax.Array:
        """The block with the adapter's hooks."""
        call = context.call

        def grouped(tokens):
            return tokens.reshape(-1, call.group, *tokens.shape[1:])

        def hook(function, tokens):
            # An adapter may compute in float32; the tower goes on in its own dtype.
            found = function(grouped(tokens), context)
            return found.reshape(tokens.shape).astype(tokens.dtype)

        def beside(name, tokens):
            return _as_rows(adapter.beside_projection(name, grouped(tokens), context), tokens, call)

        def attended(tokens):
            rows = tokens.reshape(x.shape)
            normed = context.norm1(rows)
            found = rows + hook(adapter.after_attention, attend(normed, normed, beside))
            return found.reshape(tokens.shape)

        x = hook(adapter.before_attention, x)
        x = hook(lambda tokens, context: adapter.around_attention(tokens, attended, context), x)
        normed = context.norm2(x)
        added = _as_rows(adapter.beside_mlp(grouped(normed), context), normed, call)
        return hook(adapter.after_block, x + context.mlp(normed, beside) + added)


def _attend_over_rows(
    attend: Attention, tokens: jax.Array, causal: bool | None = None, there: Any = None
) -> jax.Array:
    """Self-attention of tokens with any leading axes, [..., L, D]."""
    flat = tokens.reshape(-1, *tokens.shape[-2:])
    if there is not None:
        there = jnp.broadcast_to(there, tokens.shape[:-1]).reshape(flat.shape[:-1])
    return attend(flat, flat, None, causal, there).reshape(tokens.shape)


def _as_rows(added: Any, tokens: jax.Array, call: TowerCall) -> jax.Array:
    """What is added to tokens [N T, L, ...], from an array that fits [N, T, L, ...]."""
    added = jnp.asarray(added, tokens.dtype)
    if added.ndim < 3:
        return added
    leading = (len(tokens) // call.group, call.group)
    ranks = (1,) * (4 - added.ndim) + added.shape
    return jnp.broadcast_to(added, leading + ranks[2:]).reshape(-1, *ranks[2:])
