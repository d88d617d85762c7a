"""The multiple-level segment transformer as a method of its own, on CLIP's frame features."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from mdmf_jax.config.fields import setting
from mdmf_jax.models.layers.tuple_matcher import TupleMatcher, TupleOptions
from mdmf_jax.models.methods.base import FewShotMethod, joined, parted
from mdmf_jax.ops.losses import cross_entropy


@dataclass(frozen=True)
class SegmentTransformerConfig:
    """Options of the method; those of the tuples are `TupleOptions`."""

    reduction: str = setting(
        "mean", "of the cross entropies over the queries", reference="sum", choices=("mean", "sum")
    )


class SegmentTransformer(FewShotMethod):
    """Classifies by the distances between tuples; see `TupleMatcher`.

    The outputs of a video are the keys and values of its tuples [N, S, width].
    """

    Config: ClassVar[type] = SegmentTransformerConfig
    sections: ClassVar[Mapping[str, type]] = {"tuples": TupleOptions}
    rngs: ClassVar[tuple[str, ...]] = ("dropout", "tuples")

    config: SegmentTransformerConfig = SegmentTransformerConfig()
    tuples: TupleOptions = TupleOptions()

    @classmethod
    def check(cls, options, sections, frames):
        sections["tuples"].check(frames)

    def setup(self):
        self.matcher = TupleMatcher(self.tuples)

    @property
    def needs_texts(self) -> bool:
        return False

    def encode_support(self, features, texts, *, train: bool = False):
        return self.matcher.encode(features["frames"], train=train)

    def encode_query(self, features, texts, *, train: bool = False):
        return self.matcher.encode(features["frames"], train=train)

    def outputs(self, support, query, text_features, query_texts, *, train: bool):
        """As in the base; in one call, so that all videos get the same tuples."""
        way, shot = support["frames"].shape[:2]
        tokens = self.matcher.encode(joined(support, query)["frames"], train=train)
        return *parted(tokens, way, shot), {}

    def match(self, supports, queries, text_features, *, support_mask=None, train: bool = False):
        logits = self.matcher.logits(supports, queries, support_mask)
        return self.matcher.answer(logits), {f"{kind}_logits": x for kind, x in logits.items()}

    def losses(self, logits, diagnostics, query_labels, class_ids):
        """Cross entropy of each kind of logits that has a weight, and their weighted sum."""
        losses = {
            kind: cross_entropy(diagnostics[f"{kind}_logits"], query_labels, self.config.reduction)
            for kind in self.tuples.weights
        }
        total = sum(weight * losses[kind] for kind, weight in self.tuples.weights.items())
        return losses | {"cross_entropy": cross_entropy(logits, query_labels), "total": total}
