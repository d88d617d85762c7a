"""Encoders of published sizes with random parameters, and what to feed them."""

import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mdmf_jax.models.encoders.clip.config import CLIPConfig, from_huggingface
from mdmf_jax.models.encoders.clip.preprocess import normalise
from mdmf_jax.models.encoders.clip.published import published_config
from mdmf_jax.models.encoders.clip.vision import CLIPVision
from mdmf_jax.weights.huggingface import demo_clip_path


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


def encode_with(module: CLIPVision):
    """encode(parameters, uint8 frames [N, S, S, 3]) -> features [N, D], normalised as CLIP's."""
    return lambda params, frames: module.apply({"params": params}, normalise(frames, "clip"))


def random_frames(*shape: int, seed: int = 0) -> np.ndarray:
    """Noise as uint8 pixels."""
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
