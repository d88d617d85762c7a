"""The files of the motion encoder: config.json (sizes, training, SHA-256) and model.safetensors."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from safetensors.numpy import save

from mdmf_jax import files
from mdmf_jax.errors import WeightsError
from mdmf_jax.models.encoders.motion.network import MotionSizes
from mdmf_jax.weights.files import read_safetensors

CONFIG, TENSORS = "config.json", "model.safetensors"


class MotionConfig(NamedTuple):
    """Sizes of the network, and what its file says of how it was trained."""

    sizes: MotionSizes
    training: dict[str, Any]


class LoadedMotion(NamedTuple):
    """A motion encoder; like `Pretrained`, without a tokenizer."""

    config: MotionConfig
    params: dict[str, Any]
    tokenizer: None = None


def motion_path() -> Path:
    """Folder of the motion encoder that comes with this package."""
    return Path(__file__).parents[1] / "assets/motion"


def load_motion(folder: str | Path) -> LoadedMotion:
    """Reads and checks a folder.

    Raises:
      WeightsError: a file is missing, damaged, or not the one that config.json describes.
    """
    folder = Path(folder)
    content = files.read_json(folder / CONFIG, WeightsError, "take the folder of a motion encoder")
    tensors = read_safetensors(folder / TENSORS)
    if files.sha256_of(folder / TENSORS, WeightsError) != content.get("sha256"):
        raise WeightsError(f"{folder / TENSORS} is not the file that {CONFIG} describes")
    sizes = content.get("sizes")
    if not isinstance(sizes, dict) or not _are_sizes(sizes):
        raise WeightsError(f"{folder / CONFIG}: its sizes are not those of a motion encoder")
    numbers: dict[str, Any] = sizes | {"channels": tuple(sizes["channels"])}
    sizes = MotionSizes(**numbers)
    params = unflatten_dict({n: x.astype(np.float32) for n, x in tensors.items()}, sep="/")
    return LoadedMotion(MotionConfig(sizes, dict(content.get("training", {}))), params)


def _are_sizes(found: dict[str, Any]) -> bool:
    """Whether they are whole numbers above 0 by the names of `MotionSizes`, three channels."""
    if found.keys() != asdict(MotionSizes()).keys():
        return False
    channels = found["channels"]
    if not isinstance(channels, list) or len(channels) != len(MotionSizes().channels):
        return False
    numbers = [*channels, *(x for name, x in found.items() if name != "channels")]
    return all(isinstance(x, int) and x > 0 for x in numbers)


def save_motion(
    folder: str | Path, sizes: MotionSizes, training: dict[str, Any], params: Mapping[str, Any]
) -> None:
    """Writes a folder that `load_motion` reads; parameters in the type they have."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    flat = flatten_dict(jax.device_get(dict(params)), sep="/")
    tensors = {name: np.ascontiguousarray(x) for name, x in flat.items()}
    files.write_whole(folder / TENSORS, save(tensors))
    content = {
        "sizes": asdict(sizes),
        "sha256": files.sha256_of(folder / TENSORS),
        "training": training,
    }
    files.write_json(folder / CONFIG, content)
