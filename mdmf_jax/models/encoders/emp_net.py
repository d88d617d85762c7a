"""EMP-Net's encoder: a frozen CLIP read behind three blocks, and what reasons on its tokens."""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from mdmf_jax.config.fields import setting
from mdmf_jax.errors import ConfigError
from mdmf_jax.models.encoders.base import Features
from mdmf_jax.models.encoders.clip.config import ResNetConfig
from mdmf_jax.models.encoders.clip.encoder import CLIPReader
from mdmf_jax.models.layers.adapter import TowerCall
from mdmf_jax.models.layers.reasoning import SpaceTimeBlock, ViewBlock, check_width

READINGS = 3


class EMPNetEncoder(CLIPReader):
    """CLIP's tower, frozen, and EMP-Net's views of a video (Wu et al., ECCV 2024).

    Its features of a video:
      token_view [T, D]: class tokens.
      frame_view [T, D]: means over the patches.
      patch_view [T, P, D]: patches, by far the largest.
    Features of CLIP are given too, where they are wanted.
    """

    @dataclass(frozen=True)
    class Config(CLIPReader.Config):
        """Options of EMP-Net's encoder."""

        blocks: tuple[int, ...] = setting(
            (),
            "three blocks of CLIP, from 1, whose tokens are read; 0 is the first one's input; () "
            "is after each third of the blocks, of 12 the 4th, 8th and 12th",
            min=0,
        )

    rngs: ClassVar[tuple[str, ...]] = ("dropout",)

    @classmethod
    def trains(cls, options: Any) -> str:
        return r"(^|/)adapter"

    @property
    def builds_on(self) -> tuple[str, ...]:
        """CLIP's features that the views are made of."""
        return tuple(dict.fromkeys(self._readings))

    @property
    def _readings(self) -> tuple[str, ...]:
        vision, blocks = self.sizes.vision, self.options.blocks
        if isinstance(vision, ResNetConfig):
            raise ConfigError("emp_net needs a CLIP with a vision transformer; this has a ResNet")
        count = vision.num_hidden_layers
        if not blocks:
            blocks = [round(count * third / READINGS) for third in range(1, READINGS + 1)]
        if len(blocks) != READINGS or max(blocks) > count:
            raise ConfigError(
                f"encoder.blocks is {tuple(blocks)}; it must name {READINGS} blocks, and this "
                f"CLIP has {count}"
            )
        return tuple(f"projected_{number}" for number in blocks)

    def setup(self) -> None:
        check_width(self.width)
        super().setup()
        self.adapter_reasoning = [SpaceTimeBlock() for _ in range(READINGS)]
        self.adapter_token = ViewBlock()
        self.adapter_patch = ViewBlock()
        self.adapter_frame = ViewBlock()

    def from_pixels(self, pixels: jax.Array, *, train: bool = False) -> Features:
        """All features of videos of normalised pixels [N, T, S, S, 3].

        Besides, "reading_<i>" and "reasoned_<i>" [N, T, 1 + P, D], i = 1..3: CLIP's tokens, and
        what has been made of them so far.
        """
        count, length = pixels.shape[:2]
        flat = pixels.reshape(-1, *pixels.shape[2:])
        found = self.vision.features(flat, None, TowerCall(length, train))
        found = {n: x.reshape(count, length, *x.shape[1:]) for n, x in found.items()}
        reasoned, x = {}, 0.0
        for number, name in enumerate(self._readings, 1):
            reading = found[name]
            reading = reading.astype(jnp.promote_types(reading.dtype, jnp.float32))
            x = self.adapter_reasoning[number - 1](x + reading, train=train)
            reasoned |= {f"reading_{number}": reading, f"reasoned_{number}": x}
        return found | reasoned | self._views(x, train)

    def _views(self, x, train: bool) -> Features:
        """The three views of tokens [N, T, 1 + P, D]."""
        token = self.adapter_token(x[:, :, 0], x[:, :, 0], train=train)
        grid = jnp.concatenate([token[:, :, None], x[:, :, 1:]], axis=2)
        grid = grid.reshape(-1, *grid.shape[2:])
        patch = self.adapter_patch(grid, grid, train=train)[:, 1:]
        patch = patch.reshape(*x.shape[:2], *patch.shape[1:])
        frame = x[:, :, 1:].mean(axis=2) + patch.mean(axis=2)
        frame = self.adapter_frame(frame, frame, train=train)
        return {"token_view": token, "frame_view": frame, "patch_view": patch}
