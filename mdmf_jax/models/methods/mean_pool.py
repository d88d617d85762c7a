"""Mean pooling: the mean frame of a query against those of a class, whatever their order."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax.numpy as jnp

from mdmf_jax.config.fields import setting
from mdmf_jax.models.methods.base import FewShotMethod
from mdmf_jax.models.methods.clip_fsar import PUBLISHED_READER
from mdmf_jax.ops.prototypes import class_means
from mdmf_jax.ops.similarity import pairwise_cosine


@dataclass(frozen=True)
class MeanPoolConfig:
    """Options of mean pooling."""

    metric: str = setting(
        "cosine",
        '"cosine" with each support video, mean over the shots (the baseline of the published '
        'CLIP-FSAR code); "squared": minus the squared distance to the mean of a class (as '
        "Prototypical Networks, Snell et al., 2017)",
        choices=("cosine", "squared"),
    )


class MeanPool(FewShotMethod):
    """Classifies by the mean frame; no parameters. The outputs of a video are that [N, D]."""

    Config: ClassVar[type] = MeanPoolConfig
    published: ClassVar[Mapping[str, Any]] = PUBLISHED_READER
    rngs: ClassVar[tuple[str, ...]] = ()

    config: MeanPoolConfig = MeanPoolConfig()

    @property
    def needs_texts(self) -> bool:
        return False

    def encode_support(self, features, texts, *, train: bool = False):
        return features["frames"].mean(axis=-2)

    def encode_query(self, features, texts, *, train: bool = False):
        return features["frames"].mean(axis=-2)

    def match(self, supports, queries, text_features, *, support_mask=None, train: bool = False):
        if self.config.metric == "squared":
            prototypes = class_means(supports, support_mask)  # [W, D]
            return -jnp.square(queries[:, None] - prototypes[None]).sum(-1), {}
        by_shot = pairwise_cosine(supports, queries[None])  # [W, K, Q]
        return class_means(by_shot, support_mask).T, {}
