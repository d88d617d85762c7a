"""D2ST-Adapter in CLIP's vision transformer (arXiv 2312.01431; ICCV 2025)."""

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import jax
from flax import linen as nn

from mdmf_jax.errors import ConfigError
from mdmf_jax.models.encoders.clip.config import ResNetConfig
from mdmf_jax.models.encoders.clip.encoder import CLIPEncoder
from mdmf_jax.models.encoders.d2st_windows import VIT_WINDOWS, D2STOptions, make_bottleneck
from mdmf_jax.models.encoders.options import CLIPOptions
from mdmf_jax.models.layers.adapter import Adapter, BlockContext, TemporalEmbedding


class D2STAdapter(Adapter):
    """A bottleneck with two deformable attentions behind a block.

    Attributes:
      grid: patches along a side of the image.
    """

    options: D2STOptions
    grid: int

    @nn.compact
    def after_block(self, x: jax.Array, context: BlockContext) -> jax.Array:
        sizes = (x.shape[1], self.grid, self.grid)
        bottleneck = make_bottleneck(
            self.options, VIT_WINDOWS, x.shape[-1], sizes, name="bottleneck"
        )
        return x + bottleneck(x)


class D2STEncoder(CLIPEncoder):
    """CLIP's image tower with an adapter behind every block, and a temporal embedding.

    Features: "frames" [N, T, hidden_size], the class token of each frame without CLIP's
    projection. It has no texts.

    Raises:
      ConfigError: the CLIP has a ResNet, or the adapters do not fit it.
    """

    @dataclass(frozen=True)
    class Config(D2STOptions, CLIPOptions):
        """Options of the tower and its adapters."""

    has_texts: ClassVar[bool] = False
    projects: ClassVar[bool] = False
    unused_params: ClassVar[str] = r"^logit_scale$|^visual_projection/|^text_"

    @classmethod
    def trains(cls, options: Any) -> str:
        return r"(^|/)adapter|/class_embedding$|/post_layernorm/"

    @nn.nowrap
    def adapter(self, tower: str, block: int):
        vision = self.sizes.vision
        if isinstance(vision, ResNetConfig):
            raise ConfigError(
                "the encoder d2st needs a CLIP with a vision transformer; this one has a ResNet "
                "(d2st_resnet takes an ImageNet ResNet)"
            )
        return partial(D2STAdapter, self.options, vision.grid) if tower == "image" else None

    @nn.nowrap
    def embedding_adapter(self):
        return TemporalEmbedding
