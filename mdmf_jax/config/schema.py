"""Which settings there are: the sections of a config, from the registries at the time of the call.

A config has the settings at its top, the fixed sections, a section `encoder`, and one for each
few-shot method; methods may share further sections. A run reads those of its encoder and method.
"""

from collections.abc import Iterator
from dataclasses import Field, dataclass, fields
from typing import Any, Literal, get_type_hints

from mdmf_jax.config.fields import effect, setting
from mdmf_jax.config.sections import CheckpointSection, EvalSection, TrainSection
from mdmf_jax.data.settings import DataSection, EpisodeSection, TextsSection
from mdmf_jax.models.encoders.registry import ENCODERS, encoder_class
from mdmf_jax.models.methods.registry import METHODS, method_class

FIXED: dict[str, type] = {
    "data": DataSection,
    "episode": EpisodeSection,
    "train": TrainSection,
    "checkpoint": CheckpointSection,
    "eval": EvalSection,
}
# Sections that a config may lack, as those of version 0.1.0 do.
LATER: dict[str, type] = {"texts": TextsSection}
DEFAULT_ENCODER = "clip"


@dataclass(frozen=True)
class TopSettings:
    """The settings that are in no section."""

    variant: Literal["corrected", "reference"] = setting(
        "corrected", 'or "reference": as the published code'
    )
    method: str = setting("mdmf", "few-shot method; its options are in the section of its name")
    seed: int = setting(
        0,
        "of parameters, episodes, frames, dropout and prompt draws",
        min=0,
        affects="features",
    )


@dataclass(frozen=True)
class EncoderName:
    """What the section `encoder` has besides the options of the encoder."""

    name: str = setting(DEFAULT_ENCODER, "which encoder; its options are in this section")


def run_sections(method: str, encoder: str) -> dict[str, type]:
    """The options dataclasses that a run reads, by section; `encoder` has a name besides.

    Raises:
      ConfigError: no such method or encoder.
    """
    own = method_class(method)
    options = encoder_class(encoder).Config
    return {"encoder": options} | FIXED | LATER | dict(own.sections) | {method: own.Config}


def all_sections(encoder: str = DEFAULT_ENCODER) -> dict[str, type]:
    """The same with the sections of every method.

    Raises:
      ConfigError: no such encoder.
    """
    sections = {"encoder": encoder_class(encoder).Config} | FIXED | LATER
    for name, own in METHODS.items():
        sections |= {name: own.Config} | dict(own.sections)
    return sections


def options(sections: dict[str, type]) -> Iterator[tuple[str, Field, Any]]:
    """(dotted name, field, type) of the top settings and of the given sections."""
    yield from _fields("", TopSettings)
    for name, cls in sections.items():
        if name == "encoder":
            yield from _fields("encoder.", EncoderName)
        yield from _fields(f"{name}.", cls)


def effects(encoder: str = DEFAULT_ENCODER) -> dict[str, str]:
    """What every setting affects, by dotted name; see `mdmf_jax.config.fields.AFFECTS`."""
    return {
        path: effect(field, of_encoder=path.startswith("encoder."))
        for path, field, _ in options(all_sections(encoder))
    }


def known_settings() -> dict[str, list[str]]:
    """Names of all settings by section; "" holds the sections and the top-level settings.

    The section `encoder` has the options of all encoders.
    """
    known: dict[str, list[str]] = {"": [field.name for field in fields(TopSettings)]}
    for encoder in ENCODERS:
        for path, _, _ in options(all_sections(encoder)):
            section, _, name = path.rpartition(".")
            names = known.setdefault(section, [])
            if name not in names:
                names.append(name)
    known[""] += [name for name in known if name]
    return known


def _fields(prefix: str, cls: type) -> Iterator[tuple[str, Field, Any]]:
    hints = get_type_hints(cls)
    for field in fields(cls):
        if field.init:
            yield prefix + field.name, field, hints[field.name]
