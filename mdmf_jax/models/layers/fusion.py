"""MMFE: the cross transformer that fuses text and video (CLIP-MDMF; CLIP-FSAR uses it too)."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from mdmf_jax.models.layers.dropout import Dropout
from mdmf_jax.models.layers.initializers import torch_bias, torch_kernel


class CrossAttention(nn.Module):
    """Multi-head attention with one LayerNorm for queries, keys and values, and a residual.

    Attributes:
      inner: width of all heads together; 0 for that of the queries.
    """

    heads: int
    dropout: float
    inner: int = 0

    @nn.compact
    def __call__(self, query, context, *, mask=None, train: bool):
        """query [N, L, D], context [N, M, D] -> [N, L, D].

        Args:
          mask: which tokens of the context are there [M]; all without it.
        """
        features = query.shape[-1]
        inner = self.inner or features
        norm = nn.LayerNorm(epsilon=1e-5, use_fast_variance=False, name="norm")
        normed_query, normed_context = norm(query), norm(context)

        def project(name, x):
            projected = nn.Dense(inner, use_bias=False, kernel_init=torch_kernel, name=name)(x)
            return projected.reshape(*x.shape[:-1], self.heads, inner // self.heads)

        attended = jax.nn.dot_product_attention(
            project("to_q", normed_query),
            project("to_k", normed_context),
            project("to_v", normed_context),
            mask=None if mask is None else mask[None, None, None],
        )
        merged = nn.Dense(
            features, kernel_init=torch_kernel, bias_init=torch_bias(inner), name="to_out"
        )(attended.reshape(*query.shape[:-1], inner))
        # The residual takes the query before LayerNorm.
        return query + Dropout(self.dropout)(merged, train=train)


class FeedForward(nn.Module):
    """Two linear layers with GELU and a residual; no LayerNorm before or after.

    Attributes:
      residual: the input is added.
    """

    hidden: int
    dropout: float
    residual: bool = True

    @nn.compact
    def __call__(self, x, *, train: bool):
        """[..., D] -> [..., D]."""
        features = x.shape[-1]
        wide = nn.Dense(
            self.hidden, kernel_init=torch_kernel, bias_init=torch_bias(features), name="fc1"
        )(x)
        wide = Dropout(self.dropout)(nn.gelu(wide, approximate=False), train=train)
        narrow = nn.Dense(
            features, kernel_init=torch_kernel, bias_init=torch_bias(self.hidden), name="fc2"
        )(wide)
        narrow = Dropout(self.dropout)(narrow, train=train)
        return x + narrow if self.residual else narrow


class FusionBlock(nn.Module):
    """One `CrossAttention` and one `FeedForward`, under the names of the first layer below."""

    heads: int
    inner: int
    hidden: int
    attention_dropout: float = 0.2
    ffn_dropout: float = 0.05

    @nn.compact
    def __call__(self, query, context, *, mask=None, train: bool):
        """query [N, L, D], context [N, M, D], mask [M] -> [N, L, D]; see `CrossAttention`."""
        attention = CrossAttention(
            self.heads, self.attention_dropout, self.inner, name="attention0"
        )
        x = attention(query, context, mask=mask, train=train)
        return FeedForward(self.hidden, self.ffn_dropout, name="ffn0")(x, train=train)


class MultiModalFusion(nn.Module):
    """MMFE of one view: [text; context] attends to [text; frames].

    Tokens have no position embedding: the place of the text among them changes nothing.
    Layers after the first are self-attention on the running value.
    """

    depth: int = 1
    heads: int = 8
    hidden: int = 2048
    attention_dropout: float = 0.2
    ffn_dropout: float = 0.05

    @nn.compact
    def __call__(self, text, context, frames, *, train: bool):
        """text [N, D], context and frames [N, T, D] -> [N, 1 + T, D], the text token first.

        With text None there is not a text token: [N, T, D].
        """
        x, attended = context, frames
        if text is not None:
            x = jnp.concatenate([text[:, None], context], axis=1)
            attended = jnp.concatenate([text[:, None], frames], axis=1)
        for layer in range(self.depth):
            x = CrossAttention(self.heads, self.attention_dropout, name=f"attention{layer}")(
                x, attended if layer == 0 else x, train=train
            )
            x = FeedForward(self.hidden, self.ffn_dropout, name=f"ffn{layer}")(x, train=train)
        return x


def fusion_of(options: Any) -> MultiModalFusion:
    """The fusion transformer that a method's options describe."""
    return MultiModalFusion(
        depth=options.depth,
        heads=options.heads,
        hidden=options.hidden,
        attention_dropout=options.attention_dropout,
        ffn_dropout=options.ffn_dropout,
    )
