"""Frame-level CrossTransformer, a baseline of the published CLIP-FSAR code.

It carries CrossTransformers (Doersch et al., 2020, arXiv 2007.11498) over from the patches of
images to the frames of videos.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax.numpy as jnp
from flax import linen as nn

from mdmf_jax.config.fields import setting
from mdmf_jax.models.layers.initializers import torch_kernel
from mdmf_jax.models.methods.base import FewShotMethod
from mdmf_jax.models.methods.clip_fsar import PUBLISHED_READER
from mdmf_jax.ops.cross_attention import query_prototypes
from mdmf_jax.ops.similarity import norm


@dataclass(frozen=True)
class CrossTransformerConfig:
    """Options of the frame-level CrossTransformer."""

    width: int = setting(1024, "features of keys and values", min=1)
    scale: float = setting(
        10.0,
        "factor of the cosines that are its logits; published: none, so that the softmax of the "
        "loss tells classes apart only faintly",
        reference=1.0,
        above=0,
    )


class CrossTransformer(FewShotMethod):
    """Compares each frame of a query with what a class's frames offer for it.

    The outputs of a video are the keys and values of its frames [N, T, width], from the same
    layers for supports and queries.
    """

    Config: ClassVar[type] = CrossTransformerConfig
    published: ClassVar[Mapping[str, Any]] = PUBLISHED_READER
    rngs: ClassVar[tuple[str, ...]] = ()

    config: CrossTransformerConfig = CrossTransformerConfig()

    def setup(self):
        width = self.config.width
        self.keys = nn.Dense(width, use_bias=False, kernel_init=torch_kernel)
        self.values = nn.Dense(width, use_bias=False, kernel_init=torch_kernel)

    @property
    def needs_texts(self) -> bool:
        return False

    def encode_support(self, features, texts, *, train: bool = False):
        videos = features["frames"]
        return {"keys": self.keys(videos), "values": self.values(videos)}

    def encode_query(self, features, texts, *, train: bool = False):
        return self.encode_support(features, texts, train=train)

    def match(self, supports, queries, text_features, *, support_mask=None, train: bool = False):
        """Mean over the query's frames of the scaled cosine of value and prototype."""
        prototypes = query_prototypes(
            queries["keys"], supports["keys"], supports["values"], support_mask
        )  # [Q, W, T, width]
        cosines = (_unit(queries["values"])[:, None] * _unit(prototypes)).sum(-1)
        return self.config.scale * cosines.mean(-1), {}


def _unit(x):
    """Vectors of length one, but zero for zero; as PyTorch's normalize."""
    return x / jnp.maximum(norm(x), 1e-12)[..., None]
