"""The settings of a run as frozen dataclasses, from nested dictionaries and back."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from ml_collections.config_dict import ConfigDict

from mdmf_jax.config import renamed
from mdmf_jax.config.convert import build_section, check_known
from mdmf_jax.config.param_groups import param_groups
from mdmf_jax.config.schema import (
    DEFAULT_ENCODER,
    FIXED,
    EncoderName,
    TopSettings,
    known_settings,
    run_sections,
)
from mdmf_jax.config.sections import CheckpointSection, EvalSection, TrainSection
from mdmf_jax.config.variants import resolve
from mdmf_jax.data.settings import DataSection, EpisodeSection, TextsSection
from mdmf_jax.errors import ConfigError
from mdmf_jax.models.encoders.registry import encoder_class
from mdmf_jax.models.methods.registry import method_class

ALL_BUT = "^(?!"  # begins a regular expression that matches what another does not


@dataclass(frozen=True)
class Config:
    """All settings of a run.

    Attributes:
      variant, method, seed: see `TopSettings`.
      encoder_name: name of the encoder.
      encoder: its options, an instance of its Config.
      head: options of the method, an instance of its Config.
      sections: the options that the method shares with others, by the name of their section.
    """

    variant: Literal["corrected", "reference"]
    method: str
    seed: int
    encoder_name: str
    encoder: Any
    data: DataSection
    texts: TextsSection
    episode: EpisodeSection
    train: TrainSection
    checkpoint: CheckpointSection
    eval: EvalSection
    head: Any
    sections: Mapping[str, Any] = field(default_factory=dict)

    @property
    def frozen(self) -> tuple[str, ...]:
        """Regular expressions of the parameters that training leaves as they are."""
        trains = encoder_class(self.encoder_name).trains(self.encoder)
        # The slash stays for patterns that begin with one.
        own = ("^head/", f"^encoder(?=/).*(?:{trains})") if trains else ()
        chosen, freeze = self.train.trained or own, self.train.freeze
        if trains:  # A frozen CLIP has trained adapters, unless they are named.
            spared = f"{ALL_BUT}.*/adapter).*"
            freeze = tuple(p if "adapter" in p else f"{spared}(?:{p})" for p in freeze)
        if not chosen:
            return freeze
        others = "|".join(f"(?:{pattern})" for pattern in chosen)
        return (f"{ALL_BUT}.*(?:{others}))", *freeze)


def from_config_dict(settings: Mapping[str, Any] | ConfigDict) -> Config:
    """Checks settings (an ml_collections ConfigDict or a plain nested dict) and freezes them.

    Switches that are None take the value of the variant. Old names are accepted with a warning.

    Raises:
      ConfigError: an unknown or missing key, a wrong type or a bad value; the message names it.
    """
    plain, changed = renamed.new_settings(_plain(settings))
    renamed.warn(changed)
    return _build(plain, complete=True)


def from_stored(settings: Mapping[str, Any]) -> Config:
    """The same for the settings in a checkpoint or in a file of results.

    Old names are accepted in silence, and settings that did not exist yet take their defaults.

    Raises:
      ConfigError: as `from_config_dict`.
    """
    return _build(renamed.new_settings(_plain(settings))[0], complete=False)


def to_dict(config: Config) -> dict[str, Any]:
    """The settings as a plain nested dict for JSON; `from_config_dict` reads it back."""
    settings = asdict(config)
    settings["encoder"] = {"name": settings.pop("encoder_name")} | settings["encoder"]
    settings |= settings.pop("sections")
    settings[config.method] = settings.pop("head")
    return {
        name: {k: list(v) if isinstance(v, tuple) else v for k, v in value.items()}
        if isinstance(value, dict)
        else value
        for name, value in settings.items()
    }


def _plain(settings: Mapping[str, Any] | ConfigDict) -> dict[str, Any]:
    return settings.to_dict() if isinstance(settings, ConfigDict) else dict(settings)


def _build(settings: dict[str, Any], complete: bool) -> Config:
    """
    Args:
      settings: under the names of today.
      complete: a missing setting of a fixed section is an error.
    """
    known = known_settings()[""]
    for name in settings:
        check_known(str(name), known)
    needed = [f.name for f in fields(TopSettings)] + ["encoder", *FIXED]
    for name in needed:
        if complete and name not in settings:
            raise ConfigError(f"setting {name} is missing")
    top = {name: settings[name] for name in needed[:3] if name in settings}
    scalars = build_section(TopSettings, top, "")
    encoder = _encoder_name(settings.get("encoder", {}))
    sections = run_sections(scalars.method, encoder)
    optional = set(sections) - set(FIXED) if complete else set(sections)
    filled = settings | {name: settings.get(name, {}) for name in optional}
    filled = resolve(filled, scalars.variant, scalars.method, encoder)
    if isinstance(filled["encoder"], dict):
        filled["encoder"].pop("name", None)
    built = {
        name: build_section(cls, filled[name], name, complete and name in FIXED)
        for name, cls in sections.items()
    }
    shared = {name: built.pop(name) for name in method_class(scalars.method).sections}
    head = built.pop(scalars.method)
    config = Config(**asdict(scalars), encoder_name=encoder, **built, head=head, sections=shared)
    _check_together(config)
    return config


def _encoder_name(section: Any) -> str:
    if not isinstance(section, Mapping):
        return DEFAULT_ENCODER  # its section is refused in its turn
    given = {"name": section["name"]} if "name" in section else {}
    return build_section(EncoderName, given, "encoder").name


def _check_together(config: Config) -> None:
    if config.data.resize < config.data.crop:
        raise ConfigError(
            f"data.resize is {config.data.resize}; it must be at least data.crop "
            f"({config.data.crop})"
        )
    method_class(config.method).check(config.head, config.sections, config.data.frames)
    if not config.eval.shots:
        raise ConfigError("eval.shots is empty; give at least one number of shots")
    prompt = getattr(config.encoder, "prompt", "{}")
    if "{}" not in prompt:
        raise ConfigError(f"encoder.prompt is {prompt!r}; it must contain {{}}")
    _check_texts(config.texts)
    param_groups(config.train.groups)  # which says what is wrong with them
    for name in ("trained", "freeze", "no_decay"):
        for pattern in getattr(config.train, name):
            try:
                re.compile(pattern)
            except re.error as error:
                raise ConfigError(f"train.{name}: {pattern!r} is not a regex: {error}") from None


def _check_texts(texts: TextsSection) -> None:
    for template in texts.prompts:
        if "{}" not in template:
            raise ConfigError(f"texts.prompts: {template!r} must contain {{}}")
    if "{text}" not in texts.sentence:
        raise ConfigError(f"texts.sentence is {texts.sentence!r}; it must contain {{text}}")
    if texts.prompts and texts.descriptions:
        raise ConfigError("texts.prompts and texts.descriptions are both set; take one of them")
