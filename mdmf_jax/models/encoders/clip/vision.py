"""CLIP's image tower with its projection, whichever network it is (Radford et al. 2021)."""

import re
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from mdmf_jax.errors import ConfigError
from mdmf_jax.models.encoders.clip.config import CLIPConfig, ResNetConfig
from mdmf_jax.models.encoders.clip.resnet import ResNet
from mdmf_jax.models.encoders.clip.stack import AdapterOf, no_adapter
from mdmf_jax.models.encoders.clip.vit import VisionTransformer
from mdmf_jax.models.layers.adapter import ALONE, EmbeddingMaker, TowerCall

_TOKENS = re.compile(r"(tokens|projected)_(\d+)")


def known_feature(name: str) -> bool:
    """Whether CLIP has a feature of that name; see `CLIPVision.features`."""
    return name in ("frames", "patches") or _TOKENS.fullmatch(name) is not None


class CLIPVision(nn.Module):
    """Image tower with its projection. Float pixels [B, S, S, 3] -> [B, D], not normalised.

    A vision transformer or a ResNet, by the type of `config.vision`. Both have the branches
    "vision_model" and "visual_projection"; a ResNet's projection is the last layer of its
    attention pooling and has a bias. Pixels are expected as `preprocess.normalise` gives them.
    Parameters are float32; `dtype` is that of the computation. See `attention.attention` for
    the names of implementations. With `remat` a backward pass computes each block again; with
    `scan` a transformer's equal blocks run in loops (a ResNet's differ from each other, and do
    not). `wanted` names the features; see `features`. `adapter_of`, `breaks` and `streams` are
    for adapters in a transformer's blocks; see `EncoderLayers`. `embedding` changes its tokens
    before the first LayerNorm; see `VisionTransformer`. Without `project` the frame features are
    those before the projection, [B, hidden_size], and there is none. `batch_norm` "batch" is for
    a ResNet; see `FrozenBatchNorm`.

    Raises:
      ConfigError: the images do not have the size S that the tower was made for, a feature is
        unknown, or an adapter is asked for in a ResNet.
    """

    config: CLIPConfig
    dtype: jnp.dtype = jnp.float32
    attention: str = "auto"
    remat: bool = False
    scan: bool = False
    wanted: tuple[str, ...] = ("frames",)
    adapter_of: AdapterOf = no_adapter
    breaks: tuple[int, ...] = ()
    streams: tuple[str, ...] = ()
    embedding: EmbeddingMaker | None = None
    project: bool = True
    batch_norm: str = "running"

    def __call__(self, pixels: jax.Array) -> jax.Array:
        return self.features(pixels)["frames"]

    @nn.compact
    def features(
        self, pixels: jax.Array, texts: jax.Array | None = None, call: TowerCall = ALONE
    ) -> dict[str, jax.Array]:
        """Features of frames by name, those that are `wanted`.

        "frames" [B, D]; "patches" [B, P, D] (a ResNet's: cells before the pooling [B, P, C]);
        of a transformer "tokens_<l>" [B, 1 + P, hidden_size], the tokens behind block l, and
        "projected_<l>" [B, 1 + P, D], the same through the last LayerNorm and the projection.
        """
        side = self.config.vision.image_size
        if pixels.ndim != 4 or pixels.shape[1:] != (side, side, 3):
            raise ConfigError(
                f"the images have shape {tuple(pixels.shape)}, but this CLIP takes "
                f"[N, {side}, {side}, 3]: crop the frames to {side} x {side} pixels"
            )
        found = self._tower()(pixels, texts, call)
        if not self.project:
            return {name: found[name] for name in self.wanted}
        resnet = isinstance(self.config.vision, ResNetConfig)
        projection = nn.Dense(
            self.config.projection_dim,
            use_bias=resnet,
            kernel_init=nn.initializers.normal(self.config.vision.hidden_size**-0.5),
            dtype=self.dtype,
            name="visual_projection",
        )
        found["frames"] = projection(found["frames"])
        for name in found:
            if (name == "patches" and not resnet) or name.startswith("projected_"):
                found[name] = projection(found[name])
        return {name: found[name] for name in self.wanted}

    def _tower(self) -> nn.Module:
        vision, patches = self.config.vision, "patches" in self.wanted
        keep, normed = self._kept_blocks("tokens"), self._kept_blocks("projected")
        if isinstance(vision, ResNetConfig):
            if self.adapter_of(0) is not None or self.embedding is not None:
                raise ConfigError("adapters need a vision transformer; this CLIP has a ResNet")
            batch = self.batch_norm == "batch"
            return ResNet(
                vision, self.dtype, self.attention, self.remat, patches, batch, name="vision_model"
            )
        blocks: dict[str, Any] = {
            "attention": self.attention,
            "remat": self.remat,
            "scan": self.scan,
            "adapter_of": self.adapter_of,
            "breaks": self.breaks,
            "streams": self.streams,
        }
        return VisionTransformer(
            vision, self.dtype, patches, keep, blocks, self.embedding, normed, name="vision_model"
        )

    def _kept_blocks(self, kind: str) -> tuple[int, ...]:
        """Numbers of the blocks whose "tokens" or "projected" tokens are wanted."""
        vision, numbers = self.config.vision, []
        for name in self.wanted:
            match = _TOKENS.fullmatch(name)
            if match and not isinstance(vision, ResNetConfig):
                if int(match[2]) > vision.num_hidden_layers:
                    raise ConfigError(
                        f"feature {name!r}: this CLIP has {vision.num_hidden_layers} blocks"
                    )
                if match[1] == kind:
                    numbers.append(int(match[2]))
            elif name not in ("frames", "patches"):
                raise ConfigError(
                    f"feature {name!r} is unknown to this CLIP; known: frames, patches"
                    + ("" if isinstance(vision, ResNetConfig) else ", tokens_0, tokens_1, ...")
                )
        return tuple(sorted(numbers))
