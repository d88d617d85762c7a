"""TS-FSAR: task-specific distance correlation matching (AAAI 2026, arXiv 2512.11340)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn

from mdmf_jax.config.fields import setting
from mdmf_jax.models.layers.dropout import Dropout
from mdmf_jax.models.layers.initializers import torch_kernel
from mdmf_jax.models.methods.base import FewShotMethod, joined
from mdmf_jax.ops.distance_correlation import frame_similarity, video_mean
from mdmf_jax.ops.distillation import kl_divergence
from mdmf_jax.ops.losses import class_cross_entropy, cross_entropy
from mdmf_jax.ops.prototypes import class_means
from mdmf_jax.ops.similarity import pairwise_cosine


@dataclass(frozen=True)
class TSFSARConfig:
    """Options of TS-FSAR. The defaults are the published ones of HMDB51, 1 shot."""

    clip_scale: float = setting(
        50.0, "factor of the cosines of CLIP's adapted features and the texts", above=0
    )
    side_scale: float = setting(
        50.0, "factor of the cosines of the ladder's features and the texts", above=0
    )
    vision_exponent: float = setting(0.15, "power of the matching's probabilities", min=0)
    clip_exponent: float = setting(0.8, "power of CLIP's text probabilities", min=0)
    side_exponent: float = setting(0.05, "power of the ladder's text probabilities", min=0)
    vision_weight: float = setting(1.0, "weight of the matching's cross entropy", min=0)
    classifier_weight: float = setting(
        1.0, "weight of the cross entropy over the training classes", min=0
    )
    side_weight: float = setting(1.0, "weight of the ladder's text cross entropy", min=0)
    distill_weight: float = setting(
        6.0, "weight of the distillation, and of CLIP's text cross entropy", min=0
    )
    distill_temperature: float = setting(10.0, "temperature of the distillation", above=0)
    teacher_gradient: bool = setting(True, "the distillation trains its teacher, too")
    dropout: float = setting(0.7, "dropout before the training classes' scores", min=0, below=1)


class TSFSAR(FewShotMethod):
    """Classifies by frame similarities, weighted for the task, and by two agreements with texts.

    The outputs of a video are its correlations [N, T, M] and its mean class token [N, d]; those
    of a query also its two features in CLIP's joint space [N, D]. In training it classifies by
    the similarities alone; else the logits are the fused probabilities.
    """

    Config: ClassVar[type] = TSFSARConfig
    published: ClassVar[Mapping[str, Any]] = {
        "encoder.normalise": "clip",
        "data.prompt_order": "by_name",
    }
    own_encoder: ClassVar[str] = "ts_fsar"
    uses: ClassVar[tuple[str, ...]] = (
        *("correlation", "class_tokens", "adapted_clip", "side_text"),
        "frames",  # for those who look at an answer; small beside the correlations
    )
    normed_texts: ClassVar[bool] = True

    config: TSFSARConfig = TSFSARConfig()

    def setup(self):
        self.generator = Matrix()
        self.classifier = Matrix()
        self.drop = Dropout(self.config.dropout)

    @property
    def independent_classes(self) -> bool:
        """The task's token holds all supports, and the fused scores are probabilities."""
        return False

    def encode_support(self, features, texts, *, train: bool = False):
        token = features["class_tokens"].mean(axis=-2)
        return {"correlation": features["correlation"], "token": token}

    def encode_query(self, features, texts, *, train: bool = False):
        both = {name: features[name] for name in ("adapted_clip", "side_text")}
        return both | self.encode_support(features, texts, train=train)

    def match(self, supports, queries, text_features, *, support_mask=None, train: bool = False):
        prototypes = class_means(supports["correlation"], support_mask)  # [W, T, M]
        similarity = frame_similarity(queries["correlation"], prototypes)  # [Q, W, T, T]
        task = queries["token"] + video_mean(supports["token"], support_mask)  # [Q, d]
        frames = similarity.shape[-1]
        matrix = self.generator(task, frames**2).reshape(-1, frames, frames)
        scores = jnp.einsum("qij,qwij->qw", matrix, similarity)
        clip, side = self._text_logits(queries, text_features)
        found = {
            "frame_similarity": similarity,
            "matching_matrix": matrix,
            "scores": scores,
            "text_clip_logits": clip,
            "text_side_logits": side,
        }
        if train:
            return scores, found
        found["log_fused"] = self._fused(scores, clip, side)
        return jax.nn.softmax(found["log_fused"], axis=-1), found

    def class_scores(self, support, query, text_features, class_texts, *, train: bool = False):
        """Scores of supports, class after class, then queries [W K + Q, C] for all classes."""
        videos = joined(support, query)
        mean = self.drop(videos["correlation"].mean(axis=-2), train=train)
        clip, side = self._text_logits(videos, class_texts)
        return {
            "class_logits": self.classifier(mean, len(class_texts)),
            "class_clip_logits": clip,
            "class_side_logits": side,
        }

    def losses(self, logits, diagnostics, query_labels, class_ids):
        c, losses = self.config, {}
        losses["vision"] = cross_entropy(diagnostics["scores"], query_labels)
        losses["total"] = c.vision_weight * losses["vision"]
        if "class_logits" not in diagnostics:
            return losses
        names = {"classifier": "class_logits", "text_side": "class_side_logits"}
        for name, scores in (names | {"text_clip": "class_clip_logits"}).items():
            losses[name] = class_cross_entropy(diagnostics[scores], query_labels, class_ids)
        losses["distill"] = self._distillation(diagnostics)
        weights = {
            "classifier": c.classifier_weight,
            "text_side": c.side_weight,
            "text_clip": c.distill_weight,
            "distill": c.distill_weight,
        }
        losses["total"] += sum(weight * losses[name] for name, weight in weights.items())
        return losses

    def _distillation(self, diagnostics):
        """The classifier's divergence from CLIP's text scores, mean over the videos."""
        heat, teacher = self.config.distill_temperature, diagnostics["class_clip_logits"]
        if not self.config.teacher_gradient:
            teacher = jax.lax.stop_gradient(teacher)
        student = diagnostics["class_logits"]
        return heat**2 * kl_divergence(teacher / heat, student / heat).mean()

    def _text_logits(self, videos, table):
        """Scaled cosines of both features in the joint space with texts [C, D], [N, C] each."""
        c = self.config
        return (
            c.clip_scale * pairwise_cosine(videos["adapted_clip"], table, epsilon=0.0),
            c.side_scale * pairwise_cosine(videos["side_text"], table, epsilon=0.0),
        )

    def _fused(self, scores, clip, side):
        """Logarithms of the products of powers of the three probabilities [Q, W]."""
        c = self.config
        parts = zip(
            (c.vision_exponent, c.clip_exponent, c.side_exponent), (scores, clip, side), strict=True
        )
        fused = jnp.zeros((), scores.dtype)
        for power, part in parts:
            fused += power * jax.nn.log_softmax(part, axis=-1)
        return fused


class Matrix(nn.Module):
    """A linear map without bias, [..., D] -> [..., size], whose size the call says."""

    @nn.compact
    def __call__(self, x: jax.Array, size: int) -> jax.Array:
        return x @ self.param("kernel", torch_kernel, (x.shape[-1], size), jnp.float32)
