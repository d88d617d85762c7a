"""The motion encoder: what moves in a video, not what stands there. It needs no download."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn

from mdmf_jax.config.fields import setting
from mdmf_jax.models.encoders.base import Encoder, Features, Videos
from mdmf_jax.models.encoders.motion.network import MotionNetwork
from mdmf_jax.models.encoders.options import EncoderOptions
from mdmf_jax.models.layers.adapter import EpisodeSizes
from mdmf_jax.ops.motion_maps import coarse_maps, halve, motion_maps
from mdmf_jax.ops.similarity import norm

SIDE = 96  # pixels of the pictures; twice the network's
ROWS, COLUMNS = 6, 4  # of the plain maps beside the learned part
# Usual sizes (root mean squares on the training's videos) of the strength of change and of the
# flow in four directions; the distance from the usual picture has no place in them.
USUAL = (0.23, 0.095, 0.095, 0.095, 0.095)


@dataclass(frozen=True)
class MotionOptions(EncoderOptions):
    """Options of the motion encoder."""

    path: str = setting(
        "packaged:motion",
        'folder of a motion encoder; "packaged:motion" is the one that comes with the package',
        affects="result",
    )
    maps: float = setting(
        0.3, "weight of the plain maps of motion beside the learned features", min=0, max=1
    )


class MotionEncoder(Encoder):
    """Features [N, T, D] of grey frames: a learned part and plain maps of motion, side by side.

    The learned part is a small network on motion maps (`ops.motion_maps`), trained on generated
    people (docs/motion.md). The plain maps say how much moves where, and which way, at each
    position. Both parts have mean features of length 1, so that the cosine of two videos' mean
    features is the weighted mean of the two parts' cosines.
    """

    Config: ClassVar[type] = MotionOptions
    modalities: ClassVar[tuple[str, ...]] = ("rgb", "dense")  # rgb: pictures for people
    channels: ClassVar[Mapping[str, int]] = {"dense": 4}
    reads: ClassVar[str] = "motion"
    has_texts: ClassVar[bool] = False

    def setup(self) -> None:
        self.network = MotionNetwork(self.sizes.sizes)
        nn.share_scope(self, self.network)  # the network keeps no level of its own

    @property
    def width(self) -> int:
        return self.sizes.sizes.features + ROWS * COLUMNS * len(USUAL)

    @property
    def image_size(self) -> int:
        return SIDE

    def videos(
        self,
        videos: Videos,
        texts: jax.Array | None = None,
        *,
        train: bool = False,
        episode: EpisodeSizes | None = None,
    ) -> Features:
        dense: Any = videos["dense"]
        count, length, height, width, several = dense.shape
        grey = jnp.moveaxis(dense, -1, 2).reshape(count, length * several, height, width)
        grey = halve(grey.astype(jnp.float32) / 255)
        maps = motion_maps(grey)
        learned, _ = self.network(maps)
        learned = learned / (norm(learned)[..., None] + 1e-6)
        plain = maps[..., : len(USUAL)] / jnp.array(USUAL)
        plain = coarse_maps(plain, length, ROWS, COLUMNS)
        share = self.options.maps
        parts = [jnp.sqrt(1 - share) * _mean_one(learned), jnp.sqrt(share) * _mean_one(plain)]
        return {"frames": jnp.concatenate(parts, -1)}


def _mean_one(x: jax.Array) -> jax.Array:
    """Features [N, T, D] whose mean has length 1."""
    return x / (norm(x.mean(1))[:, None, None] + 1e-6)
