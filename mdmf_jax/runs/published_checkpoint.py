"""Parameters of a published model as a checkpoint of this program, and back."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from mdmf_jax.config.config import Config
from mdmf_jax.errors import ConfigError, WeightsError
from mdmf_jax.model import FewShotModel, Params
from mdmf_jax.models.encoders.registry import build_encoder, encoder_class
from mdmf_jax.training.build import make_model
from mdmf_jax.training.checkpoint import FOLDER, Checkpoints
from mdmf_jax.training.optimizer import make_train_optimizer, split_params
from mdmf_jax.training.restore import find, read_params, run_settings
from mdmf_jax.training.state import TrainState
from mdmf_jax.weights.overlay import merged
from mdmf_jax.weights.pretrained import Pretrained, load_pretrained
from mdmf_jax.weights.published import PUBLISHED, Published, published_form

# Short side of the frames for each pixel of the crop, as published: 256 for 224.
RESIZE, CROP = 256, 224


def read_encoder(config: Config) -> Pretrained:
    """The encoder that `encoder.path` names; its files are read and checked.

    Raises:
      UserError: there is none, or it is damaged.
    """
    if not config.encoder.path:
        raise ConfigError("--encoder is missing: the encoder that this checkpoint was trained from")
    found = load_pretrained(encoder_class(config.encoder_name).reads, config.encoder.path)
    assert found is not None  # every published method starts from files
    return found


def train_classes(params: Mapping[str, Any]) -> int:
    """Number of training classes of published parameters; 1 where none depends on it."""
    kernel = params["head"].get("classifier", {}).get("kernel")
    return 1 if kernel is None else kernel.shape[-1]


def own_params(params: Mapping[str, Any], model: FewShotModel, origin: str) -> Params:
    """The parameters without the text tower, which a model that does not train it does not hold.

    Raises:
      WeightsError: the text tower is not that of the encoder.
    """
    held = flatten_dict(model.shapes["encoder"])
    fixed: dict[tuple[str, ...], Any] = flatten_dict(model.fixed)
    given: dict[tuple[str, ...], Any] = flatten_dict(params["encoder"])
    for path in given.keys() - held.keys():
        theirs = fixed.get(path)
        # Published files hold it in half precision.
        if theirs is None or not np.allclose(given[path], theirs, rtol=2e-3, atol=1e-4):
            raise WeightsError(
                f"{origin}: its {'/'.join(path)} is not that of the encoder "
                f"{model.settings.encoder.path}; give the CLIP that it was trained from"
            )
    own = {path: leaf for path, leaf in given.items() if path in held}
    return {"encoder": unflatten_dict(own), "head": params["head"]}


def fit_frames(config: Config, sizes: Any) -> Config:
    """The config with frames cropped to the encoder's images, and resized in proportion."""
    size = build_encoder(config.encoder_name, config.encoder, sizes).image_size
    return replace(config, data=replace(config.data, crop=size, resize=size * RESIZE // CROP))


def write_checkpoint(folder: Path, config: Config, params: Mapping[str, Any], classes: int) -> None:
    """Writes parameters as the checkpoint at step 0 of a run in `folder`.

    Training goes on from it with a new optimizer. Any later checkpoint that was validated is
    preferred to it.

    Args:
      params: {"encoder", "head"} of the config's method.
      classes: number of its training classes.
    """
    params = jax.tree.map(jnp.asarray, params)
    trained, _ = split_params(params, config.frozen)
    moments = make_train_optimizer(config.train).init(trained)
    state = TrainState(jnp.int32(0), jnp.int32(0), params, moments)
    with Checkpoints(folder / FOLDER, config.checkpoint.keep) as checkpoints:
        checkpoints.save(0, state, run_settings(config, classes), {})


def read_checkpoint(
    path: str | Path, encoder: str | None = None
) -> tuple[Config, Params, Published]:
    """(config, parameters on the host, their published form) of a checkpoint.

    Args:
      path: a run's folder (its best checkpoint) or one checkpoint in it.
      encoder: where the encoder's files lie, if they have moved.

    Returns:
      The parameters with the pretrained text tower, if the published form holds it.

    Raises:
      UserError: the checkpoint or the encoder is missing or damaged, or the method has no
        published form.
    """
    found = find(path, encoder=encoder)
    config = found.config
    form = published_form(config.method, config.encoder_name)
    if form is None:
        known = ", ".join(f"{p.method} with {p.encoder}" for p in PUBLISHED.values())
        raise ConfigError(
            f"the method {config.method} with the encoder {config.encoder_name} has no published "
            f"form; known are {known}"
        )
    if getattr(config.head, "matcher", "") == "tuples":
        raise ConfigError(f"{config.method}.matcher is 'tuples', which has no published form")
    if getattr(config.encoder, "adapter", "none") != "none":
        raise ConfigError(f"encoder.adapter is {config.encoder.adapter!r}: no published form")
    model = make_model(config, found.train_classes)
    params = read_params(found, model.shapes)
    if form.texts:
        params = params | {"encoder": merged(params["encoder"], model.fixed)}
    return config, params, form
