"""OTAM (Cao et al., CVPR 2020, arXiv 1906.11415): alignment with every support video."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from mdmf_jax.config.fields import setting
from mdmf_jax.models.methods.base import FewShotMethod
from mdmf_jax.models.methods.clip_fsar import PUBLISHED_READER
from mdmf_jax.ops.alignment import otam_distance
from mdmf_jax.ops.prototypes import class_means


@dataclass(frozen=True)
class OTAMConfig:
    """Options of OTAM. The defaults are those of the baseline in the published CLIP-FSAR code."""

    temperature: float = setting(0.1, "temperature of the alignment's soft minimum", above=0)
    bidirectional: bool = setting(True, "align query with support and support with query")


class OTAM(FewShotMethod):
    """Minus the mean over a class's shots of the distances to its videos; no parameters."""

    Config: ClassVar[type] = OTAMConfig
    published: ClassVar[Mapping[str, Any]] = PUBLISHED_READER
    rngs: ClassVar[tuple[str, ...]] = ()

    config: OTAMConfig = OTAMConfig()

    @property
    def needs_texts(self) -> bool:
        return False

    def match(self, supports, queries, text_features, *, support_mask=None, train: bool = False):
        way, shot, *video = supports.shape
        distances = otam_distance(
            queries,
            supports.reshape(way * shot, *video),
            self.config.temperature,
            self.config.bidirectional,
        )  # [Q, W K]
        by_shot = distances.T.reshape(way, shot, -1)
        distance = class_means(by_shot, support_mask).T  # [Q, W]
        return -distance, {"distance": distance}
