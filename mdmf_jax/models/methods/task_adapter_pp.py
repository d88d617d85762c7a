"""Task-Adapter++: class means times ordered sub-action texts (arXiv 2505.06002)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import jax.numpy as jnp
from flax import linen as nn

from mdmf_jax.config.fields import setting
from mdmf_jax.errors import ConfigError
from mdmf_jax.models.methods.base import FewShotMethod
from mdmf_jax.ops.prototypes import class_means
from mdmf_jax.ops.sub_actions import cosines, crossed_frames, sub_action_scores

SCALE = 64.0  # of the product of two cosines


@dataclass(frozen=True)
class TaskAdapterConfig:
    """Options of Task-Adapter++'s scores; those of its towers are the encoder's."""

    cross_norm: bool = setting(
        False, "LayerNorm of what frames take from the next ones; published for SSv2 full: on"
    )
    query_group: Literal["each", "all"] = setting(
        "each",
        'whose next frames a query\'s frame looks at: its own ("each"), or of all queries of the '
        'episode ("all")',
        reference="all",
    )
    orientation: Literal["correct", "published"] = setting(
        "correct",
        'text score of query and class; or "published": that of the query\'s own class with '
        "another query, so that labels enter (one query of each class, in their order)",
        reference="published",
    )
    half_cosines: bool = setting(False, "cosines in half precision", reference=True)


class TaskAdapterPP(FewShotMethod):
    """64 times the product of two cosines: mean frames with class means, and frames with texts.

    A text for each part of a video, in order: [W, M, D]. Outputs of a video are its frames.

    Raises:
      ConfigError: `orientation` is "published" and there is not one query for each class.
    """

    Config: ClassVar[type] = TaskAdapterConfig
    published: ClassVar[Mapping[str, Any]] = {
        "encoder.normalise": "clip",
        "data.flip": False,
        "data.prompt_order": "by_name",
    }
    own_encoder: ClassVar[str] = "task_adapter_pp"
    rngs: ClassVar[tuple[str, ...]] = ()
    several_texts: ClassVar[bool] = True

    config: TaskAdapterConfig = TaskAdapterConfig()

    @property
    def inductive(self) -> bool:
        return self.config.query_group == "each" and self.config.orientation == "correct"

    @classmethod
    def check(cls, options: Any, sections: Mapping[str, Any], frames: int) -> None:
        if frames < 2:
            raise ConfigError(f"data.frames is {frames}; task_adapter_pp needs at least 2")

    def setup(self) -> None:
        if self.config.cross_norm:
            # The two-pass variance, as in CLIP's towers.
            self.norm = nn.LayerNorm(epsilon=1e-5, use_fast_variance=False)

    def match(self, supports, queries, text_features, *, support_mask=None, train: bool = False):
        c = self.config
        prototypes = class_means(supports, support_mask)  # [W, T, D]
        visual = cosines(queries.mean(1), prototypes.mean(1), c.half_cosines)
        crossed = self.crossed(queries)
        there = jnp.any(text_features != 0, axis=-1)  # a missing text is zero
        semantic = sub_action_scores(crossed, text_features, there, c.half_cosines)
        turned = semantic.T if c.orientation == "published" else semantic
        if turned.shape != visual.shape:
            raise ConfigError(
                "task_adapter_pp.orientation is 'published', which needs one query of each class, "
                f"but there are {len(queries)} queries of {len(prototypes)} classes: set "
                "episode.queries to 1, or the orientation to 'correct'"
            )
        seen = {"visual": visual, "semantic": semantic, "crossed": crossed}
        return SCALE * visual * turned, seen | {"prototype": prototypes}

    def crossed(self, queries):
        """X_f of the queries [Q, T, D] for f = 0..T-2, [T-1, Q, D]."""
        taken = crossed_frames(queries, together=self.config.query_group == "all")
        if self.config.cross_norm:
            taken = self.norm(taken)
        return taken + jnp.swapaxes(queries, 0, 1)[1:]
