"""CLIP as open_clip stores it: a safetensors file, and open_clip_config.json beside it.

The tensors have the names of OpenAI's CLIP; sizes and options are those of open_clip's code.
"""

import dataclasses
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mdmf_jax import files
from mdmf_jax.errors import ConfigError, WeightsError
from mdmf_jax.models.encoders.clip.config import CLIPConfig, ResNetConfig, TextConfig, VisionConfig
from mdmf_jax.models.encoders.clip.preprocess import CLIP_MEAN, CLIP_STD
from mdmf_jax.models.encoders.clip.tokenizer import Tokenizer
from mdmf_jax.weights import openai
from mdmf_jax.weights.files import read_safetensors
from mdmf_jax.weights.huggingface import LoadedCLIP
from mdmf_jax.weights.openai_sizes import config_from_state_dict

CONFIG_FILE = "open_clip_config.json"
# Where both are in one folder, the second has Hugging Face's layout.
WEIGHT_FILES = ("open_clip_model.safetensors", "model.safetensors")

# Wider vision transformers have heads of 80, 88 or 104 channels, which no shape tells.
WIDEST_WITHOUT_CONFIG = 1024

_MODEL_KEYS = ("embed_dim", "quick_gelu", "vision_cfg", "text_cfg")
_VISION_KEYS = ("image_size", "layers", "width", "head_width", "mlp_ratio", "patch_size")
_TEXT_KEYS = ("context_length", "vocab_size", "width", "heads", "layers", "mlp_ratio")
# Options of training, and longer names for what a CLIP does anyway.
_INERT = ("init_logit_scale", "patch_dropout")
_USUAL = (("pool_type", "tok"), ("pool_type", "argmax"), ("pos_embed_type", "learnable"))


def load_openclip(path: str | Path) -> LoadedCLIP:
    """Reads a CLIP (ViT or ResNet) in open_clip's layout.

    Sizes and activation are those of open_clip_config.json. Without that file, sizes are read
    off the shapes and the activation is the exact GELU, open_clip's default. The tokenizer is
    that of vocab.json and merges.txt if they are there, and OpenAI's if not. Half precision and
    bfloat16 become float32. The config keeps the image size of the checkpoint; see
    `interpolate_positions`.

    Args:
      path: folder with open_clip_model.safetensors or model.safetensors, or such a file.

    Raises:
      WeightsError: a file is missing or broken; tensors are missing, unknown or misshapen
          (all of them are named); or the model has something that this package does not (a
          timm tower, another tokenizer, another normalisation of the pixels, ...).
    """
    path = Path(path)
    file = _weights_file(path) if path.is_dir() else path
    tensors = read_safetensors(file)
    described = file.parent / CONFIG_FILE
    if described.is_file():
        config = config_from_openclip(
            files.read_json(described, WeightsError), origin=str(described)
        )
    else:
        config = _config_from_shapes(tensors, origin=str(file))
    config, params = openai.load_state_dict(tensors, config, origin=str(file))
    return LoadedCLIP(config, params, _tokenizer(file.parent, config))


def config_from_openclip(content: Mapping[str, Any], *, origin: str) -> CLIPConfig:
    """CLIPConfig of an open_clip_config.json, read as open_clip reads it.

    Raises:
      WeightsError: a size is missing or impossible, or an option is not known here.
    """
    model = _section(content, "model_cfg", _MODEL_KEYS, origin)
    vision = _section(model, "vision_cfg", _VISION_KEYS, origin)
    text = _section(model, "text_cfg", _TEXT_KEYS, origin)
    _check_pixels(content.get("preprocess_cfg") or {}, origin)
    act = "quick_gelu" if model.get("quick_gelu") else "gelu"
    try:
        return CLIPConfig(
            _vision(vision, act, origin),
            _text(text, act, origin),
            _number(model, "embed_dim", None, origin),
        )
    except ConfigError as error:
        raise WeightsError(f"{origin}: {error}") from error


def _vision(section: Mapping[str, Any], act: str, origin: str) -> VisionConfig | ResNetConfig:
    width = _number(section, "width", 768, origin)
    head_width = _number(section, "head_width", 64, origin)
    image_size = _number(section, "image_size", 224, origin)
    if isinstance(section.get("layers"), list):
        heads = max(1, 32 * width // head_width)
        return ResNetConfig(tuple(section["layers"]), width, heads, image_size)
    return VisionConfig(
        width,
        int(width * section.get("mlp_ratio", 4.0)),
        _number(section, "layers", 12, origin),
        max(1, width // head_width),
        act,
        image_size=image_size,
        patch_size=_number(section, "patch_size", 16, origin),
    )


def _text(section: Mapping[str, Any], act: str, origin: str) -> TextConfig:
    width = _number(section, "width", 512, origin)
    vocab_size = _number(section, "vocab_size", 49408, origin)
    return TextConfig(
        width,
        int(width * section.get("mlp_ratio", 4.0)),
        _number(section, "layers", 12, origin),
        _number(section, "heads", 8, origin),
        act,
        vocab_size=vocab_size,
        max_position_embeddings=_number(section, "context_length", 77, origin),
        eos_token_id=vocab_size - 1,
    )


def _config_from_shapes(tensors: Mapping[str, np.ndarray], origin: str) -> CLIPConfig:
    config = config_from_state_dict(tensors, origin=origin)
    vision, text = config.vision, dataclasses.replace(config.text, hidden_act="gelu")
    if isinstance(vision, VisionConfig):
        if vision.hidden_size > WIDEST_WITHOUT_CONFIG:
            raise WeightsError(
                f"{origin}: an image tower of width {vision.hidden_size}; put {CONFIG_FILE} "
                "beside it, because shapes do not tell how many heads it has"
            )
        vision = dataclasses.replace(vision, hidden_act="gelu")
    return CLIPConfig(vision, text, config.projection_dim)


def _tokenizer(folder: Path, config: CLIPConfig) -> Tokenizer:
    own = all((folder / name).is_file() for name in ("vocab.json", "merges.txt"))
    tokenizer = Tokenizer.from_huggingface(folder) if own else Tokenizer.openai()
    if tokenizer.end != config.text.eos_token_id:
        raise WeightsError(
            f"{folder}: the text tower's end token is {config.text.eos_token_id}, but the "
            f"tokenizer's is {tokenizer.end}; put the model's own vocab.json and merges.txt there"
        )
    return tokenizer


def _weights_file(folder: Path) -> Path:
    for name in WEIGHT_FILES:
        if (folder / name).is_file():
            return folder / name
    raise WeightsError(f"{folder}: no {' or '.join(WEIGHT_FILES)} in this folder")


def _section(
    parent: Mapping[str, Any], name: str, known: Collection[str], origin: str
) -> Mapping[str, Any]:
    """A part of the config, without options that would change the model unnoticed."""
    section = parent.get(name)
    if not isinstance(section, dict):
        raise WeightsError(f"{origin}: no {name}; expected an open_clip CLIP")
    strange = [
        f"{key} = {value!r}"
        for key, value in section.items()
        if value and key not in known and key not in _INERT and (key, value) not in _USUAL
    ]
    if strange:
        raise WeightsError(f"{origin}: {name} has what is not supported: {', '.join(strange)}")
    return section


def _number(section: Mapping[str, Any], key: str, default: int | None, origin: str) -> int:
    value = section.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise WeightsError(f"{origin}: {key} is {value!r}, expected a positive whole number")
    return value


def _check_pixels(section: Mapping[str, Any], origin: str) -> None:
    for key, usual in (("mean", CLIP_MEAN), ("std", CLIP_STD)):
        value = section.get(key, usual)
        if np.shape(value) != (3,) or not np.allclose(value, usual, atol=1e-5):
            raise WeightsError(
                f"{origin}: {key} of the pixels is {value}, but only CLIP's own, {list(usual)}, "
                "is supported"
            )
