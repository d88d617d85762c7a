"""CLIP-MDMF: multi-view distillation based on multi-modal fusion (arXiv 2401.08345)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn

from mdmf_jax.config.fields import setting
from mdmf_jax.models.layers.fusion import fusion_of
from mdmf_jax.models.layers.temporal import GlobalTemporalContext, LocalTemporalContext
from mdmf_jax.models.layers.tuple_matcher import TupleMatcher, TupleOptions
from mdmf_jax.models.methods.base import FewShotMethod, joined, parted
from mdmf_jax.models.methods.panel import Panel
from mdmf_jax.ops import prompts as pps
from mdmf_jax.ops.alignment import otam_distance
from mdmf_jax.ops.distillation import ViewScores, mutual_distillation
from mdmf_jax.ops.losses import class_cross_entropy, cross_entropy
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
    """Options of CLIP-MDMF. The defaults are the corrected variant."""

    frames_kept: int = setting(
        4, "frames of a video that vote on its prompt (all, if it has fewer)", min=1
    )
    pps: bool = setting(True, "prompts for queries (PPS); without, their text token is zero")
    pps_at_test: str = setting(
        "argmax",
        'prompt of a test query: "argmax" or "sample"; training always draws',
        reference="sample",
        choices=("argmax", "sample"),
    )
    text_token: str = setting(
        "text",
        'what the views\' text parts compare: the "text" token or the "first_frame"',
        reference="first_frame",
        choices=("text", "first_frame"),
    )
    depth: int = setting(1, "layers of a fusion transformer", min=1)
    heads: int = setting(8, "its attention heads", min=1)
    hidden: int = setting(2048, "its feed-forward width", min=1)
    attention_dropout: float = setting(0.2, "dropout on the attention's output", min=0, below=1)
    ffn_dropout: float = setting(0.05, "dropout in the feed-forward part", min=0, below=1)
    tcn_dropout: float = setting(0.1, "dropout in the global context network", min=0, below=1)
    matcher: str = setting(
        "otam",
        'what compares the fused frame tokens: "otam" (with the class prototypes), or "tuples" '
        "(the multiple-level segment transformer, with the options of the section `tuples`)",
        choices=("otam", "tuples"),
    )
    temperature: float = setting(0.5, "temperature of the alignment's soft minimum", above=0)
    bidirectional: bool = setting(True, "align query with prototype and prototype with query")
    direction: str = setting(
        "both",
        "who teaches; a published name (bid, up2down, down2up) has the meaning that it has in "
        "the published code",
        reference="up2down",
        choices=("both", "local_to_global", "global_to_local", *PUBLISHED_DIRECTIONS),
    )
    condition: str = setting(
        "text_and_visual",
        "what decides who is reliable",
        reference="text",
        choices=("text_and_visual", "text", "visual", "none"),
    )
    teacher_gradient: bool = setting(
        False, "distillation trains the teacher as well", reference=True
    )
    reduction: str = setting(
        "mean", "of the cross entropies over their items", reference="sum", choices=("mean", "sum")
    )
    views: str = setting(
        "both",
        'or "local", "global", "neither" (ablations: one view without temporal context, fused '
        "by the local view's transformer); distillation needs both",
        choices=("both", "local", "global", "neither"),
    )
    class_weight: float = setting(0.0, "weight of the image-text class loss", min=0)
    query_weight: float = setting(1.0, "weight of the queries' cross entropy", min=0)
    distill_weight: float = setting(1.0, "weight of the distillation", min=0)


class MDMF(FewShotMethod):
    """CLIP-MDMF's head on frame features, for one episode.

    Random streams in training: dropout, the draw of prompts, the draw of tuples.

    The outputs of a video are by view: its fused "tokens" [N, 1 + T, D], the text token first,
    and with the matcher "tuples" the "keys" and "values" of its frame tokens' tuples.
    """

    Config: ClassVar[type] = MDMFConfig
    sections: ClassVar[Mapping[str, type]] = {"tuples": TupleOptions}
    rngs: ClassVar[tuple[str, ...]] = ("dropout", "prompt", "tuples")

    config: MDMFConfig = MDMFConfig()
    tuples: TupleOptions = TupleOptions()

    @classmethod
    def check(cls, options, sections, frames):
        if options.matcher == "tuples":
            sections["tuples"].check(frames)

    def setup(self):
        c = self.config
        self.local_context = LocalTemporalContext()
        self.global_context = GlobalTemporalContext(c.tcn_dropout)
        self.local_fusion = fusion_of(c)
        self.global_fusion = fusion_of(c)
        if c.matcher == "tuples":
            self.local_matcher = TupleMatcher(self.tuples)
            self.global_matcher = TupleMatcher(self.tuples)
        self.scale = self.param("scale", nn.initializers.ones, (1,), jnp.float32)

    @property
    def needs_texts(self) -> bool:
        return self.config.pps  # without, an encoder that has no texts gives tokens of zeros

    @property
    def chooses_prompts(self) -> bool:
        return True

    def class_text_logits(self, features, table):
        videos = features["frames"]
        return pps.class_agreement(pps.frame_agreement(videos, table), self._kept(videos))

    def choose_prompts(self, scores, choice=None, *, train: bool = False):
        probability = pps.prompt_probability(scores)
        if choice is None:
            sample = train or self.config.pps_at_test == "sample"
            choice = pps.select_prompt(probability, self.make_rng("prompt") if sample else None)
        return choice, probability

    def encode_support(self, features, texts, *, train: bool = False):
        videos = features["frames"]
        return self._fused(self._contexts(videos, train), videos, texts, train)

    def encode_query(self, features, texts, *, train: bool = False):
        videos = features["frames"]
        texts = texts if self.config.pps else jnp.zeros_like(texts)
        return self._fused(self._contexts(videos, train), videos, texts, train)

    def outputs(self, support, query, text_features, query_texts, *, train: bool):
        """As in the base; both in one call of each part, and the contexts as diagnostics."""
        way, shot = support["frames"].shape[:2]
        if not self.config.pps:
            query_texts = jnp.zeros_like(query_texts)
        videos = joined(support, query)["frames"]
        texts = jnp.concatenate([jnp.repeat(text_features, shot, axis=0), query_texts])
        contexts = self._contexts(videos, train)
        fused = self._fused(contexts, videos, texts, train)
        diagnostics = {}
        for name, context in contexts.items():
            supports, queries = parted(context, way, shot)
            diagnostics[f"{name}_context_support"] = supports
            diagnostics[f"{name}_context_query"] = queries
        return *parted(fused, way, shot), diagnostics

    def match(self, supports, queries, text_features, *, support_mask=None, train: bool = False):
        """Minus the distances of the frame tokens, summed over the views.

        OTAM compares with the mean of a class's shots, the tuples with all shots.
        """
        prototypes = {
            view: class_means(support["tokens"], support_mask) for view, support in supports.items()
        }
        if self.config.matcher == "tuples":
            distances = self._segment_distances(supports, queries, support_mask)
        else:
            distances = otam_distance(
                jnp.stack([query["tokens"][:, 1:] for query in queries.values()]),
                jnp.stack([prototypes[view][:, 1:] for view in queries]),
                self.config.temperature,
                self.config.bidirectional,
            )
        diagnostics = {}
        for view, distance in zip(queries, distances, strict=True):
            diagnostics[f"{view}_prototypes"] = prototypes[view]  # [W, 1 + T, D]
            diagnostics[f"{view}_query"] = queries[view]["tokens"]  # [Q, 1 + T, D]
            diagnostics[f"{view}_distance"] = distance  # [Q, W]
        return -sum(distances), diagnostics

    def class_scores(self, support, query, text_features, class_texts, *, train: bool = False):
        """Frames that agree best with their text, and image-text logits [W K + Q, C]."""
        support, query = support["frames"], query["frames"]
        kept = self._kept(query)
        scores = pairwise_cosine(support, text_features[:, None, None, :])[..., 0]
        supports = pps.best_frames(support, scores, kept)
        agreement = pps.frame_agreement(query, text_features)  # [Q, W, T]
        best = jnp.argmax(pps.class_agreement(agreement, kept), axis=-1)
        own = jnp.take_along_axis(agreement, best[:, None, None], axis=1)[:, 0]
        queries = pps.best_frames(query, own, kept)
        means = supports.mean(-2).reshape(-1, support.shape[-1]), queries.mean(-2)
        return {
            "support_frames_kept": supports,  # [W, K, kept, D]
            "query_frames_kept": queries,  # [Q, kept, D]
            "class_logits": pairwise_cosine(jnp.concatenate(means), class_texts) * self.scale[0],
        }

    def losses(self, logits, diagnostics, query_labels, class_ids):
        c = self.config
        zero = jnp.zeros((), logits.dtype)
        losses = {"cross_entropy": cross_entropy(logits, query_labels, c.reduction)}
        losses["class"] = losses["distillation"] = zero
        if "class_logits" in diagnostics:
            losses["class"] = class_cross_entropy(
                diagnostics["class_logits"], query_labels, class_ids, c.reduction
            )
        if c.views == "both":
            losses["distillation"] = mutual_distillation(
                self._scores("local", diagnostics),
                self._scores("global", diagnostics),
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

    def panels(self, diagnostics):
        """The fused frame tokens of each view, and of two views also their text parts."""
        both, found = self.config.views == "both", {}
        for view in ("local", "global", "plain"):
            if f"{view}_query" in diagnostics:
                scores = self._scores(view, diagnostics)
                found[view] = Panel(
                    diagnostics[f"{view}_query"][:, 1:],
                    diagnostics[f"{view}_prototypes"][:, 1:],
                    scores.visual,
                    scores.text if both else None,
                )
        return found

    def _kept(self, videos) -> int:
        return min(self.config.frames_kept, videos.shape[-2])

    def _contexts(self, videos, train: bool) -> dict[str, jax.Array]:
        """Temporal context of videos [N, T, D] by view."""
        contexts = {}
        if self.config.views in ("both", "local"):
            contexts["local"] = self.local_context(videos)
        if self.config.views in ("both", "global"):
            contexts["global"] = self.global_context(videos, train=train)
        if self.config.views == "neither":
            contexts["plain"] = videos
        return contexts

    def _fused(self, contexts, videos, texts, train: bool) -> dict[str, dict[str, jax.Array]]:
        """Outputs of the videos by view, as the class describes them."""
        fused = {}
        for view, context in contexts.items():
            fusion = self.global_fusion if view == "global" else self.local_fusion
            tokens = fusion(texts, context, videos, train=train)
            fused[view] = {"tokens": tokens}
            if self.config.matcher == "tuples":
                fused[view] |= self._matcher(view).encode(tokens[:, 1:], train=train)
        return fused

    def _matcher(self, view: str) -> TupleMatcher:
        return self.global_matcher if view == "global" else self.local_matcher

    def _segment_distances(self, supports, queries, mask) -> list[jax.Array]:
        """Minus the segment transformer's logits [Q, W], for each view."""
        distances = []
        for view, query in queries.items():
            matcher = self._matcher(view)
            distances.append(-matcher.answer(matcher.logits(supports[view], query, mask)))
        return distances

    def _scores(self, view: str, diagnostics) -> ViewScores:
        token = {"text": 0, "first_frame": 1}[self.config.text_token]
        queries, prototypes = diagnostics[f"{view}_query"], diagnostics[f"{view}_prototypes"]
        text = pairwise_cosine(queries[:, token], prototypes[:, token])
        return ViewScores(text=text, visual=-diagnostics[f"{view}_distance"])
