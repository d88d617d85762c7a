"""Sizes of an OpenAI CLIP, read off the shapes of its tensors as OpenAI's code does."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from mdmf_jax.errors import ConfigError, WeightsError
from mdmf_jax.models.encoders.clip.config import (
    REDUCTION,
    CLIPConfig,
    ResNetConfig,
    TextConfig,
    VisionConfig,
)
from mdmf_jax.models.encoders.clip.published import HEAD_SIZE

Tensors = Mapping[str, np.ndarray]


def config_from_state_dict(tensors: Tensors, *, origin: str) -> CLIPConfig:
    """Sizes of a whole CLIP.

    What shapes do not tell is as in OpenAI's models: heads of 64 channels, quick GELU.

    Args:
      tensors: name -> array, as in the published archives.
      origin: file named in errors.

    Raises:
      WeightsError: a tensor that tells a size is missing, or the sizes are impossible.
    """
    vision, projection = vision_from_state_dict(tensors, "visual.", origin=origin)
    length, width = _shape(tensors, "positional_embedding", 2, origin)
    vocab_size, _ = _shape(tensors, "token_embedding.weight", 2, origin)
    try:
        text = TextConfig(
            **_transformer(tensors, "", width, origin),
            vocab_size=vocab_size,
            max_position_embeddings=length,
            eos_token_id=vocab_size - 1,
        )
    except ConfigError as error:
        raise WeightsError(f"{origin}: {error}") from error
    return CLIPConfig(vision, text, projection)


def vision_from_state_dict(
    tensors: Tensors, prefix: str, *, origin: str
) -> tuple[VisionConfig | ResNetConfig, int]:
    """(sizes of an image tower, number D of its features).

    Args:
      tensors: name -> array.
      prefix: before the tower's names, with its dot ("visual." in OpenAI's archives).
      origin: file named in errors.

    Raises:
      WeightsError: a tensor that tells a size is missing, or the sizes are impossible.
    """
    read = _resnet if f"{prefix}layer1.0.conv1.weight" in tensors else _vit
    try:
        return read(tensors, prefix, origin)
    except ConfigError as error:
        raise WeightsError(f"{origin}: {error}") from error


def _vit(tensors: Tensors, prefix: str, origin: str) -> tuple[VisionConfig, int]:
    width, _, patch, _ = _shape(tensors, f"{prefix}conv1.weight", 4, origin)
    grid = _grid(_shape(tensors, f"{prefix}positional_embedding", 2, origin)[0])
    sizes = _transformer(tensors, prefix, width, origin)
    vision = VisionConfig(**sizes, image_size=grid * patch, patch_size=patch)
    return vision, _shape(tensors, f"{prefix}proj", 2, origin)[1]


def _resnet(tensors: Tensors, prefix: str, origin: str) -> tuple[ResNetConfig, int]:
    width = _shape(tensors, f"{prefix}layer1.0.conv1.weight", 4, origin)[0]
    cells, channels = _shape(tensors, f"{prefix}attnpool.positional_embedding", 2, origin)
    one, two, three, four = (_count(tensors, f"{prefix}layer{stage}.") for stage in (1, 2, 3, 4))
    vision = ResNetConfig(
        layers=(one, two, three, four),
        width=width,
        heads=max(1, channels // HEAD_SIZE),
        image_size=_grid(cells) * REDUCTION,
    )
    return vision, _shape(tensors, f"{prefix}attnpool.c_proj.weight", 2, origin)[0]


def _transformer(tensors: Tensors, prefix: str, width: int, origin: str) -> dict[str, Any]:
    blocks = f"{prefix}transformer.resblocks."
    return dict(
        hidden_size=width,
        intermediate_size=_shape(tensors, f"{blocks}0.mlp.c_fc.weight", 2, origin)[0],
        num_hidden_layers=_count(tensors, blocks),
        num_attention_heads=max(1, width // HEAD_SIZE),
    )


def _count(tensors: Tensors, prefix: str) -> int:
    """How many numbered layers there are behind a prefix."""
    pattern = re.compile(re.escape(prefix) + r"(\d+)\.")
    return len({found[1] for name in tensors if (found := pattern.match(name))})


def _grid(positions: int) -> int:
    return round((positions - 1) ** 0.5)


def _shape(tensors: Tensors, name: str, ndim: int, origin: str) -> tuple[int, ...]:
    if name not in tensors or tensors[name].ndim != ndim:
        raise WeightsError(f"{origin}: no tensor {name} with {ndim} axes: not an OpenAI CLIP")
    return tensors[name].shape
