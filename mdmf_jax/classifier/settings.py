"""Settings that a saved model needs: encoder, method, and how clips are cut from videos."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from mdmf_jax.config.config import Config
from mdmf_jax.config.convert import build_section, check_known
from mdmf_jax.config.fields import setting
from mdmf_jax.config.schema import all_sections
from mdmf_jax.data.settings import ClipOptions, TextsSection
from mdmf_jax.errors import ConfigError
from mdmf_jax.models.encoders.registry import encoder_class
from mdmf_jax.models.methods.registry import method_class
from mdmf_jax.models.model_settings import ModelSettings
from mdmf_jax.training.build import model_settings


@dataclass(frozen=True)
class ClipSettings(ClipOptions):
    """How the clips of a video or of a window are cut."""

    seed: int = setting(
        0, "of the run; names random draws of frames, where `sampling` draws them in a test", min=0
    )


@dataclass(frozen=True)
class Settings:
    """Settings of a model in use."""

    model: ModelSettings
    clips: ClipSettings
    texts: TextsSection = TextsSection()

    @property
    def prompt(self) -> str:
        """Text of a class, such as "a photo of {}"; {} stands for its name."""
        return getattr(self.model.encoder, "prompt", "{}")


def settings_of_run(config: Config, train_classes: int) -> Settings:
    """The settings of a run that its model needs."""
    cut = {item.name: getattr(config.data, item.name) for item in fields(ClipOptions)}
    clips = ClipSettings(**cut, seed=config.seed)
    return Settings(model_settings(config, train_classes), clips, config.texts)


def untrained_clips(image_size: int, frames: int = 8, *, whole: bool = False) -> ClipSettings:
    """For a model without training: 8 frames, the usual resize and crop.

    Args:
      whole: the whole picture, brought to a square, instead of its middle.
    """
    if whole:
        return ClipSettings(frames, image_size, image_size, "clip_fsar", "ends", test_clips=1)
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
        "texts": asdict(settings.texts),
    }


def settings_from_dict(values: Any) -> Settings:
    """Checked settings.

    Raises:
      ConfigError: an unknown or missing key, a wrong type or a bad value.
    """
    parts = ("method", "head", "sections", "encoder", "train_classes", "clips")
    if not isinstance(values, Mapping) or values.keys() - {"texts"} != set(parts):
        raise ConfigError(f"settings: must be an object with {', '.join(parts)}")
    method = str(values["method"])
    clips = build_section(ClipSettings, values["clips"], "settings.clips", complete=True)
    encoder = dict(values["encoder"])
    name = str(encoder.pop("name", ""))
    kind = method_class(method)
    model = ModelSettings(
        method,
        build_section(kind.Config, values["head"], "settings.head"),
        name,
        build_section(encoder_class(name).Config, encoder, "settings.encoder"),
        clips.frames,
        int(values["train_classes"]),
        _sections(kind.sections, values["sections"]),
    )
    _check(model, clips)
    # Models that are older than this section had one text a class.
    texts = build_section(TextsSection, values.get("texts", {}), "settings.texts")
    return Settings(model, clips, texts)


def _sections(kinds: Mapping[str, type], values: Mapping[str, Any]) -> dict[str, Any]:
    """The shared sections of a method; those of others are left out."""
    for name in values:
        check_known(name, all_sections(), "settings.sections")
    return {
        name: build_section(kind, values.get(name, {}), f"settings.sections.{name}")
        for name, kind in kinds.items()
    }


def _check(model: ModelSettings, clips: ClipSettings) -> None:
    if clips.resize < clips.crop:
        raise ConfigError(f"settings.resize is {clips.resize}, less than crop ({clips.crop})")
    if "{}" not in getattr(model.encoder, "prompt", "{}"):
        raise ConfigError(f"settings.prompt is {model.encoder.prompt!r}; it must contain {{}}")
    method_class(model.method).check(model.head, model.sections, clips.frames)
