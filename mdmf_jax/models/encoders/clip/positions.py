"""CLIPs for images of another size than those they were trained with."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from mdmf_jax.errors import ConfigError
from mdmf_jax.models.encoders.clip.config import CLIPConfig, ResNetConfig

_VIT = ("vision_model", "embeddings", "position_embedding", "embedding")
_RESNET = ("vision_model", "attnpool", "positional_embedding")


def interpolate_positions(
    params: Mapping[str, Any], config: CLIPConfig, image_size: int
) -> tuple[dict[str, Any], CLIPConfig]:
    """(params, config) of the same CLIP for images of `image_size` pixels.

    Loading keeps the size a checkpoint was trained with; this changes it afterwards. The
    position embeddings of the grid (a vision transformer's patches, or the cells that a ResNet
    pools) are interpolated; that of the first token, which stands for no place, is kept. All
    other parameters are those of `params`, not copies.

    Convention: bicubic as in `jax.image.resize(..., "cubic", antialias=False)`: Keys' kernel
    with a = -0.5, cell centres at (i + 0.5) / grid, and at the border only the cells that
    exist, with their weights scaled to sum 1. PyTorch's bicubic differs a little (a = -0.75,
    border cells repeated).

    Args:
      params: of `CLIP(config)`, or at least the branch "vision_model".

    Raises:
      ConfigError: `image_size` is not a multiple of the patch size (ResNet: of 32), or the
          position embeddings do not have the size that `config` says.
    """
    vision = dataclasses.replace(config.vision, image_size=image_size)
    flat: dict[tuple[str, ...], Any] = flatten_dict(dict(params))
    path = _RESNET if isinstance(vision, ResNetConfig) else _VIT
    expected = 1 + config.vision.grid**2, config.vision.hidden_size
    shape = np.shape(flat[path]) if path in flat else None
    if shape != expected:
        raise ConfigError(f"{'/'.join(path)} has shape {shape}, expected {expected}")
    flat[path] = _resize(np.asarray(flat[path]), config.vision.grid, vision.grid)
    return unflatten_dict(flat), dataclasses.replace(config, vision=vision)


def _resize(table: np.ndarray, old: int, new: int) -> np.ndarray:
    """[1 + old^2, C] -> [1 + new^2, C]."""
    size = table.shape[1]
    grid = table[1:].reshape(old, old, size)
    grid = jax.image.resize(grid, (new, new, size), "cubic", antialias=False)
    return np.concatenate([table[:1], np.asarray(grid).reshape(-1, size)])
