"""CLIP as an encoder, frozen, trained, or with adapters in the blocks of its towers."""

import re
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn

from mdmf_jax.models.encoders.base import Encoder, Features, Videos
from mdmf_jax.models.encoders.clip.preprocess import normalise
from mdmf_jax.models.encoders.clip.text import CLIPText
from mdmf_jax.models.encoders.clip.vision import CLIPVision, known_feature
from mdmf_jax.models.encoders.options import TowerOptions
from mdmf_jax.models.layers.adapter import (
    AdapterMaker,
    EmbeddingMaker,
    EpisodeSizes,
    TowerCall,
)

_BLOCK = re.compile(r"vision_model/encoder/layers/(\d+)/(.*)")


class CLIPEncoder(Encoder):
    """CLIP (Radford et al. 2021). Encoders with adapters inside are its subclasses.

    The branches of its parameters are those of Hugging Face's CLIP: "vision_model",
    "visual_projection", "text_model", "text_projection". The image tower computes in
    `options.dtype`, the text tower in float32. Features: see `CLIPVision.features`. A subclass
    may add features of its own to what `videos` gives, and name in `builds_on` those of CLIP that
    it makes them of.
    """

    builds_on: ClassVar[tuple[str, ...]] = ()
    # Whether frames are projected into the space that they share with texts.
    projects: ClassVar[bool] = True

    Config: ClassVar[type] = TowerOptions
    reads: ClassVar[str] = "clip"
    unused_params: ClassVar[str] = r"^logit_scale$"

    @nn.nowrap
    def adapter(self, tower: str, block: int) -> AdapterMaker | None:
        """How the adapter of a block is made; None for none.

        Args:
          tower: "image" or "text".
          block: its number from 0.
        """
        return None

    @nn.nowrap
    def embedding_adapter(self) -> EmbeddingMaker | None:
        """How the module is made that changes the image tower's tokens [N, T, L, D] with their
        positions, before the first LayerNorm (a temporal embedding); None for none."""
        return None

    def setup(self) -> None:
        options = self.options
        self.vision = CLIPVision(
            self.sizes,
            jnp.dtype(options.dtype),
            options.attention,
            remat=self.remat,
            scan=self.remat,  # recomputing in a loop needs the least memory
            wanted=tuple(sorted({*self.builds_on, *filter(known_feature, self.wanted)})),
            adapter_of=lambda block: self.adapter("image", block),
            breaks=self.breaks,
            streams=self.rngs,
            embedding=self.embedding_adapter(),
            project=self.projects,
        )
        self.text = CLIPText(
            self.sizes,
            jnp.dtype(self.text_dtype),
            adapter_of=lambda block: self.adapter("text", block),
            streams=self.rngs,
        )
        # The towers keep no level of their own in the parameter tree.
        nn.share_scope(self, self.vision)
        nn.share_scope(self, self.text)

    @property
    def text_dtype(self) -> str:
        """Of the text tower's computation."""
        return "float32"

    @property
    def width(self) -> int:
        vision = self.sizes.vision
        return self.sizes.projection_dim if self.projects else vision.hidden_size

    @property
    def image_size(self) -> int:
        return self.sizes.vision.image_size

    @property
    def text_length(self) -> int:
        return self.sizes.text.max_position_embeddings

    def videos(
        self,
        videos: Videos,
        texts: jax.Array | None = None,
        *,
        train: bool = False,
        episode: EpisodeSizes | None = None,
    ) -> Features:
        frames = videos["rgb"]
        count, length, *pixels = frames.shape
        normalised = normalise(frames.reshape(-1, *pixels), self.options.normalise)
        found = self.vision.features(normalised, texts, TowerCall(length, train, episode))
        return {
            name: x.astype(jnp.float32).reshape(count, length, *x.shape[1:])
            for name, x in found.items()
        }

    def texts(
        self, ids: jax.Array, mask: jax.Array | None = None, *, train: bool = False
    ) -> jax.Array:
        classes, several, length = ids.shape
        found = self.text(ids.reshape(-1, length), TowerCall(several, train), mask)
        found = found.astype(jnp.promote_types(found.dtype, jnp.float32))
        return found.reshape(classes, several, -1)

    @nn.nowrap
    def loop_breaks(self, patterns: Mapping[str, Any]) -> tuple[int, ...]:
        blocks: dict[int, frozenset] = {}
        for path, trained in patterns.items():
            match = _BLOCK.fullmatch(path)
            if match:
                number = int(match[1])
                blocks[number] = blocks.get(number, frozenset()) | {(match[2], trained)}
        return tuple(n for n in blocks if n - 1 in blocks and blocks[n] != blocks[n - 1])


class CLIPReader(CLIPEncoder):
    """Base of encoders that read CLIP's tokens and make all their features of them.

    They define `from_pixels`, whose features may be more than are stored.
    """

    def videos(
        self,
        videos: Videos,
        texts: jax.Array | None = None,
        *,
        train: bool = False,
        episode: EpisodeSizes | None = None,
    ) -> Features:
        found = self.from_pixels(normalise(videos["rgb"], self.options.normalise), train=train)
        return {n: x.astype(jnp.float32) for n, x in found.items() if n in self.wanted}

    def from_pixels(self, pixels: jax.Array, *, train: bool = False) -> Features:
        """All features of videos of normalised pixels [N, T, S, S, 3]."""
        raise TypeError(f"{type(self).__name__} makes no features of pixels")
