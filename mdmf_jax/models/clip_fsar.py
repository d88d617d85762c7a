"""CLIP-FSAR: CLIP-guided prototype modulating (arXiv 2303.02982)."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import linen as nn

from mdmf_jax.models.fusion import MultiModalFusion
from mdmf_jax.models.output import EpisodeOutput
from mdmf_jax.ops.alignment import otam_distance
from mdmf_jax.ops.losses import cross_entropy
from mdmf_jax.ops.prototypes import class_means
from mdmf_jax.ops.similarity import pairwise_cosine


@dataclass(frozen=True)
class CLIPFSARConfig:
    """Options of CLIP-FSAR. The defaults are those of the published code.

    Attributes:
      depth, heads, hidden: layers, heads and feed-forward width of the fusion transformer.
      attention_dropout, ffn_dropout: dropout rates.
      smoothing: temperature of OTAM's soft minimum.
      bidirectional: align queries with prototypes and prototypes with queries.
      merge_before: average the shots of a class before the transformer instead of after it.
      at_test: what classifies when not training: "plain" (the alignment, as in training),
        "text" (image-text agreement alone), or "combined" (both, as probabilities).
      text_coefficient: share of the text in "combined", 0..1.
      class_weight, query_weight: weights of the two losses. The published class weight is
        1.2 (HMDB51), 1.5 (UCF101, Kinetics) or 3.0 (Something-Something V2).
      reduction: of the cross entropies over their items: "mean" or "sum".
    """

    depth: int = 1
    heads: int = 8
    hidden: int = 2048
    attention_dropout: float = 0.2
    ffn_dropout: float = 0.05
    smoothing: float = 0.5
    bidirectional: bool = True
    merge_before: bool = False
    at_test: str = "plain"
    text_coefficient: float = 0.9
    class_weight: float = 1.2
    query_weight: float = 1.0
    reduction: str = "mean"


class CLIPFSAR(nn.Module):
    """CLIP-FSAR's head on frame features, for one episode."""

    config: CLIPFSARConfig = CLIPFSARConfig()

    def setup(self):
        c = self.config
        self.fusion = MultiModalFusion(
            depth=c.depth,
            heads=c.heads,
            hidden=c.hidden,
            attention_dropout=c.attention_dropout,
            ffn_dropout=c.ffn_dropout,
        )
        self.scale = self.param("scale", nn.initializers.ones, (1,), jnp.float32)

    def __call__(
        self,
        support,
        query,
        prompts,
        *,
        query_labels=None,
        class_ids=None,
        class_table=None,
        train: bool = False,
    ) -> EpisodeOutput:
        """Classifies the queries of one episode.

        Args:
          support: frame features [W, K, T, D], row w belongs to class w of the episode.
          query: frame features [Q, T, D].
          prompts: text features of the episode's classes [W, D].
          query_labels: class of each query, 0..W-1 [Q]; needed for losses.
          class_ids: rows of `class_table` of the episode's classes [W].
          class_table: text features of all classes of the part [C, D]; with `class_ids` it
            gives the image-text class loss.
          train: dropout on; classifies by the alignment. Needs the rng "dropout".
        """
        prototypes = self._prototypes(support, prompts, train)
        queries = self.fusion(None, query, query, train=train)
        c = self.config
        distance = otam_distance(queries, prototypes, c.smoothing, c.bidirectional)
        text_logits = self._text_logits(query, prompts)
        logits = -distance if train else self._test_logits(distance, text_logits, query.shape[-2])
        diagnostics = {"distance": distance, "text_logits": text_logits}
        if class_table is not None:
            diagnostics["class_logits"] = self._class_logits(support, query, class_table)
        losses = {}
        if query_labels is not None:
            class_logits = diagnostics.get("class_logits")
            losses = self._losses(logits, query_labels, class_ids, class_logits)
        return EpisodeOutput(logits, losses, diagnostics)

    def _prototypes(self, support, prompts, train):
        """Fused frame tokens of the classes [W, T, D].

        The published code puts the text token last, `MultiModalFusion` first. That changes
        nothing, because no token has a position embedding.
        """
        if self.config.merge_before:
            frames = class_means(support)
            return self.fusion(prompts, frames, frames, train=train)[:, 1:]
        way, shot, *rest = support.shape
        frames, texts = support.reshape(way * shot, *rest), jnp.repeat(prompts, shot, axis=0)
        fused = self.fusion(texts, frames, frames, train=train)[:, 1:]
        return class_means(fused.reshape(support.shape))

    def _text_logits(self, query, prompts):
        """Image-text logits [Q, W], from cosines without epsilon."""
        return pairwise_cosine(query.mean(axis=-2), prompts, epsilon=0.0) * self.scale[0]

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

    def _class_logits(self, support, query, class_table):
        """Image-text logits of supports, class after class, then queries [W K + Q, C]."""
        videos = jnp.concatenate([support.reshape(-1, *support.shape[2:]), query])
        return pairwise_cosine(videos.mean(axis=-2), class_table) * self.scale[0]

    def _losses(self, logits, query_labels, class_ids, class_logits):
        c = self.config
        losses = {"cross_entropy": cross_entropy(logits, query_labels, c.reduction)}
        losses["class"] = jnp.zeros((), logits.dtype)
        if class_logits is not None:
            items = class_logits.shape[0] - query_labels.shape[0]
            support_ids = jnp.repeat(class_ids, items // class_ids.shape[0])
            real = jnp.concatenate([support_ids, class_ids[query_labels]])
            losses["class"] = cross_entropy(class_logits, real, c.reduction)
        losses["total"] = (
            c.query_weight * losses["cross_entropy"] + c.class_weight * losses["class"]
        )
        return losses
