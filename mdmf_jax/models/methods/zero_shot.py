"""CLIP without training: the mean frame of a query against the class texts.

As Radford et al. (2021, arXiv 2103.00020) classify an image.
"""

from dataclasses import dataclass
from typing import ClassVar

from mdmf_jax.models.methods.base import FewShotMethod
from mdmf_jax.ops.similarity import pairwise_cosine


@dataclass(frozen=True)
class ZeroShotConfig:
    """Options of zero-shot classification.

    Attributes:
      scale: what the cosines are multiplied by; 100 is what CLIP was trained with in the end.
        It changes probabilities and the loss, not the predictions.
    """

    scale: float = 100.0


class ZeroShot(FewShotMethod):
    """Text only: supports are not looked at and may be None. No parameters of its own.

    The output of a query is its mean frame [N, D], a support's is empty.
    """

    rngs: ClassVar[tuple[str, ...]] = ()

    config: ZeroShotConfig = ZeroShotConfig()

    def encode_support(self, features, texts, *, train: bool = False):
        return ()

    def encode_query(self, features, texts, *, train: bool = False):
        return features["frames"].mean(axis=-2)

    def outputs(self, support, query, text_features, query_texts, *, train: bool):
        return (), self.encode_query(query, query_texts, train=train), {}

    def match(self, supports, queries, text_features, *, support_mask=None, train: bool = False):
        cosines = pairwise_cosine(queries, text_features, epsilon=0.0)
        return self.config.scale * cosines, {}
