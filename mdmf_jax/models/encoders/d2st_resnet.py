"""D2ST-Adapter in an ImageNet ResNet (arXiv 2312.01431; ICCV 2025)."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn

from mdmf_jax.config.fields import setting
from mdmf_jax.errors import ConfigError
from mdmf_jax.models.encoders.base import Encoder, Features, Videos
from mdmf_jax.models.encoders.clip.preprocess import normalise
from mdmf_jax.models.encoders.d2st_windows import RESNET_WINDOWS, D2STOptions, make_bottleneck
from mdmf_jax.models.encoders.options import EncoderOptions
from mdmf_jax.models.encoders.resnet import STAGES, ResNetStage, Stem
from mdmf_jax.models.layers.adapter import EpisodeSizes


class D2STResNetEncoder(Encoder):
    """A ResNet with an adapter behind each of its four stages.

    Features: "frames" [N, T, width], the mean over the last stage's cells. It has no texts.

    Raises:
      ConfigError: an adapter does not fit.
    """

    @dataclass(frozen=True)
    class Config(D2STOptions, EncoderOptions):
        """Options of the ResNet and its adapters."""

        normalise: Literal["imagenet", "none"] = setting(
            "imagenet", 'pixels: "imagenet" (mean and deviation) or "none" (0..1)'
        )
        dtype: Literal["float32", "bfloat16"] = setting(
            "float32", "of the computation; parameters are float32"
        )
        image_size: int = setting(224, "side of the frames in pixels", min=32)
        space_heads: tuple[int, ...] = setting((1, 2, 4, 8), "its heads, one a stage", min=1)
        space_groups: tuple[int, ...] = setting(
            (1, 2, 4, 8), "groups of channels it samples apart", min=1
        )
        time_heads: tuple[int, ...] = setting((1, 2, 4, 8), "its heads, one a stage", min=1)
        time_groups: tuple[int, ...] = setting(
            (1, 2, 4, 8), "groups of channels it samples apart", min=1
        )

    reads: ClassVar[str] = "torchvision_resnet"
    has_texts: ClassVar[bool] = False

    @classmethod
    def trains(cls, options: Any) -> str:
        return r"(^|/)adapter"

    @property
    def width(self) -> int:
        return self.sizes.width

    @property
    def image_size(self) -> int:
        return self.options.image_size

    def videos(
        self,
        videos: Videos,
        texts: jax.Array | None = None,
        *,
        train: bool = False,
        episode: EpisodeSizes | None = None,
    ) -> Features:
        frames = videos["rgb"]
        side = self.image_size
        if frames.shape[2:] != (side, side, 3):
            raise ConfigError(
                f"the frames have shape {tuple(frames.shape[2:])}, but encoder.image_size is {side}"
            )
        return {"frames": self.frames(normalise(frames, self.options.normalise))}

    @nn.compact
    def frames(self, pixels: jax.Array) -> jax.Array:
        """Frame features of pixels as the tower takes them, [N, T, S, S, 3] -> [N, T, width]."""
        count, length, *image = pixels.shape
        dtype = jnp.dtype(self.options.dtype)
        x = Stem(self.sizes.stem, dtype, name="stem")(pixels.reshape(-1, *image))
        for number in range(STAGES):
            x = self.stage(number, x, length)
        features = x.astype(jnp.promote_types(dtype, jnp.float32)).mean(axis=(1, 2))
        return features.reshape(count, length, -1)

    def stage(self, number: int, x: jax.Array, length: int) -> jax.Array:
        """A stage and its adapter, of videos of `length` frames. [N T, H, W, C] -> the same."""
        name = f"layer{number + 1}"
        x = ResNetStage(self.sizes, number, x.dtype, self.remat, name=name)(x)
        _, rows, columns, channels = x.shape
        adapter = make_bottleneck(
            self.options,
            RESNET_WINDOWS,
            channels,
            (length, rows, columns),
            number,
            activate=False,
            name=f"adapter{number + 1}",
        )
        tokens = x.reshape(-1, length, rows * columns, channels)
        return (tokens + adapter(tokens)).reshape(x.shape)
