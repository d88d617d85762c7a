"""EMP-Net's blocks (Wu et al., ECCV 2024): attention over patches, frames and views."""

import jax.numpy as jnp
from flax import linen as nn

from mdmf_jax.errors import ConfigError
from mdmf_jax.models.layers.fusion import CrossAttention, FeedForward

HEADS = 4
ATTENTION_DROPOUT, FFN_DROPOUT = 0.2, 0.05


def check_width(width: int) -> None:
    """Raises ConfigError unless features of this width can be divided among the heads."""
    if width % (2 * HEADS):
        raise ConfigError(
            f"emp_net needs a CLIP whose features are a multiple of {2 * HEADS}, this one's "
            f"are {width}"
        )


class ViewBlock(nn.Module):
    """The block of one view: half of its width is attended with, a quarter fed forward."""

    @nn.compact
    def __call__(self, query, context, *, train: bool):
        """query [N, L, D], context [N, M, D] -> [N, L, D]."""
        width = query.shape[-1]
        attention = CrossAttention(HEADS, ATTENTION_DROPOUT, width // 2, name="attention0")
        x = attention(query, context, train=train)
        return FeedForward(width // 4, FFN_DROPOUT, name="ffn0")(x, train=train)


class SpaceTimeBlock(nn.Module):
    """Patches attend within their frame, class tokens over the frames; then all are fed forward.

    Tokens of videos [N, T, 1 + P, D], the class token first; the same shape comes out.
    """

    @nn.compact
    def __call__(self, x, *, train: bool):
        count, frames, tokens, width = x.shape
        inner = width // 2
        patches = x[:, :, 1:].reshape(count * frames, tokens - 1, width)
        space = CrossAttention(HEADS, ATTENTION_DROPOUT, inner, name="spatial")
        patches = space(patches, patches, train=train)
        first = x[:, :, 0]
        time = CrossAttention(HEADS, ATTENTION_DROPOUT, inner, name="temporal")
        first = time(first, first, train=train)
        patches = patches.reshape(count, frames, tokens - 1, width)
        joined = jnp.concatenate([first[:, :, None], patches], axis=2)
        return FeedForward(width // 4, FFN_DROPOUT, name="ffn")(joined, train=train)
