"""CLIP-SPM: query prompts, gated fusion, mixing of an episode's videos (arXiv 2512.19036)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn

from mdmf_jax.config.fields import setting
from mdmf_jax.errors import ConfigError
from mdmf_jax.models.layers.fusion import FeedForward, FusionBlock
from mdmf_jax.models.layers.gate import Gate
from mdmf_jax.models.layers.temporal import LocalTemporalContext
from mdmf_jax.models.methods.base import FewShotMethod, flat_classes
from mdmf_jax.ops.alignment import otam_distance
from mdmf_jax.ops.losses import cross_entropy
from mdmf_jax.ops.motion import motion_vector, squared_distance
from mdmf_jax.ops.prototypes import class_means

SIDES = ("query", "support")
TEXT_DISTANCE_WEIGHT = 0.5  # of the alignment before the task's videos are mixed


@dataclass(frozen=True)
class CLIPSPMConfig:
    """Options of CLIP-SPM. Gates, slope and share are those published for HMDB51."""

    task_pool: str = setting(
        "single_query",
        'whom a query is mixed with: the supports alone ("single_query"), or with all other '
        'queries of the episode as well ("episode": no query has an answer of its own)',
        reference="episode",
        choices=("single_query", "episode"),
    )
    shared_text: str = setting(
        "classes",
        'the text that query prompts start from, a mean over the "classes" or over the "videos" '
        "of an episode; the latter reads the queries' true classes where they are known",
        reference="videos",
        choices=("classes", "videos"),
    )
    vision_gate: float = setting(0.5, "inner width of the frames' gate, relative to D", above=0)
    text_gate: float = setting(1.5, "inner width of the texts' gate, relative to D", above=0)
    slope: float = setting(0.0025, "of the gates' leaky ReLU below zero", min=0)
    text_share: float = setting(0.2, "factor of the text that is added to each frame", min=0)
    heads: int = setting(8, "attention heads", min=1)
    inner: int = setting(2048, "width of all heads together", min=1)
    hidden: int = setting(2048, "feed-forward width", min=1)
    attention_dropout: float = setting(0.2, "dropout on the attention's output", min=0, below=1)
    ffn_dropout: float = setting(0.05, "dropout in the feed-forward part", min=0, below=1)
    temperature: float = setting(0.5, "temperature of the alignment's soft minimum", above=0)
    bidirectional: bool = setting(True, "align query with prototype and prototype with query")
    query_weight: float = setting(1.0, "weight of the queries' cross entropy, a sum", min=0)
    motion_weight: float = setting(
        0.016,
        "weight of the motion term and the two below; published: 0.001 beside 1/16 of the cross "
        "entropy",
        min=0,
    )
    text_weight: float = setting(
        0.0, "factor of what keeps prompts near their texts; the release switches it off", min=0
    )
    consistency_weight: float = setting(
        0.0, "factor of what keeps frames with a prompt near those with the text; off too", min=0
    )
    text_query_share: float = setting(
        0.07, "share of the queries in the former; the supports have 0.5 minus it", min=0, max=0.5
    )
    consistency_query_share: float = setting(
        0.54, "share of the queries in the latter; the supports have 1 minus it", min=0, max=1
    )


class CLIPSPM(FewShotMethod):
    """CLIP-SPM's head on frame features, for one episode.

    A support's output is its frames fused with its class text [N, T, D]; a query's are its
    gated frames and its mean value, because its prompt depends on the episode's texts.
    """

    Config: ClassVar[type] = CLIPSPMConfig
    published: ClassVar[Mapping[str, Any]] = {"data.prompt_order": "by_name"}

    config: CLIPSPMConfig = CLIPSPMConfig()

    @classmethod
    def check(cls, options, sections, frames):
        if options.inner % options.heads:
            raise ConfigError(
                f"clip_spm.inner is {options.inner}, which clip_spm.heads = {options.heads} "
                "does not divide"
            )
        if frames < 2:
            raise ConfigError("clip_spm needs at least 2 frames (data.frames), motion is between")

    def setup(self):
        c = self.config
        block = (c.heads, c.inner, c.hidden, c.attention_dropout, c.ffn_dropout)
        self.smoothing = LocalTemporalContext()
        self.text_gate = Gate(c.text_gate, c.slope)
        self.vision_gate = Gate(c.vision_gate, c.slope)
        self.prompt = FeedForward(c.hidden, c.ffn_dropout, residual=False)
        self.fusion = FusionBlock(*block)
        self.mixing = FusionBlock(*block)
        self.motion_scale = self.param("motion_scale", nn.initializers.ones, (), jnp.float32)
        # Nothing uses it; published checkpoints hold it.
        self.scale = self.param("scale", nn.initializers.ones, (1,), jnp.float32)

    @property
    def inductive(self) -> bool:
        c = self.config
        return c.task_pool == "single_query" and c.shared_text == "classes"

    @property
    def independent_classes(self) -> bool:
        return False  # the attention across videos sees all supports

    @property
    def gives_probabilities(self) -> bool:
        return False

    def __call__(self, support, query, text_features, *, query_labels=None, **options):
        """As in the base; `shared_text="videos"` and the terms of prompts read the labels."""
        if query_labels is not None:
            way, shot = support["frames"].shape[:2]
            known = {"true_text": text_features[query_labels]}
            if self.config.shared_text == "videos":
                rows = jnp.concatenate([jnp.repeat(jnp.arange(way), shot), query_labels])
                shared = text_features[rows].mean(axis=0)
                known["shared_text"] = jnp.broadcast_to(shared, (len(query_labels), len(shared)))
            query = dict(query) | known
        return super().__call__(support, query, text_features, query_labels=query_labels, **options)

    def gated(self, frames):
        """Frames times their gates [N, T, D], and their mean over frames and features [N]."""
        return frames * self.vision_gate(frames), frames.mean(axis=(-2, -1))

    def fuse(self, gated, texts, *, train: bool = False):
        """Gated frames [N, T, D] with texts [N, D]: frames [N, T, D] and text token [N, D]."""
        added = self.config.text_share * texts * self.text_gate(texts)
        x = jnp.concatenate([texts[:, None], added[:, None] + gated], axis=1)
        x = self.fusion(x, x, train=train)
        return x[:, 1:], x[:, 0]

    def prompts(self, shared, means, *, train: bool = False):
        """Prompts [N, D] of videos from shared texts [N or 1, D] and their mean values [N]."""
        return self.prompt(shared * means[:, None], train=train)

    def motion(self, frames):
        """Motion vector [N, D] of frames [N, T, D]."""
        return motion_vector(frames, self.smoothing(frames))

    def motion_distance(self, frames, *, train: bool = False):
        """How far the motion of frames that are fused with their motion is from its token."""
        fused, token = self.fuse(self.gated(frames)[0], self.motion(frames), train=train)
        return squared_distance(self.motion(fused), token)

    def prompt_terms(self, frames, texts, shared, *, train: bool = False) -> dict[str, Any]:
        """Squared distances between what a video's prompt gives and what its own text gives.

        Args:
          frames: of N videos [N, T, D].
          texts: of their true classes [N, D].
          shared: shared texts [N or 1, D].

        Returns:
          "prompt": of prompt and text; "token": of the text tokens behind the fusion;
          "consistency": of all tokens behind it.
        """
        gated, means = self.gated(frames)
        prompts = self.prompts(shared, means, train=train)
        fused = [self.fuse(gated, x, train=train) for x in (texts, prompts)]
        whole = [jnp.concatenate([token[:, None], x], axis=1) for x, token in fused]
        return {
            "prompt": squared_distance(texts, prompts),
            "token": squared_distance(fused[0][1], fused[1][1]),
            "consistency": squared_distance(*whole),
        }

    def encode_support(self, features, texts, *, train: bool = False):
        return self.fuse(self.gated(features["frames"])[0], texts, train=train)[0]

    def encode_query(self, features, texts, *, train: bool = False):
        gated, mean = self.gated(features["frames"])
        known = {name: x for name, x in features.items() if name == "shared_text"}
        return {"gated": gated, "mean": mean} | known

    def outputs(self, support, query, text_features, query_texts, *, train):
        supports, queries, _ = super().outputs(
            support, query, text_features, query_texts, train=train
        )
        seen = {
            "motion_support_distance": self.motion_distance(
                flat_classes(support["frames"]), train=train
            ),
            "motion_query_distance": self.motion_distance(query["frames"], train=train),
        }
        seen["motion"] = sum(seen.values()) * self.motion_scale
        if "true_text" in query:
            seen |= self._all_prompt_terms(support, query, text_features, train)
        return supports, queries, seen

    def _all_prompt_terms(self, support, query, text_features, train: bool) -> dict[str, Any]:
        shared = query.get("shared_text", text_features.mean(axis=0, keepdims=True))
        own = jnp.repeat(text_features, support["frames"].shape[1], axis=0)
        sides = {
            "query": (query["frames"], query["true_text"], shared),
            "support": (flat_classes(support["frames"]), own, shared[:1]),
        }
        return {
            f"{side}_term_{name}": term
            for side, inputs in sides.items()
            for name, term in self.prompt_terms(*inputs, train=train).items()
        }

    def match(self, supports, queries, text_features, *, support_mask=None, train: bool = False):
        c = self.config
        shared = queries.get("shared_text", text_features.mean(axis=0, keepdims=True))
        prompts = self.prompts(shared, queries["mean"], train=train)
        prompted, token = self.fuse(queries["gated"], prompts, train=train)
        align = lambda query, prototypes: otam_distance(  # noqa: E731
            query, prototypes, c.temperature, c.bidirectional
        )
        by_text = align(prompted, class_means(supports, support_mask))  # [Q, W]
        pools = prompted[None] if c.task_pool == "episode" else prompted[:, None]
        mixed = self._mix(supports, pools, support_mask, train)
        by_task = align(mixed["queries"], mixed["prototypes"])  # [P, n, W]
        bias = align(mixed["query_token"][:, None], mixed["class_tokens"])[:, 0]  # [P, W]
        by_task = by_task.reshape(by_text.shape)
        logits = -(TEXT_DISTANCE_WEIGHT * by_text + by_task + bias)
        found = {"distance_text": by_text, "distance_task": by_task, "distance_bias": bias}
        found |= {"shared_text": shared, "prompt": prompts, "prompted": prompted, "token": token}
        return logits, found | mixed

    def losses(self, logits, diagnostics, query_labels, class_ids):
        c, d = self.config, diagnostics
        losses = {"cross_entropy": cross_entropy(logits, query_labels, "sum")}
        losses["motion"] = further = d["motion"]
        if c.text_weight:
            query, support = (d[f"{s}_term_prompt"] + d[f"{s}_term_token"] for s in SIDES)
            share = c.text_query_share
            losses["text"] = share * query + (0.5 - share) * support
            further += c.text_weight * losses["text"]
        if c.consistency_weight:
            query, support = (d[f"{s}_term_consistency"] for s in SIDES)
            share = c.consistency_query_share
            losses["consistency"] = share * query + (1 - share) * support
            further += c.consistency_weight * losses["consistency"]
        losses["total"] = c.query_weight * losses["cross_entropy"] + c.motion_weight * further
        return losses

    def _mix(self, supports, pools, mask, train: bool) -> dict[str, Any]:
        """Videos that are mixed, frame by frame: supports [W, K, T, D] with queries [P, n, T, D].

        Each of P pools has its own class tokens, means over a class's supports and the n queries.
        """
        way, shot = supports.shape[:2]
        there = jnp.ones((way, shot), bool) if mask is None else mask
        weights = there.astype(supports.dtype)
        count = weights.sum(axis=1) + pools.shape[1]
        sums = jnp.einsum("wk,wktd->wtd", weights, supports) + pools.sum(axis=1)[:, None]
        classes = sums / count[:, None, None]  # [P, W, T, D]
        flat = supports.reshape(1, way * shot, *supports.shape[2:])
        flat = jnp.broadcast_to(flat, (len(pools), *flat.shape[1:]))
        known = jnp.concatenate([jnp.ones(way, bool), there.reshape(-1)])
        mixed = self._across(jnp.concatenate([classes, flat], axis=1), known, train)
        asked = jnp.concatenate([classes.mean(axis=1)[:, None], pools], axis=1)
        asked = self._across(asked, None, train)
        tasks = mixed[:, way:].reshape(len(pools), way, shot, *supports.shape[2:])
        return {
            "class_tokens": mixed[:, :way],
            "supports": tasks,
            "prototypes": jax.vmap(lambda x: class_means(x, mask))(tasks),
            "query_token": asked[:, 0],
            "queries": asked[:, 1:],
        }

    def _across(self, videos, mask, train: bool):
        """Attention across the L videos of each pool at each frame [P, L, T, D]."""
        x = jnp.swapaxes(videos, 1, 2)  # [P, T, L, D]
        flat = x.reshape(-1, *x.shape[2:])
        flat = self.mixing(flat, flat, mask=mask, train=train)
        return jnp.swapaxes(flat.reshape(x.shape), 1, 2)
