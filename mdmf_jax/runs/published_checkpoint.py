"""Parameters of a published model as a checkpoint of this program, and back."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from mdmf_jax.config.config import Config
from mdmf_jax.errors import ConfigError
from mdmf_jax.model import FewShotModel, Params
from mdmf_jax.models.encoders.clip.config import CLIPConfig
from mdmf_jax.training.build import make_model
from mdmf_jax.training.checkpoint import FOLDER, Checkpoints
from mdmf_jax.training.optimizer import make_train_optimizer, split_params
from mdmf_jax.training.restore import find, read_params, run_settings
from mdmf_jax.training.state import TrainState
from mdmf_jax.weights.pretrained import load_pretrained
from mdmf_jax.weights.published import PUBLISHED

# Short side of the frames for each pixel of the crop, as published: 256 for 224.
RESIZE, CROP = 256, 224


def clip_config(path: str) -> CLIPConfig:
    """Sizes of the CLIP that `encoder.path` names; all of it is read and checked.

    Raises:
      UserError: there is none, or it is damaged.
    """
    if not path:
        raise ConfigError("--encoder is missing: the folder of the CLIP of this checkpoint")
    found = load_pretrained("clip", path)
    assert found is not None  # it is for encoders without files
    return found.config


def fit_frames(config: Config, clip: CLIPConfig) -> Config:
    """The config with frames cropped to the CLIP's images, and resized in proportion."""
    size = clip.vision.image_size
    return replace(config, data=replace(config.data, crop=size, resize=size * RESIZE // CROP))


def check_fit(config: Config) -> FewShotModel:
    """The model of a config; ConfigError unless its frames and method fit the CLIP."""
    return make_model(config, 1)


def write_checkpoint(folder: Path, config: Config, params: Mapping[str, Any]) -> None:
    """Writes parameters as the checkpoint at step 0 of a run in `folder`.

    Training goes on from it with a new optimizer. Any later checkpoint that was validated is
    preferred to it.

    Args:
      params: {"encoder", "head"} of the config's method.
    """
    params = jax.tree.map(jnp.asarray, params)
    trained, _ = split_params(params, config.frozen)
    moments = make_train_optimizer(config.train).init(trained)
    state = TrainState(jnp.int32(0), jnp.int32(0), params, moments)
    with Checkpoints(folder / FOLDER, config.checkpoint.keep) as checkpoints:
        checkpoints.save(0, state, run_settings(config, 1), {})


def read_checkpoint(path: str | Path, clip: str | None = None) -> tuple[Config, Params]:
    """(config, parameters on the host) of a checkpoint whose method has a published form.

    Args:
      path: a run's folder (its best checkpoint) or one checkpoint in it.
      clip: folder of the CLIP, where it has moved.

    Raises:
      UserError: the checkpoint or the CLIP is missing or damaged, or the method has no
        published form.
    """
    found = find(path, encoder=clip)
    config = found.config
    if config.method not in PUBLISHED:
        raise ConfigError(
            f"the method {config.method} has no published form; known are {', '.join(PUBLISHED)}"
        )
    if getattr(config.head, "matcher", "") == "tuples":
        raise ConfigError(f"{config.method}.matcher is 'tuples', which has no published form")
    model = make_model(config, found.train_classes)
    return config, read_params(found, model.shapes)
