"""D2ST-Adapter's matching (arXiv 2312.01431; ICCV 2025): bidirectional mean Hausdorff distance."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax.numpy as jnp
from flax import linen as nn

from mdmf_jax.config.fields import setting
from mdmf_jax.models.layers.initializers import torch_bias, torch_kernel
from mdmf_jax.models.methods.base import FewShotMethod, joined
from mdmf_jax.models.methods.clip_fsar import PUBLISHED_READER
from mdmf_jax.ops.hausdorff import frame_distances, hausdorff
from mdmf_jax.ops.losses import class_cross_entropy, cross_entropy
from mdmf_jax.ops.prototypes import class_means

# The published code divides each loss by its TRAIN.BATCH_SIZE; Adam sees it in the decay only.
_SHARE = 0.5


@dataclass(frozen=True)
class D2STConfig:
    """Options of the matching and its losses."""

    class_weight: float = setting(
        0.0,
        "weight of the loss of a linear classifier of the training classes; 0: there is none. "
        "Published with a ViT: 2.5 (HMDB51), 2.0 (SSv2-Full), 0.5 (SSv2-Small), else none",
        min=0,
    )


class D2ST(FewShotMethod):
    """Compares each frame of a query with the class's mean video; see `ops.hausdorff`.

    The outputs of a video are its frames [N, T, D].
    """

    Config: ClassVar[type] = D2STConfig
    own_encoder: ClassVar[str] = "d2st"
    published: ClassVar[Mapping[str, Any]] = PUBLISHED_READER
    rngs: ClassVar[tuple[str, ...]] = ()

    config: D2STConfig = D2STConfig()

    @property
    def needs_texts(self) -> bool:
        return False

    def match(self, supports, queries, text_features, *, support_mask=None, train: bool = False):
        prototypes = class_means(supports, support_mask)  # [W, T, D]
        frames = frame_distances(queries, prototypes)  # [Q, W, T, T]
        distance = hausdorff(frames)
        found = {"prototypes": prototypes, "frame_distance": frames, "distance": distance}
        return -distance, found

    @nn.compact
    def class_scores(self, support, query, text_features, class_texts, *, train: bool = False):
        """Class logits of supports, class after class, then queries [W K + Q, C]."""
        if not self.config.class_weight:
            return {}
        means = joined(support, query)["frames"].mean(axis=-2)
        classifier = nn.Dense(
            len(class_texts),
            kernel_init=torch_kernel,
            bias_init=torch_bias(means.shape[-1]),
            name="classifier",
        )
        return {"class_logits": classifier(means)}

    def losses(self, logits, diagnostics, query_labels, class_ids):
        losses = {"cross_entropy": cross_entropy(logits, query_labels)}
        losses["class"] = jnp.zeros((), logits.dtype)
        if "class_logits" in diagnostics:
            scores = diagnostics["class_logits"]
            losses["class"] = class_cross_entropy(scores, query_labels, class_ids)
        weighted = losses["cross_entropy"] + self.config.class_weight * losses["class"]
        return losses | {"total": _SHARE * weighted}
