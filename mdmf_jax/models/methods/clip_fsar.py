"""CLIP-FSAR: CLIP-guided prototype modulating (arXiv 2303.02982)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn

from mdmf_jax.config.fields import setting
from mdmf_jax.models.layers.fusion import fusion_of
from mdmf_jax.models.methods.base import FewShotMethod, joined
from mdmf_jax.ops.alignment import otam_distance
from mdmf_jax.ops.losses import class_cross_entropy, cross_entropy
from mdmf_jax.ops.prototypes import class_means
from mdmf_jax.ops.similarity import pairwise_cosine

# How the published code of CLIP-FSAR reads videos and texts, for the heads that it holds.
PUBLISHED_READER = {
    "encoder.normalise": "clip",
    "data.flip": False,
    "data.prompt_order": "by_name",
}


@dataclass(frozen=True)
class CLIPFSARConfig:
    """Options of CLIP-FSAR. The defaults are those of the published code."""

    depth: int = setting(1, "layers of the fusion transformer", min=1)
    heads: int = setting(8, "its attention heads", min=1)
    hidden: int = setting(2048, "its feed-forward width", min=1)
    attention_dropout: float = setting(0.2, "dropout on the attention's output", min=0, below=1)
    ffn_dropout: float = setting(0.05, "dropout in the feed-forward part", min=0, below=1)
    temperature: float = setting(0.5, "temperature of the alignment's soft minimum", above=0)
    bidirectional: bool = setting(True, "align query with prototype and prototype with query")
    merge_before: bool = setting(False, "average a class's shots before the transformer, not after")
    at_test: str = setting(
        "plain",
        'what classifies when not training: "plain" (the alignment, as in training), "text" '
        '(image-text agreement alone), "combined" (both, as probabilities)',
        choices=("plain", "text", "combined"),
    )
    text_coefficient: float = setting(0.9, 'share of the text in "combined"', min=0, max=1)
    class_weight: float = setting(
        1.2,
        "weight of the image-text class loss; published: 1.2 (HMDB51), 1.5 (UCF101, Kinetics), "
        "3.0 (Something-Something V2)",
        min=0,
    )
    query_weight: float = setting(1.0, "weight of the queries' cross entropy", min=0)
    reduction: str = setting(
        "mean", "of the cross entropies over their videos", choices=("mean", "sum")
    )


class CLIPFSAR(FewShotMethod):
    """CLIP-FSAR's head on frame features, for one episode.

    A support's output is its fused frame tokens [N, T, D], or with `merge_before` its frames;
    a query's are its tokens, fused among themselves, and its mean frame. In training it
    classifies by the alignment, whatever `at_test` says.
    """

    Config: ClassVar[type] = CLIPFSARConfig
    published: ClassVar[Mapping[str, Any]] = PUBLISHED_READER

    config: CLIPFSARConfig = CLIPFSARConfig()

    def setup(self):
        self.fusion = fusion_of(self.config)
        self.scale = self.param("scale", nn.initializers.ones, (1,), jnp.float32)

    def encode_support(self, features, texts, *, train: bool = False):
        """As in the base.

        The published code puts the text token last, `MultiModalFusion` first. That changes
        nothing, because no token has a position embedding.
        """
        videos = features["frames"]
        if self.config.merge_before:
            return videos
        return self.fusion(texts, videos, videos, train=train)[:, 1:]

    def encode_query(self, features, texts, *, train: bool = False):
        videos = features["frames"]
        tokens = self.fusion(None, videos, videos, train=train)
        return {"tokens": tokens, "mean": videos.mean(axis=-2)}

    def match(self, supports, queries, text_features, *, support_mask=None, train: bool = False):
        c = self.config
        prototypes = class_means(supports, support_mask)  # [W, T, D]
        if c.merge_before:
            prototypes = self.fusion(text_features, prototypes, prototypes, train=train)[:, 1:]
        tokens = queries["tokens"]
        distance = otam_distance(tokens, prototypes, c.temperature, c.bidirectional)
        text_logits = self._text_logits(queries["mean"], text_features)
        logits = -distance
        if not train:
            logits = self._test_logits(distance, text_logits, tokens.shape[-2])
        return logits, {"distance": distance, "text_logits": text_logits}

    def class_scores(self, support, query, text_features, class_texts, *, train: bool = False):
        """Image-text logits of supports, class after class, then queries [W K + Q, C]."""
        means = joined(support, query)["frames"].mean(axis=-2)
        return {"class_logits": pairwise_cosine(means, class_texts) * self.scale[0]}

    def losses(self, logits, diagnostics, query_labels, class_ids):
        c = self.config
        losses = {"cross_entropy": cross_entropy(logits, query_labels, c.reduction)}
        losses["class"] = jnp.zeros((), logits.dtype)
        if "class_logits" in diagnostics:
            losses["class"] = class_cross_entropy(
                diagnostics["class_logits"], query_labels, class_ids, c.reduction
            )
        losses["total"] = (
            c.query_weight * losses["cross_entropy"] + c.class_weight * losses["class"]
        )
        return losses

    def _text_logits(self, means, text_features):
        """Image-text logits [Q, W] of mean frames [Q, D], from cosines without epsilon."""
        return pairwise_cosine(means, text_features, epsilon=0.0) * self.scale[0]

    def _test_logits(self, distance, text_logits, frames: int):
        """Scores [Q, W] as `at_test` says; those with text are (products of) probabilities."""
        if self.config.at_test == "plain":
            return -distance
        by_text = jax.nn.log_softmax(text_logits, axis=-1)
        if self.config.at_test == "text":
            return jnp.exp(by_text)
        # The published 1 - distance / 8 is the same to a softmax; 8 is its number of frames.
        by_frames = jax.nn.log_softmax(-distance / frames, axis=-1)
        share = self.config.text_coefficient
        return jnp.exp(share * by_text + (1 - share) * by_frames)
