"""Multiple-level segment transformer: videos compared by frame tuples of several sizes.

After the published code of TSA-MLT (Guo et al., 2023, arXiv 2307.01985). That system first warps
ResNet feature maps in time and space (task-specific alignment); maps of a ResNet are not an input
here, so that part is left out. The published code also reshapes its aligned maps where it should
transpose them, so that its "frames" mix channels and time; here a frame is a frame.
"""

from dataclasses import dataclass
from functools import reduce
from math import comb
from operator import add

import jax
import jax.numpy as jnp
from flax import linen as nn

from mdmf_jax.config.fields import setting
from mdmf_jax.errors import ConfigError
from mdmf_jax.models.layers.tuples import PositionEncoding, TupleProjection, check_sizes
from mdmf_jax.ops.cross_attention import query_prototypes, squared_distance
from mdmf_jax.ops.transport import pairwise_distance, transport_cost
from mdmf_jax.ops.tuples import draw_tuples, frame_tuples, spread_tuples

# The fusion starts so that its logits range about as far as an alignment's distances.
FUSION_START = 5.0


@dataclass(frozen=True)
class TupleOptions:
    """Options of the tuples, for `segment_transformer` and for `mdmf` with that matcher."""

    levels: tuple[int, ...] = setting(
        (1, 2, 3, 4),
        "sizes of the frame tuples, ascending; each level has parameters of its own",
        min=1,
    )
    counts: tuple[int, ...] = setting(
        (8, 4, 3, 2), "how many tuples of each level are compared", min=1
    )
    at_test: str = setting(
        "fixed",
        '"fixed": that many, evenly spread, always the same; or "complete": all tuples of all '
        "levels; in training they are drawn for every episode",
        choices=("fixed", "complete"),
    )
    width: int = setting(1152, "features of keys and values", min=1)
    dropout: float = setting(0.1, "dropout on the frames with their positions", min=0, below=1)
    transport_strength: float = setting(1.0, "optimal transport: factor of the costs", above=0)
    transport_iterations: int = setting(100, "its limit of rounds", min=1)
    transport_tolerance: float = setting(
        1e-5, "largest change of the plan's row sums in a round at which it is done", above=0
    )
    l2_weight: float = setting(
        0.0, "share of the squared distance in the answer and in the loss", reference=1.0, min=0
    )
    transport_weight: float = setting(0.0, "share of the optimal transport", reference=0.0, min=0)
    fusion_weight: float = setting(1.0, "share of the learned fusion of both", reference=0.0, min=0)

    def check(self, frames: int) -> None:
        """Raises ConfigError unless the tuples fit each other and videos of `frames` frames."""
        check_sizes("tuples.levels", self.levels, frames)
        if len(self.levels) != len(self.counts):
            raise ConfigError(
                f"tuples.levels has {len(self.levels)} entries and tuples.counts "
                f"{len(self.counts)}; give one number of tuples for each level"
            )
        for level, count in zip(self.levels, self.counts, strict=True):
            if count > comb(frames, level):
                raise ConfigError(
                    f"tuples.counts asks for {count} tuples of level {level}, but {frames} frames "
                    f"(data.frames) have only {comb(frames, level)}"
                )
        if not self.weights:
            raise ConfigError(
                "tuples.l2_weight, transport_weight and fusion_weight are all 0; give one a weight"
            )

    @property
    def weights(self) -> dict[str, float]:
        """Weights above zero by the kind of logits: "l2", "transport", "fusion"."""
        kinds = {
            "l2": self.l2_weight,
            "transport": self.transport_weight,
            "fusion": self.fusion_weight,
        }
        return {kind: weight for kind, weight in kinds.items() if weight > 0}


class TupleMatcher(nn.Module):
    """Keys and values of a video's tuples, and the logits of queries from them."""

    config: TupleOptions = TupleOptions()

    def setup(self):
        levels, width = self.config.levels, self.config.width
        self.positions = PositionEncoding(self.config.dropout)
        self.keys = [TupleProjection(width) for _ in levels]
        self.values = [TupleProjection(width) for _ in levels]
        self.norm = nn.LayerNorm(epsilon=1e-5, use_fast_variance=False)
        self.fusion = self.param("fusion", nn.initializers.constant(FUSION_START), (2,))

    def encode(self, frames, tuples=None, *, train: bool = False):
        """Keys and values of tuples: [N, T, D] -> {"keys", "values"} [N, S, width].

        Args:
          tuples: frame numbers of each level's tuples [S_level, level], instead of those that
            `at_test` says, or in training the rng "tuples". Calls with the same rng draw the
            same tuples only if they are not in the same `apply`.
        """
        if tuples is None:
            tuples = self.choose(frames.shape[-2], train=train)
        frames = self.positions(frames, train=train)

        def all_levels(layers):
            tokens = [layer(frames, t) for layer, t in zip(layers, tuples, strict=True)]
            return self.norm(jnp.concatenate(tokens, axis=-2))

        return {"keys": all_levels(self.keys), "values": all_levels(self.values)}

    def choose(self, frames: int, *, train: bool = False) -> list:
        """Frame numbers of the tuples of each level [S_level, level]."""
        c = self.config
        plan = list(zip(c.levels, c.counts, strict=True))
        if train:
            keys = jax.random.split(self.make_rng("tuples"), len(plan))
            return [draw_tuples(key, frames, *p) for key, p in zip(keys, plan, strict=True)]
        if c.at_test == "complete":
            return [frame_tuples(frames, level) for level in c.levels]
        return [spread_tuples(frames, *p) for p in plan]

    def logits(self, supports, queries, mask=None) -> dict[str, jax.Array]:
        """Logits [Q, W] by kind: "l2", "transport" and "fusion".

        The fusion weighs both distances by two learned numbers, the same for all classes. More
        than that no linear layer can do that treats all classes alike: what it could add is
        the same for all classes. It takes any number of classes, in any order.

        Args:
          supports: of `encode`, [W, K, S, width].
          queries: of `encode`, [Q, S, width].
          mask: which shots are there [W, K].
        """
        c = self.config
        prototypes = query_prototypes(queries["keys"], supports["keys"], supports["values"], mask)
        l2 = squared_distance(queries["values"], prototypes)
        transport = transport_cost(
            pairwise_distance(queries["values"][:, None], prototypes),
            c.transport_strength,
            c.transport_iterations,
            c.transport_tolerance,
        )
        # Values have unit variance: a squared distance is about the width, a distance its root.
        fused = self.fusion[0] * l2 / c.width + self.fusion[1] * transport / c.width**0.5
        return {"l2": -l2, "transport": -transport, "fusion": -fused}

    def answer(self, logits: dict[str, jax.Array]) -> jax.Array:
        """The logits [Q, W] to classify by: the weighted sum."""
        return reduce(add, (weight * logits[kind] for kind, weight in self.config.weights.items()))
