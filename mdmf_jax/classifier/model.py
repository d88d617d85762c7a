"""A pretrained model: an encoder, a method and their parameters, from a run or from a CLIP."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jax

from mdmf_jax import files
from mdmf_jax.classifier.settings import Settings, settings_of_run, untrained_clips
from mdmf_jax.errors import CheckpointError, ConfigError
from mdmf_jax.evaluation.compiled_method import CompiledMethod
from mdmf_jax.model import FewShotModel, Params
from mdmf_jax.models.encoders.registry import encoder_class
from mdmf_jax.models.methods.registry import config_class, default_sections
from mdmf_jax.models.model_settings import ModelSettings
from mdmf_jax.training.restore import restore
from mdmf_jax.weights.names import read_name, unknown
from mdmf_jax.weights.pretrained import PACKAGED, pinned

DEMO = "packaged:demo"  # the small CLIP that comes with the package
MOTION = "motion"  # the encoder of motion that comes with it, also by its path
_DEMO_PROMPT = "a video of {}"  # what it was trained with
_FRAMES = 8


@dataclass(frozen=True)
class Model:
    """Everything that does not depend on the classes to tell apart.

    Attributes:
      params: those in use, also where a run trained the encoder; numpy arrays.
    """

    settings: Settings
    few_shot: FewShotModel
    params: Params

    @cached_property
    def stages(self) -> CompiledMethod:
        """The model's stages, ready to run."""
        return CompiledMethod(self.few_shot, self.params)


def pretrained(
    path: files.Name, method: str | None = None, encoder: files.Name | None = None
) -> Model:
    """A model from a run's folder, a checkpoint, or an encoder: its name, folder or file.

    Args:
      method: for an encoder without a run; it must be one that has nothing to train. By default
        otam, for the encoder of motion mean_pool.
      encoder: for a run, where its encoder's files lie, if they have moved.

    Raises:
      UserError: files are missing, damaged or do not fit each other.
    """
    if str(path) in (MOTION, f"packaged:{MOTION}"):
        return _untrained(MOTION, encoder_class(MOTION).Config(), method or "mean_pool")
    if _is_encoder(path):
        return _from_clip(pinned(path), method or "otam")
    if not files.path(path).is_dir():
        raise CheckpointError(
            f"{path}: no such folder, so it is not a run, and {unknown(path, PACKAGED)}"
        )
    restored = restore(path, encoder=None if encoder is None else str(encoder))
    found = restored.found
    if restored.model.encoder.unit == "episode":
        raise ConfigError(
            f"{path}: its encoder {found.config.encoder_name} sees whole episodes, not single "
            "videos; test it with `mdmf eval`"
        )
    if not restored.model.inductive:
        raise ConfigError(
            f"{path}: with its settings of {found.config.method} the answer to a video depends on "
            "what else is asked; test it with `mdmf eval`, or train with the variant corrected"
        )
    return Model(
        settings_of_run(found.config, found.train_classes), restored.model, restored.params
    )


def _is_encoder(path: files.Name) -> bool:
    """Whether it is a name of an encoder, or a file or folder that holds one."""
    if read_name(path).kind != "path":
        return True
    place = Path(path)
    configs = ("config.json", "open_clip_config.json")
    return place.is_file() or any((place / name).is_file() for name in configs)


def _from_clip(path: str, method: str) -> Model:
    prompt = {"prompt": _DEMO_PROMPT} if path == DEMO else {}
    return _untrained("clip", encoder_class("clip").Config(path=path, **prompt), method)


def _untrained(name: str, options: Any, method: str) -> Model:
    """An encoder with these options, and a method that has nothing to train."""
    settings = ModelSettings(
        method, config_class(method)(), name, options, _FRAMES, sections=default_sections(method)
    )
    model = FewShotModel(settings)
    if jax.tree.leaves(model.shapes["head"]):
        raise ConfigError(
            f"{method} has parameters to train; give the folder of a run of `mdmf train`, or one "
            "of the methods mean_pool, otam and zero_shot, which need no training"
        )
    clips = untrained_clips(model.encoder.image_size, _FRAMES, whole=name == MOTION)
    params = {"encoder": model.start, "head": {}}
    return Model(Settings(settings, clips), model, params)
