"""CLIP-MDMF: multi-view distillation based on multi-modal fusion (arXiv 2401.08345)."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from mdmf_jax.models.fusion import MultiModalFusion
from mdmf_jax.models.output import EpisodeOutput
from mdmf_jax.models.temporal import GlobalTemporalContext, LocalTemporalContext
from mdmf_jax.ops import prompts as pps
from mdmf_jax.ops.alignment import otam_distance
from mdmf_jax.ops.distillation import ViewScores, mutual_distillation
from mdmf_jax.ops.losses import cross_entropy
from mdmf_jax.ops.prototypes import class_means
from mdmf_jax.ops.similarity import pairwise_cosine

# The published option names say the opposite of what the published code does.
PUBLISHED_DIRECTIONS = {
    "bid": "both",
    "up2down": "global_to_local",
    "down2up": "local_to_global",
}


@dataclass(frozen=True)
class MDMFConfig:
    """Options of CLIP-MDMF. The defaults are the corrected variant.

    Attributes:
      frames_kept: frames of a video that vote on its prompt (all, if the video has fewer).
      pps: give each query a prompt by PPS; without it the query's text token is zero.
      pps_at_test: "argmax" or "sample"; in training the prompt is always drawn.
      text_token: what the views' text parts compare: the "text" token or the "first_frame".
      depth, heads, hidden: layers, heads and feed-forward width of the fusion transformers.
      attention_dropout, ffn_dropout, tcn_dropout: dropout rates.
      smoothing: temperature of OTAM's soft minimum.
      bidirectional: align queries with prototypes and prototypes with queries.
      direction: who teaches: "local_to_global", "global_to_local", "both", or a published
        name ("bid", "up2down", "down2up") with the meaning it has in the published code.
      condition: what decides who is reliable: "text_and_visual", "text", "visual", "none".
      teacher_gradient: let the distillation gradient reach the teacher.
      reduction: of the cross entropies over their items: "mean" or "sum".
      views: "both", "local", "global", or "neither" (one view without temporal context,
        fused by the local view's transformer). Distillation needs both.
      class_weight, query_weight, distill_weight: weights of the three losses.
    """

    frames_kept: int = 4
    pps: bool = True
    pps_at_test: str = "argmax"
    text_token: str = "text"
    depth: int = 1
    heads: int = 8
    hidden: int = 2048
    attention_dropout: float = 0.2
    ffn_dropout: float = 0.05
    tcn_dropout: float = 0.1
    smoothing: float = 0.5
    bidirectional: bool = True
    direction: str = "both"
    condition: str = "text_and_visual"
    teacher_gradient: bool = False
    reduction: str = "mean"
    views: str = "both"
    class_weight: float = 0.0
    query_weight: float = 1.0
    distill_weight: float = 1.0


class Prompted(NamedTuple):
    """Prompts of the queries, and the frames of all videos that agree best with their text."""

    choice: jax.Array  # [Q]
    probability: jax.Array  # [Q, W]
    best: jax.Array  # [Q], arg max
    support_kept: jax.Array  # [W, K, kept, D]
    query_kept: jax.Array  # [Q, kept, D]


class View(NamedTuple):
    """One view: temporal context, and fused tokens (text first) of prototypes and queries."""

    context_support: jax.Array  # [W, K, T, D]
    context_query: jax.Array  # [Q, T, D]
    prototypes: jax.Array  # [W, 1 + T, D]
    query: jax.Array  # [Q, 1 + T, D]


class MDMF(nn.Module):
    """CLIP-MDMF's head on frame features, for one episode."""

    config: MDMFConfig = MDMFConfig()

    def setup(self):
        c = self.config
        fusion = dict(
            depth=c.depth,
            heads=c.heads,
            hidden=c.hidden,
            attention_dropout=c.attention_dropout,
            ffn_dropout=c.ffn_dropout,
        )
        self.local_context = LocalTemporalContext()
        self.global_context = GlobalTemporalContext(c.tcn_dropout)
        self.local_fusion = MultiModalFusion(**fusion)
        self.global_fusion = MultiModalFusion(**fusion)
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
        prompt_choice=None,
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
          prompt_choice: prompt of each query [Q], instead of PPS's own choice.
          train: dropout on, prompts drawn. Needs the rngs "dropout" and "prompt".
        """
        prompted = self._select_prompts(support, query, prompts, prompt_choice, train)
        query_text = jnp.take(prompts, prompted.choice, axis=0)
        if not self.config.pps:
            query_text = jnp.zeros_like(query_text)
        views = self._views(support, query, prompts, query_text, train)
        distances = self._distances(views)
        logits = -sum(distances.values())
        diagnostics = _diagnostics(prompted, views, distances)
        if class_table is not None:
            diagnostics["class_logits"] = self._class_logits(prompted, class_table)
        losses = {}
        if query_labels is not None:
            losses = self._losses(logits, views, query_labels, class_ids, diagnostics)
        return EpisodeOutput(logits, losses, diagnostics)

    def _select_prompts(self, support, query, prompts, choice, train) -> Prompted:
        kept = min(self.config.frames_kept, query.shape[-2])
        support_scores = pairwise_cosine(support, prompts[:, None, None, :])[..., 0]
        agreement = pps.frame_agreement(query, prompts)  # [Q, W, T]
        by_class = pps.class_agreement(agreement, kept)
        best = jnp.argmax(by_class, axis=-1)
        probability = pps.prompt_probability(by_class)
        if choice is None:
            sample = train or self.config.pps_at_test == "sample"
            choice = pps.select_prompt(probability, self.make_rng("prompt") if sample else None)
        own = jnp.take_along_axis(agreement, best[:, None, None], axis=1)[:, 0]
        return Prompted(
            choice,
            probability,
            best,
            pps.best_frames(support, support_scores, kept),
            pps.best_frames(query, own, kept),
        )

    def _views(self, support, query, prompts, query_text, train) -> dict[str, View]:
        way, shot, *rest = support.shape
        videos = jnp.concatenate([support.reshape(way * shot, *rest), query])
        texts = jnp.concatenate([jnp.repeat(prompts, shot, axis=0), query_text])

        def by_class(x):
            return x[: way * shot].reshape(way, shot, *x.shape[1:])

        def view(context, fusion) -> View:
            fused = fusion(texts, context, videos, train=train)  # [W K + Q, 1 + T, D]
            prototypes, queries = class_means(by_class(fused)), fused[way * shot :]
            return View(by_class(context), context[way * shot :], prototypes, queries)

        views = {}
        if self.config.views in ("both", "local"):
            views["local"] = view(self.local_context(videos), self.local_fusion)
        if self.config.views in ("both", "global"):
            views["global"] = view(self.global_context(videos, train=train), self.global_fusion)
        if self.config.views == "neither":
            views["plain"] = view(videos, self.local_fusion)
        return views

    def _distances(self, views: dict[str, View]) -> dict[str, jax.Array]:
        """OTAM distance [Q, W] of each view, between frame tokens (the text token left out)."""
        distances = otam_distance(
            jnp.stack([view.query[:, 1:] for view in views.values()]),
            jnp.stack([view.prototypes[:, 1:] for view in views.values()]),
            self.config.smoothing,
            self.config.bidirectional,
        )
        return dict(zip(views, distances, strict=True))

    def _class_logits(self, prompted: Prompted, class_table):
        """Image-text logits of supports, class after class, then queries [W K + Q, C]."""
        support, query = prompted.support_kept.mean(-2), prompted.query_kept.mean(-2)
        videos = jnp.concatenate([support.reshape(-1, support.shape[-1]), query])
        return pairwise_cosine(videos, class_table) * self.scale[0]

    def _losses(self, logits, views, query_labels, class_ids, diagnostics):
        c = self.config
        zero = jnp.zeros((), logits.dtype)
        losses = {"cross_entropy": cross_entropy(logits, query_labels, c.reduction)}
        losses["class"] = losses["distillation"] = zero
        if "class_logits" in diagnostics:
            items = diagnostics["class_logits"].shape[0] - query_labels.shape[0]
            support_ids = jnp.repeat(class_ids, items // class_ids.shape[0])
            real = jnp.concatenate([support_ids, class_ids[query_labels]])
            losses["class"] = cross_entropy(diagnostics["class_logits"], real, c.reduction)
        if c.views == "both":
            losses["distillation"] = mutual_distillation(
                self._scores(views["local"], diagnostics["local_distance"]),
                self._scores(views["global"], diagnostics["global_distance"]),
                direction=PUBLISHED_DIRECTIONS.get(c.direction, c.direction),
                condition=c.condition,
                teacher_gradient=c.teacher_gradient,
            )
        losses["total"] = (
            c.class_weight * losses["class"]
            + c.query_weight * losses["cross_entropy"]
            + c.distill_weight * losses["distillation"]
        )
        return losses

    def _scores(self, view: View, distance) -> ViewScores:
        token = {"text": 0, "first_frame": 1}[self.config.text_token]
        text = pairwise_cosine(view.query[:, token], view.prototypes[:, token])
        return ViewScores(text=text, visual=-distance)


def _diagnostics(prompted: Prompted, views: dict[str, View], distances) -> dict[str, jax.Array]:
    diagnostics = {
        "prompt_choice": prompted.choice,
        "prompt_probability": prompted.probability,
        "prompt_argmax": prompted.best,
        "support_frames_kept": prompted.support_kept,
        "query_frames_kept": prompted.query_kept,
    }
    for name, view in views.items():
        diagnostics |= {f"{name}_{field}": value for field, value in view._asdict().items()}
        diagnostics[f"{name}_distance"] = distances[name]
    return diagnostics
