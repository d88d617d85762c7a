"""Hooks into the blocks of an encoder's towers: what adapters inside CLIP are made of."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from mdmf_jax.errors import ConfigError


class EpisodeSizes(NamedTuple):
    """How the videos of an episode lie along their axis N: way * shot supports, class after
    class, then the queries."""

    way: int
    shot: int


class TowerCall(NamedTuple):
    """What is known of one call of a tower before it is compiled.

    Attributes:
      group: rows of tokens that belong together: T frames of a video, or M texts of a class.
      train: dropout on.
      episode: for encoders of the units "support" and "episode".
    """

    group: int = 1
    train: bool = False
    episode: EpisodeSizes | None = None


ALONE = TowerCall()


@dataclass(frozen=True)
class BlockContext:
    """What a hook may know and use of its block.

    The functions are the block's own layers, with its own (usually frozen) parameters. They take
    tokens [..., L, D] with any leading axes, and may be called several times.

    Attributes:
      block: number of the block from 0; in a loop over blocks a traced integer.
      blocks: number of blocks of the tower.
      call: sizes of the call, and whether it trains.
      texts: in the image tower the text features that the encoder was given, [C, M, D]; in the
        text tower which texts of a class are there, bool [C, M]; None where not given.
      norm1, norm2: LayerNorms before the attention and before the MLP.
      attend: self-attention over the axis L, attend(tokens, causal=..., there=...); by default
        as in the block, and to all tokens. `there` [..., L] says which may be looked at.
      mlp: the two dense layers.
    """

    block: int | jax.Array
    blocks: int
    call: TowerCall
    texts: jax.Array | None
    norm1: Callable[[jax.Array], jax.Array]
    attend: Callable[..., jax.Array]
    norm2: Callable[[jax.Array], jax.Array]
    mlp: Callable[..., jax.Array]

    @property
    def train(self) -> bool:
        """Whether dropout is on."""
        return self.call.train


class Adapter(nn.Module):
    """Base of what is put into a block. Without overridden hooks a block computes what it did.

    Tokens are [N, T, L, D]: videos, frames, tokens of a frame; in the text tower classes, texts
    of a class, tokens of a text. Submodules belong into `setup`; parameters below the name
    "adapter" are those that no pretrained file holds.
    """

    def before_attention(self, x: jax.Array, context: BlockContext) -> jax.Array:
        """The block's input [N, T, L, D], before its first LayerNorm."""
        return x

    def around_attention(
        self, x: jax.Array, attended: Callable[[jax.Array], jax.Array], context: BlockContext
    ) -> jax.Array:
        """The block's first half, from its input to the input of its second LayerNorm.

        Args:
          attended: the half as it is, x + attention(LayerNorm(x)), with the hooks inside.
        """
        return attended(x)

    def after_attention(self, y: jax.Array, context: BlockContext) -> jax.Array:
        """What the attention gave [N, T, L, D], before it is added to the block's input."""
        return y

    def beside_mlp(self, normed: jax.Array, context: BlockContext) -> Any:
        """What is added to the MLP's output, from the MLP's input [N, T, L, D]."""
        return 0.0

    def after_block(self, x: jax.Array, context: BlockContext) -> jax.Array:
        """The block's output [N, T, L, D]."""
        return x

    def beside_projection(self, name: str, x: jax.Array, context: BlockContext) -> Any:
        """What is added to a dense layer's output, from its input [N, T, L, D].

        Args:
          name: "q_proj", "k_proj", "v_proj", "out_proj", "fc1" or "fc2".
        """
        return 0.0


# Makes the adapter of one block; it is called with the module's name.
AdapterMaker = Callable[..., Adapter]


class TemporalEmbedding(nn.Module):
    """A learned vector for each frame, added to all its tokens; zero at the start.

    Tokens [N, T, L, D] -> [N, T, L, D].

    Raises:
      ConfigError: the videos have another number of frames than the parameters.
    """

    @nn.compact
    def __call__(self, tokens: jax.Array, call: TowerCall) -> jax.Array:
        shape = tokens.shape[1], tokens.shape[-1]
        if self.has_variable("params", "temporal"):
            known = self.get_variable("params", "temporal").shape[0]
            if known != shape[0]:
                raise ConfigError(
                    f"videos of {shape[0]} frames, but the temporal embedding was made for "
                    f"{known}: set data.frames to {known}"
                )
        vectors = self.param("temporal", nn.initializers.zeros, shape, jnp.float32)
        return tokens + vectors.astype(tokens.dtype)[:, None]


# Makes a module of tokens [N, T, L, D] and the call; it is called with the module's name.
EmbeddingMaker = Callable[..., nn.Module]


def same_adapter(one: AdapterMaker | None, other: AdapterMaker | None) -> bool:
    """Whether two makers make equal adapters, so that their blocks can run in one loop."""
    return _parts(one) == _parts(other)


def _parts(maker: Any) -> tuple:
    if maker is None or not hasattr(maker, "func"):
        return (maker,)
    return (maker.func, maker.args, tuple(sorted(maker.keywords.items())))
