"""TRX: temporal-relational CrossTransformers (Perrett et al., CVPR 2021, arXiv 2101.06184)."""

from dataclasses import dataclass
from typing import ClassVar

from flax import linen as nn

from mdmf_jax.config.fields import setting
from mdmf_jax.models.layers.tuples import PositionEncoding, TupleProjection, check_sizes
from mdmf_jax.models.methods.base import FewShotMethod
from mdmf_jax.ops.cross_attention import query_prototypes, squared_distance
from mdmf_jax.ops.losses import cross_entropy
from mdmf_jax.ops.tuples import frame_tuples


@dataclass(frozen=True)
class TRXConfig:
    """Options of TRX. The defaults are those of the published code."""

    cardinalities: tuple[int, ...] = setting(
        (2, 3), "sizes of the frame tuples, ascending; each has parameters of its own", min=1
    )
    width: int = setting(1152, "features of keys and values", min=1)
    dropout: float = setting(0.1, "dropout on the frames with their positions", min=0, below=1)
    reduction: str = setting(
        "mean", "of the cross entropy over the queries", reference="sum", choices=("mean", "sum")
    )


class TRX(FewShotMethod):
    """TRX's head on frame features, for one episode.

    The outputs of a video are keys and values of all its tuples, for each cardinality
    [N, tuples, width]. Keys have a LayerNorm, values none, as in the published code.
    """

    Config: ClassVar[type] = TRXConfig

    config: TRXConfig = TRXConfig()

    @classmethod
    def check(cls, options, sections, frames):
        check_sizes("trx.cardinalities", options.cardinalities, frames)

    def setup(self):
        sizes, width = self.config.cardinalities, self.config.width
        self.positions = PositionEncoding(self.config.dropout)
        self.keys = [TupleProjection(width) for _ in sizes]
        self.values = [TupleProjection(width) for _ in sizes]
        self.norms = [nn.LayerNorm(epsilon=1e-5, use_fast_variance=False) for _ in sizes]

    @property
    def needs_texts(self) -> bool:
        return False

    def encode_support(self, features, texts, *, train: bool = False):
        return self._tokens(features["frames"], train)

    def encode_query(self, features, texts, *, train: bool = False):
        return self._tokens(features["frames"], train)

    def match(self, supports, queries, text_features, *, support_mask=None, train: bool = False):
        """Minus the mean over the cardinalities of the distances to the prototypes."""
        distances = []
        for support, query in zip(supports, queries, strict=True):
            prototypes = query_prototypes(
                query["keys"], support["keys"], support["values"], support_mask
            )
            distances.append(squared_distance(query["values"], prototypes))
        return -sum(distances) / len(distances), {}

    def losses(self, logits, diagnostics, query_labels, class_ids):
        loss = cross_entropy(logits, query_labels, self.config.reduction)
        return {"cross_entropy": loss, "total": loss}

    def _tokens(self, videos, train: bool):
        frames = self.positions(videos, train=train)
        tokens = []
        for index, size in enumerate(self.config.cardinalities):
            tuples = frame_tuples(videos.shape[-2], size)
            keys = self.norms[index](self.keys[index](frames, tuples))
            tokens.append({"keys": keys, "values": self.values[index](frames, tuples)})
        return tokens
