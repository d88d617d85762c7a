"""LoRA: low-rank changes of a block's dense layers."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from flax import linen as nn

from mdmf_jax.models.layers.adapter import Adapter, BlockContext
from mdmf_jax.models.layers.dropout import Dropout
from mdmf_jax.ops.low_rank import without_directions


class LowRank(nn.Module):
    """What LoRA adds to a dense layer's output (Hu et al. 2022). [..., in] -> [..., width].

    `up` starts at zero, so that the layer starts as it was.

    Attributes:
      width: of the layer's output.
      scale: factor of the change.
      dropout: of the input.
      orthogonal: the change is orthogonal to the columns of `basis` (P2A). It is a leaf that is
        not trained: `AdaptedCLIP.start` makes it from the layer's own weight.
    """

    width: int
    rank: int
    scale: float = 1.0
    dropout: float = 0.0
    orthogonal: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        into, zeros = x.shape[-1], nn.initializers.zeros
        # Uniform within +-1 / sqrt(in), as the published code.
        start = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")
        down = self.param("down", start, (into, self.rank), jnp.float32)
        up = self.param("up", zeros, (self.rank, self.width), jnp.float32)
        if self.orthogonal:
            basis = self.param("basis", zeros, (self.width, min(into, self.width)), jnp.float32)
            up = without_directions(up, jax.lax.stop_gradient(basis))
        x = Dropout(self.dropout)(x, train=train)
        return self.scale * (x @ down.astype(x.dtype)) @ up.astype(x.dtype)


class LoRA(Adapter):
    """`LowRank` beside some of a block's dense layers; their branches have the layers' names.

    Attributes:
      layers: name of a layer -> width of its output.
      rank, scale, dropout, orthogonal: see `LowRank`.
    """

    layers: Mapping[str, int]
    rank: int
    scale: float = 1.0
    dropout: float = 0.0
    orthogonal: bool = False

    def setup(self) -> None:
        for name, width in self.layers.items():
            change = LowRank(width, self.rank, self.scale, self.dropout, self.orthogonal)
            setattr(self, name, change)

    def beside_projection(
        self, name: str, x: jax.Array, context: BlockContext
    ) -> jax.Array | float:
        if name not in self.layers:
            return 0.0
        return getattr(self, name)(x, train=context.train)
