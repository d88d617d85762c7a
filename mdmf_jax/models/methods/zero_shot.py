"""CLIP without training: the mean frame of a query against the class texts.

As Radford et al. (2021, arXiv 2103.00020) classify an image.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from mdmf_jax.config.fields import setting
from mdmf_jax.models.methods.base import FewShotMethod
from mdmf_jax.models.methods.clip_fsar import PUBLISHED_READER
from mdmf_jax.ops.similarity import pairwise_cosine


@dataclass(frozen=True)
class ZeroShotConfig:
    """Options of zero-shot classification."""

    scale: float = setting(
        100.0,
        "factor of the cosines, which CLIP was trained with in the end; changes probabilities "
        "and the loss, not the predictions",
        above=0,
    )


class ZeroShot(FewShotMethod):
    """Text only: supports are not looked at and may be None. No parameters of its own.

    The output of a query is its mean frame [N, D], a support's is empty.
    """

    Config: ClassVar[type] = ZeroShotConfig
    published: ClassVar[Mapping[str, Any]] = PUBLISHED_READER
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
