"""The multiple-level segment transformer as a method of its own, on CLIP's frame features."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp

from mdmf_jax.config.fields import setting
from mdmf_jax.models.layers.tuple_matcher import TupleMatcher, TupleOptions
from mdmf_jax.models.methods.base import FewShotMethod, split_classes
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

    config: SegmentTransformerConfig = SegmentTransformerConfig()
    tuples: TupleOptions = TupleOptions()

    @classmethod
    def check(cls, options, sections, frames):
        sections["tuples"].check(frames)

    def setup(self):
        self.matcher = TupleMatcher(self.tuples)

    def encode_support(self, videos, texts, *, train: bool = False):
        return self.matcher.encode(videos, train=train)

    def encode_query(self, videos, texts, *, train: bool = False):
        return self.matcher.encode(videos, train=train)

    def outputs(self, support, query, prompts, query_texts, *, train: bool):
        """As in the base; in one call, so that all videos get the same tuples."""
        way, shot, *video = support.shape
        videos = jnp.concatenate([support.reshape(-1, *video), query])
        tokens = self.matcher.encode(videos, train=train)
        supports = jax.tree.map(lambda x: x[: way * shot], tokens)
        queries = jax.tree.map(lambda x: x[way * shot :], tokens)
        return split_classes(supports, way), queries, {}

    def match(self, supports, queries, prompts, *, support_mask=None, train: bool = False):
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
