"""TS-FSAR's encoder: a frozen CLIP with a ladder network beside it (arXiv 2512.11340)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.traverse_util import flatten_dict, unflatten_dict

from mdmf_jax.config.fields import setting
from mdmf_jax.errors import ConfigError
from mdmf_jax.models.encoders.base import Features
from mdmf_jax.models.encoders.clip.config import ResNetConfig, TowerConfig
from mdmf_jax.models.encoders.clip.encoder import CLIPReader
from mdmf_jax.models.encoders.ladder import (
    FRAME_HEADS,
    HEAD,
    FrameAdapter,
    Ladder,
    TokenProjection,
)
from mdmf_jax.models.layers.adapter import TowerCall
from mdmf_jax.ops.components import principal_part, resized
from mdmf_jax.ops.distance_correlation import distance_correlation, patch_weights

FEATURES = ("correlation", "class_tokens", "adapted_clip", "side_text")


class TSFSAREncoder(CLIPReader):
    """CLIP's tower, frozen, and what TS-FSAR makes of the tokens after all of its blocks.

    Its features of a video, of which one float32 [T, M] is by far the largest:
      correlation [T, M]: distance correlations of the ladder's channels, M = d (d + 1) / 2.
      class_tokens [T, d]: the ladder's class tokens.
      adapted_clip [D]: mean of CLIP's frame features behind their adapter.
      side_text [D]: mean of the class tokens in CLIP's joint space.
    Features of CLIP are given too, where they are wanted.
    """

    @dataclass(frozen=True)
    class Config(CLIPReader.Config):
        """Options of TS-FSAR's encoder."""

        side_width: int = setting(256, "width of the ladder, a multiple of 64", min=HEAD)
        temporal_blocks: tuple[int, ...] = setting(
            (6, 8, 10),
            "blocks of the ladder, from 0, whose attention runs over the frames of a video",
            min=0,
        )
        gate: Literal["learnable", "none"] = setting(
            "learnable", 'how the ladder takes in CLIP\'s tokens: by a share, or "none": added'
        )
        gate_temperature: float = setting(0.1, "of the shares' logistic function", above=0)
        exponent: float = setting(0.4, "power of the squared distances between channels", above=0)
        residual: float = setting(
            0.4,
            "share r of the attention across frame features, beside 2 - r of themselves; "
            "published: 0.4, Something-Something V2 1.6",
            min=0,
        )
        start: Literal["clip", "ladder", "random"] = setting(
            "clip",
            'new layers start from "clip" (its blocks, by principal components), from that the '
            '"ladder" alone, or at "random"',
            affects="result",  # stored features depend on the parameters themselves
        )

    @classmethod
    def trains(cls, options: Any) -> str:
        return r"\badapter_"

    @property
    def builds_on(self) -> tuple[str, ...]:
        """CLIP's features that the ladder is made of."""
        return ("frames", *self._tokens)

    @property
    def _tokens(self) -> tuple[str, ...]:
        vision = self.sizes.vision
        if isinstance(vision, ResNetConfig):
            raise ConfigError("ts_fsar needs a CLIP with a vision transformer; this has a ResNet")
        return tuple(f"tokens_{number}" for number in range(vision.num_hidden_layers + 1))

    def setup(self) -> None:
        super().setup()
        options, dtype = self.options, jnp.dtype(self.options.dtype)
        self._check()
        side = TowerConfig(
            options.side_width,
            4 * options.side_width,
            self.sizes.vision.num_hidden_layers,
            options.side_width // HEAD,
            hidden_act="gelu",
        )
        self.adapter_ladder = Ladder(
            side,
            tuple(options.temporal_blocks),
            options.gate == "learnable",
            options.gate_temperature,
            dtype,
            options.attention,
            self.remat,
        )
        self.adapter_frames = FrameAdapter(options.residual, dtype)
        self.adapter_text = TokenProjection(self.width, dtype)

    def _check(self) -> None:
        options, blocks = self.options, len(self._tokens) - 1
        if options.side_width % HEAD:
            raise ConfigError(
                f"encoder.side_width is {options.side_width}; it must be a multiple of {HEAD}"
            )
        beyond = [number for number in options.temporal_blocks if number >= blocks]
        if beyond:
            raise ConfigError(
                f"encoder.temporal_blocks names the block {beyond[0]}, but this CLIP has {blocks} "
                f"blocks, 0 to {blocks - 1}"
            )
        if self.width % FRAME_HEADS:
            raise ConfigError(
                f"ts_fsar needs a CLIP whose features are a multiple of {FRAME_HEADS}; "
                f"this one's are {self.width}"
            )

    def from_pixels(self, pixels: jax.Array, *, train: bool = False) -> Features:
        """All features of videos of normalised pixels [N, T, S, S, 3]."""
        count, length = pixels.shape[:2]
        flat = pixels.reshape(-1, *pixels.shape[2:])
        found = self.vision.features(flat, None, TowerCall(length, train))
        side = self.adapter_ladder([found[name] for name in self._tokens], length)
        found = {n: x.reshape(count, length, *x.shape[1:]) for n, x in found.items()}
        return found | self._matched(found["frames"], side.reshape(count, length, *side.shape[1:]))

    def _matched(self, frames: jax.Array, side: jax.Array) -> Features:
        """Features from frame features [N, T, D] and the ladder's tokens [N, T, 1 + P, d]."""
        tokens, patches = side[..., 0, :], side[..., 1:, :]
        adapted = self.adapter_frames(frames).mean(axis=1)
        text = self.adapter_text(tokens).mean(axis=1)
        # Its steep powers need float32 whatever the towers compute in.
        tokens, patches = (
            x.astype(jnp.promote_types(x.dtype, jnp.float32)) for x in (tokens, patches)
        )
        weights = patch_weights(tokens, patches)
        self.sow("intermediates", "patch_weight", weights)
        correlation = distance_correlation(weights[..., None] * patches, self.options.exponent)
        arrays = (correlation, tokens, adapted, text)
        return dict(zip(FEATURES, arrays, strict=True))

    @nn.nowrap
    def start(self, params: dict[str, Any]) -> dict[str, Any]:
        """Block b of the ladder starts as block b of CLIP made small, and the attention across
        frame features as that of its last block; see `principal_part`.

        Raises:
          ConfigError: a layer is larger than CLIP's.
        """
        if self.options.start == "random":
            return params
        layers = params["vision_model"]["encoder"]["layers"]
        ladder = dict(params["adapter_ladder"])
        for number in range(len(layers)):
            name = f"block_{number}"
            ladder[name] = _made_small(layers[str(number)], ladder[name], "encoder.side_width")
        made = params | {"adapter_ladder": ladder}
        if self.options.start == "clip":
            last = layers[str(len(layers) - 1)]["self_attn"]
            frames = dict(params["adapter_frames"])
            frames["attention"] = _made_small(last, frames["attention"], "frame features'")
            made["adapter_frames"] = frames
        return made


def _made_small(large: Mapping[str, Any], small: Mapping[str, Any], what: str) -> dict[str, Any]:
    """The leaves of `large` in the shapes of those of `small`, by the same paths."""
    given: dict[str, Any] = flatten_dict(dict(large), sep="/")
    wanted: dict[str, Any] = flatten_dict(dict(small), sep="/")
    made: dict[str, Any] = {}
    for path, leaf in wanted.items():
        if leaf.ndim == 1:
            made[path] = resized(given[path], leaf.shape[0])
            continue
        columns, rows = leaf.shape  # kernels are [in, out]
        try:
            made[path] = principal_part(given[path].T, rows, columns).T
        except ConfigError as error:
            raise ConfigError(f"encoder.start: {path} ({what} width): {error}") from None
    return unflatten_dict(made, sep="/")
