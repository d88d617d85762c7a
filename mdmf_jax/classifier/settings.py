"""Settings that a saved model needs: method, prompt, frames."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from mdmf_jax.config.fields import build_section
from mdmf_jax.errors import ConfigError
from mdmf_jax.models.encoders.clip.config import CLIPConfig
from mdmf_jax.models.layers.tuple_matcher import TupleOptions
from mdmf_jax.models.methods import registry as methods
from mdmf_jax.models.methods.checks import check_method

_LEAST_1 = {"min": 1}
_OF_CLIP = ("prompt", "normalise")
_OF_DATA = ("frames", "resize", "crop", "pipeline", "sampling", "test_clips")


@dataclass(frozen=True)
class Settings:
    """Settings of a model in use.

    Attributes:
      method: name of the few-shot method.
      prompt: such as "a photo of {}"; {} stands for the class name.
      normalise: "clip" (mean and deviation) or "none" (pixels 0..1).
      frames: T, frames taken of a video or of a window.
      resize, crop, pipeline, sampling, test_clips: as in the section `data` of a config.
      head: options of the method.
      tuples: options of the methods that compare frame tuples.
      seed: of the run; names random draws of frames, where `sampling` draws them in a test.
    """

    method: str
    prompt: str
    normalise: Literal["clip", "none"]
    frames: int = field(metadata=_LEAST_1)
    resize: int = field(metadata=_LEAST_1)
    crop: int = field(metadata=_LEAST_1)
    pipeline: Literal["mdmf", "clip_fsar"]
    sampling: Literal["ends", "segments", "span"]
    test_clips: int = field(metadata=_LEAST_1)
    head: Any = None
    tuples: TupleOptions = TupleOptions()
    seed: int = field(default=0, metadata={"min": 0})


def settings_of_run(values: Mapping[str, Any]) -> Settings:
    """The settings of a run, from all its settings as its checkpoints keep them.

    Raises:
      ConfigError: one is missing or of a wrong kind.
    """
    clip, data, method = (values.get(name) for name in ("encoder", "data", "method"))
    if not (isinstance(clip, Mapping) and isinstance(data, Mapping) and isinstance(method, str)):
        raise ConfigError("these are no settings of a run: clip, data or method is missing")
    found = {"method": method} | {k: data[k] for k in _OF_DATA if k in data}
    found |= {k: clip[k] for k in _OF_CLIP if k in clip}
    found |= {"seed": values["seed"]} if "seed" in values else {}
    parts = {"head": values.get(method, {}), "tuples": values.get("tuples", {})}
    return settings_from_dict(found | parts)


def settings_of_clip(clip: CLIPConfig, method: str, prompt: str = "a photo of {}") -> Settings:
    """Settings for a CLIP and a method without training: 8 frames, the usual resize and crop.

    Raises:
      ConfigError: no such method.
    """
    crop = clip.vision.image_size
    return Settings(
        method,
        prompt,
        normalise="clip",
        frames=8,
        resize=crop * 8 // 7,
        crop=crop,
        pipeline="mdmf",
        sampling="ends",
        test_clips=1,
        head=methods.config_class(method)(),
    )


def settings_to_dict(settings: Settings) -> dict[str, Any]:
    """For JSON; `settings_from_dict` reads it back."""
    return asdict(settings)


def settings_from_dict(values: Any) -> Settings:
    """Checked settings.

    Raises:
      ConfigError: an unknown or missing key, a wrong type or a bad value.
    """
    if not isinstance(values, Mapping):
        raise ConfigError("settings: must be an object with settings")
    parts = {"head": {}, "tuples": {}}
    common = {k: v for k, v in values.items() if k not in parts}
    parts |= {k: v for k, v in values.items() if k in parts}
    built = build_section(Settings, common, "settings")
    kind, limits = methods.config_class(built.method), methods.METHOD_LIMITS.get(built.method, {})
    head = build_section(kind, parts["head"], "settings.head", limits)
    tuples = build_section(TupleOptions, parts["tuples"], "settings.tuples", methods.TUPLE_LIMITS)
    if built.resize < built.crop:
        raise ConfigError(f"settings.resize is {built.resize}, less than crop ({built.crop})")
    if "{}" not in built.prompt:
        raise ConfigError(f"settings.prompt is {built.prompt!r}; it must contain {{}}")
    check_method(built.method, head, tuples, built.frames)
    return Settings(**{k: getattr(built, k) for k in common}, head=head, tuples=tuples)
