"""Parameters of a published model as a checkpoint of this program, and back."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from absl import flags
from ml_collections import config_flags

import mdmf_jax
from mdmf_jax.cli import flags as command_line
from mdmf_jax.models.methods import registry as methods
from mdmf_jax.config.config import Config, from_stored, to_dict
from mdmf_jax.errors import ConfigError
from mdmf_jax.runs.experiment import PACKAGED_CLIPS
from mdmf_jax.models.encoders.clip.config import CLIPConfig
from mdmf_jax.training.checkpoint import Checkpoints, FOLDER, locate
from mdmf_jax.training.optimizer import optimizer_of, split_params
from mdmf_jax.training.sharding import device_mesh
from mdmf_jax.training.state import StateMaker, TrainState
from mdmf_jax.weights.huggingface import load_clip
from mdmf_jax.weights.published import PUBLISHED

DEFAULTS = Path(mdmf_jax.__file__).parents[1] / "configs/common.py"
# Short side of the frames for each pixel of the crop, as published: 256 for 224.
RESIZE, CROP = 256, 224


def make_config(file: str | None, settings: Sequence[str]) -> Config:
    """The settings that train.py would have with --config=FILE and further arguments.

    Args:
        file: config file; None takes the defaults.
        settings: arguments such as "--config.train.steps=10"; later ones win.

    Raises:
        ConfigError: an unknown setting or file, or a bad value.
    """
    argv = ["import", f"--config={file or DEFAULTS}", *settings]
    values = flags.FlagValues()
    config_flags.DEFINE_config_file("config", flag_values=values, sys_argv=argv)
    return command_line.config_of(command_line.parse(values, argv))


def clip_config(path: str) -> CLIPConfig:
    """Sizes of the CLIP that `encoder.path` names; the whole CLIP is read and checked.

    Raises:
        UserError: there is none, or it is damaged.
    """
    if not path:
        raise ConfigError("--clip is missing: the folder of the CLIP of this checkpoint")
    return load_clip(PACKAGED_CLIPS[path]() if path in PACKAGED_CLIPS else Path(path)).config


def fit_frames(config: Config, clip: CLIPConfig) -> Config:
    """The config with frames cropped to the CLIP's images, and resized in proportion."""
    size = clip.vision.image_size
    return replace(config, data=replace(config.data, crop=size, resize=size * RESIZE // CROP))


def check_fit(config: Config, clip: CLIPConfig) -> None:
    """Raises ConfigError unless the config's frames and method fit the CLIP."""
    if config.data.crop != clip.vision.image_size:
        raise ConfigError(
            f"data.crop is {config.data.crop}, but the CLIP in {config.encoder.path} takes images of "
            f"{clip.vision.image_size} pixels"
        )
    methods.build_method(config.method, config.head, config.sections, clip.projection_dim)


def write_checkpoint(folder: Path, config: Config, params: Mapping[str, Any]) -> None:
    """Writes parameters as the checkpoint at step 0 of a run in `folder`.

    Training goes on from it with a new optimizer. Any later checkpoint that was validated is
    preferred to it.

    Args:
        params: {"encoder", "head"} of the config's method.
    """
    params = jax.tree.map(jnp.asarray, params)
    trained, _ = split_params(params, config.train.freeze)
    moments = optimizer_of(config.train).init(trained)
    state = TrainState(jnp.int32(0), jnp.int32(0), params, moments)
    with Checkpoints(folder / FOLDER, config.checkpoint.keep) as checkpoints:
        checkpoints.save(0, state, to_dict(config), {})


def read_checkpoint(path: str | Path, clip: str | None = None) -> tuple[Config, dict[str, Any]]:
    """(config, parameters on the host) of a checkpoint of this program.

    Args:
        path: a run's folder (its best checkpoint) or one checkpoint in it.
        clip: folder of the CLIP, where it has moved.

    Raises:
        UserError: the checkpoint or the CLIP is missing or damaged, or the method has no
            published form.
    """
    folder, step = locate(path)
    with Checkpoints(folder) as checkpoints:
        step = checkpoints.best() if step is None else step
        config = from_stored(checkpoints.settings(step))
        abstract = _abstract_state(config, clip_config(clip or config.encoder.path))
        return config, jax.device_get(checkpoints.restore(step, abstract).params)


def _abstract_state(config: Config, clip: CLIPConfig) -> TrainState:
    """Shapes and shardings of a train state of the config's method."""
    if config.method not in PUBLISHED:
        raise ConfigError(
            f"the method {config.method} has no published form; known are {', '.join(PUBLISHED)}"
        )
    if getattr(config.head, "matcher", "") == "tuples":
        raise ConfigError(f"{config.method}.matcher is 'tuples', which has no published form")
    template = PUBLISHED[config.method].template(clip, config.head)
    maker = StateMaker(
        lambda key: jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), template["head"]),
        template["encoder"],
        optimizer_of(config.train),
        freeze=config.train.freeze,
        mesh=device_mesh(1, devices=jax.devices()[:1]),  # one copy is enough to write it
    )
    return maker.abstract
