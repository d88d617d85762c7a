"""Models of published sizes with random parameters, and what to feed them."""

import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mdmf_jax.model import FewShotModel
from mdmf_jax.models.encoders.clip.config import (
    CLIPConfig,
    TextConfig,
    VisionConfig,
    from_huggingface,
)
from mdmf_jax.models.encoders.clip.published import published_config
from mdmf_jax.models.encoders.clip.vision import CLIPVision
from mdmf_jax.models.encoders.options import CLIPOptions
from mdmf_jax.models.methods import registry as methods
from mdmf_jax.models.model_settings import ModelSettings
from mdmf_jax.weights.huggingface import demo_clip_path
from mdmf_jax.weights.pretrained import Pretrained


def model_config(name: str) -> CLIPConfig:
    """Sizes of one of `names.MODELS`."""
    if name != "demo":
        return published_config(name)
    return from_huggingface(json.loads((demo_clip_path() / "config.json").read_text("utf-8")))


def random_encoder(config: CLIPConfig, dtype: str, **options: Any) -> tuple[CLIPVision, Any]:
    """An image tower and random parameters for it, on the device."""
    module = CLIPVision(config, jnp.dtype(dtype), **options)
    side = config.vision.image_size
    pixels = jnp.zeros((1, side, side, 3))
    return module, jax.jit(module.init)(jax.random.key(0), pixels)["params"]


def random_model(
    method: str, config: CLIPConfig, frames: int, classes: int, **options: Any
) -> FewShotModel:
    """A method with its default options on a CLIP with random parameters and no text tower.

    Args:
      options: "remat", and those of the encoder.

    Raises:
      ConfigError: no such method.
    """
    remat = bool(options.pop("remat", False))
    _, params = random_encoder(config, "float32")
    settings = ModelSettings(
        method=method,
        head=methods.config_class(method)(),
        encoder_name="clip",
        encoder=CLIPOptions(normalise="clip", **options),
        frames=frames,
        train_classes=classes,
        sections=methods.default_sections(method),
    )
    pretrained = Pretrained(config, jax.device_get(params), None)
    return FewShotModel(settings, pretrained, remat=remat, trained=lambda path: True)


def head_model(method: str, width: int, frames: int, classes: int) -> FewShotModel:
    """A method for features of size `width`; its encoder is the smallest there can be.

    Raises:
      ConfigError: no such method.
    """
    vision = VisionConfig(8, 8, 1, 1, image_size=8, patch_size=8)
    config = CLIPConfig(vision, TextConfig(8, 8, 1, 1), width)
    return random_model(method, config, frames, classes)


def random_frames(*shape: int, seed: int = 0) -> np.ndarray:
    """Noise as uint8 pixels."""
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
