"""Finds out what a file or folder of weights is, by the names of its tensors, and reads it."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mdmf_jax.errors import ConfigError, WeightsError
from mdmf_jax.models.encoders.clip.config import CLIPConfig, VisionConfig
from mdmf_jax.models.encoders.clip.tokenizer import Tokenizer
from mdmf_jax.weights import huggingface, openai, openclip
from mdmf_jax.weights.files import read_safetensors
from mdmf_jax.weights.huggingface import LoadedCLIP
from mdmf_jax.weights.openai_sizes import config_from_state_dict
from mdmf_jax.weights.published import PUBLISHED
from mdmf_jax.weights.table import to_params
from mdmf_jax.weights.torch_format.file import read_state_dict

PICKLED = "pytorch_model.bin"

_OPENAI_MARKS = ("visual.conv1.weight", "token_embedding.weight", "text_projection")
# Only OpenAI's own archives have it. Without it, nothing tells the activation.
_OPENAI_ARCHIVE = "input_resolution"
_HUGGINGFACE_MARK = "text_model.embeddings.token_embedding.weight"


class Source(NamedTuple):
    """What was read.

    Attributes:
      title: what it is, for people.
      clip: the CLIP, or None.
      method: name of the few-shot method whose checkpoint it is, or None.
      tensors: the method's tensors; empty for a CLIP.
    """

    title: str
    clip: LoadedCLIP | None = None
    method: str | None = None
    tensors: Mapping[str, np.ndarray] = {}


def open_source(path: str | Path, activation: str | None = None) -> Source:
    """Recognises and reads weights.

    Args:
      path: a CLIP's folder (Hugging Face's or open_clip's layout), or a file: .safetensors, or
          anything that PyTorch wrote.
      activation: "quick_gelu" or "gelu", for a CLIP whose files do not say it.

    Raises:
      WeightsError: nothing that is known, damaged, or incomplete.
      ConfigError: the activation is not said, or said twice.
    """
    path = Path(path)
    if path.is_dir():
        source = _open_folder(path)
    elif openclip.CONFIG_FILE in _neighbours(path) or path.name == openclip.WEIGHT_FILES[0]:
        source = Source("CLIP of open_clip", openclip.load_openclip(path))
    else:
        return _open_file(path, activation)
    _check_unsaid(path, activation)
    return source


def read_clip(path: str | Path) -> LoadedCLIP:
    """Reads a CLIP of any layout: a folder, or a file such as OpenAI's archives.

    Raises:
      UserError: as of `open_source`; or it is a checkpoint of a method.
    """
    path = Path(path)
    if not path.exists():
        return huggingface.load_clip(path)  # says what is missing
    source = open_source(path)
    if source.clip is None:
        raise WeightsError(
            f"{path}: a {source.title}, not a CLIP; convert it with mdmf import and use it as "
            "--checkpoint"
        )
    return source.clip


def _neighbours(path: Path) -> set[str]:
    """Names of the files beside a safetensors file."""
    if path.suffix != ".safetensors" or not path.parent.is_dir():
        return set()
    return {file.name for file in path.parent.iterdir()}


def _open_folder(path: Path) -> Source:
    if (path / "config.json").is_file():
        title = "CLIP in Hugging Face's layout"
        if (path / PICKLED).is_file() and not list(path.glob("model*.safetensors*")):
            return Source(f"{title} ({PICKLED})", _pickled_huggingface(path))
        return Source(title, huggingface.load_clip(path))
    if (path / openclip.CONFIG_FILE).is_file():
        return Source("CLIP of open_clip", openclip.load_openclip(path))
    raise WeightsError(f"{path}: no config.json or {openclip.CONFIG_FILE} in this folder")


def _pickled_huggingface(path: Path) -> LoadedCLIP:
    config = huggingface.read_config(path / "config.json")
    params = to_params(
        read_state_dict(path / PICKLED),
        huggingface.rules(config.vision),
        huggingface.template(config),
        ignored=huggingface.IGNORED,
        origin=str(path / PICKLED),
    )
    return LoadedCLIP(config, params, Tokenizer.from_huggingface(path))


def _open_file(path: Path, activation: str | None) -> Source:
    tensors = read_safetensors(path) if path.suffix == ".safetensors" else read_state_dict(path)
    plain = _plain_names(tensors, str(path))
    if all(name in plain for name in _OPENAI_MARKS):
        return _openai_clip(path, plain, activation)
    _check_unsaid(path, activation)
    for method, published in PUBLISHED.items():
        if all(name in plain for name in published.marks):
            return Source(f"{published.title} checkpoint", None, method, plain)
    if _HUGGINGFACE_MARK in plain:
        raise WeightsError(
            f"{path}: the tensors of a Hugging Face CLIP; give the folder with its config.json"
        )
    known = ", ".join(["CLIP", *(published.title for published in PUBLISHED.values())])
    some = ", ".join(sorted(tensors)[:3])
    raise WeightsError(
        f"{path}: not recognised ({len(tensors)} tensors: {some}, ...); known are those of {known}"
    )


def _plain_names(tensors: Mapping[str, np.ndarray], origin: str) -> dict[str, np.ndarray]:
    """Without the prefix that training on several devices may put before everything."""
    plain = {}
    for name, tensor in tensors.items():
        short = name.removeprefix("module.")
        if short in plain or not name.isprintable():
            raise WeightsError(f"{origin}: the tensor's name {name[:60]!r} is doubled or broken")
        plain[short] = tensor
    return plain


def _openai_clip(path: Path, tensors: Mapping[str, np.ndarray], activation: str | None) -> Source:
    title = "CLIP with OpenAI's names"
    config = config_from_state_dict(tensors, origin=str(path))
    if _OPENAI_ARCHIVE in tensors:
        _check_unsaid(path, activation)
        title = "CLIP of OpenAI"
    elif activation is None:
        raise ConfigError(
            f"{path}: the tensors of a CLIP do not say its activation; with mdmf import, add "
            "--activation=quick_gelu for OpenAI's weights, --activation=gelu for most of "
            "open_clip's"
        )
    else:
        config = _with_activation(config, activation)
    tokenizer = Tokenizer.openai()
    if config.text.vocab_size != len(tokenizer.vocab):
        raise WeightsError(
            f"{path}: its text tower knows {config.text.vocab_size} tokens, OpenAI's vocabulary "
            f"has {len(tokenizer.vocab)}; only CLIPs with OpenAI's vocabulary can be read"
        )
    _, params = openai.load_state_dict(tensors, config, origin=str(path))
    return Source(title, LoadedCLIP(config, params, tokenizer))


def _with_activation(config: CLIPConfig, activation: str) -> CLIPConfig:
    vision, text = config.vision, dataclasses.replace(config.text, hidden_act=activation)
    if isinstance(vision, VisionConfig):
        vision = dataclasses.replace(vision, hidden_act=activation)
    return dataclasses.replace(config, vision=vision, text=text)


def _check_unsaid(path: Path, activation: str | None) -> None:
    if activation is not None:
        raise ConfigError(f"--activation={activation}: {path} says its activation itself")
