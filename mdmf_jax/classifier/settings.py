"""Settings that a saved model needs: encoder, method, and how clips are cut from videos."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from mdmf_jax.config.config import Config
from mdmf_jax.config.fields import build_section
from mdmf_jax.errors import ConfigError
from mdmf_jax.models.encoders.registry import encoder_class
from mdmf_jax.models.methods import registry as methods
from mdmf_jax.models.methods.checks import check_method
from mdmf_jax.models.model_settings import ModelSettings
from mdmf_jax.training.build import model_settings

_LEAST_1 = {"min": 1}


@dataclass(frozen=True)
class ClipSettings:
    """How the clips of a video are cut, as in the section `data` of a config.

    Attributes:
      frames: T, frames taken of a video or of a window.
      seed: of the run; names random draws of frames, where `sampling` draws them in a test.
    """

    frames: int = field(metadata=_LEAST_1)
    resize: int = field(metadata=_LEAST_1)
    crop: int = field(metadata=_LEAST_1)
    pipeline: Literal["mdmf", "clip_fsar"]
    sampling: Literal["ends", "segments", "span"]
    test_clips: int = field(metadata=_LEAST_1)
    seed: int = field(default=0, metadata={"min": 0})


@dataclass(frozen=True)
class Settings:
    """Settings of a model in use."""

    model: ModelSettings
    clips: ClipSettings

    @property
    def prompt(self) -> str:
        """Text of a class, such as "a photo of {}"; {} stands for its name."""
        return getattr(self.model.encoder, "prompt", "{}")


def settings_of_run(config: Config, train_classes: int) -> Settings:
    """The settings of a run that its model needs."""
    names = [item.name for item in fields(ClipSettings) if item.name != "seed"]
    cut = {name: getattr(config.data, name) for name in names}
    return Settings(model_settings(config, train_classes), ClipSettings(**cut, seed=config.seed))


def untrained_clips(image_size: int, frames: int = 8) -> ClipSettings:
    """For a model without training: 8 frames, the usual resize and crop."""
    return ClipSettings(frames, image_size * 8 // 7, image_size, "mdmf", "ends", test_clips=1)


def settings_to_dict(settings: Settings) -> dict[str, Any]:
    """For JSON; `settings_from_dict` reads it back."""
    model = settings.model
    return {
        "method": model.method,
        "head": asdict(model.head),
        "sections": {name: asdict(options) for name, options in model.sections.items()},
        "encoder": {"name": model.encoder_name} | asdict(model.encoder),
        "train_classes": model.train_classes,
        "clips": asdict(settings.clips),
    }


def settings_from_dict(values: Any) -> Settings:
    """Checked settings.

    Raises:
      ConfigError: an unknown or missing key, a wrong type or a bad value.
    """
    parts = ("method", "head", "sections", "encoder", "train_classes", "clips")
    if not isinstance(values, Mapping) or values.keys() != set(parts):
        raise ConfigError(f"settings: must be an object with {', '.join(parts)}")
    method = str(values["method"])
    clips = build_section(ClipSettings, values["clips"], "settings.clips")
    encoder = dict(values["encoder"])
    name = str(encoder.pop("name", ""))
    kind, limits = methods.config_class(method), methods.METHOD_LIMITS.get(method, {})
    head = build_section(kind, values["head"], "settings.head", limits)
    model = ModelSettings(
        method,
        head,
        name,
        build_section(encoder_class(name).Config, encoder, "settings.encoder"),
        clips.frames,
        int(values["train_classes"]),
        methods.build_sections(values["sections"], "settings.sections"),
    )
    _check(model, clips)
    return Settings(model, clips)


def _check(model: ModelSettings, clips: ClipSettings) -> None:
    if clips.resize < clips.crop:
        raise ConfigError(f"settings.resize is {clips.resize}, less than crop ({clips.crop})")
    if "{}" not in getattr(model.encoder, "prompt", "{}"):
        raise ConfigError(f"settings.prompt is {model.encoder.prompt!r}; it must contain {{}}")
    check_method(model.method, model.head, model.sections.get("tuples"), clips.frames)
