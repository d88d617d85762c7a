"""Which settings must be the same for two runs to share a checkpoint."""

from collections.abc import Mapping
from typing import Any

from mdmf_jax.config import renamed
from mdmf_jax.config.affecting import flattened
from mdmf_jax.config.fields import FIXED_BY_CHECKPOINT
from mdmf_jax.config.schema import DEFAULT_ENCODER, all_sections, effects, options, run_sections
from mdmf_jax.models.methods.registry import METHODS


def differences(saved: Mapping[str, Any], current: Mapping[str, Any]) -> list[str]:
    """Texts "key: saved -> current" of the settings that differ and may not.

    A setting that the saved run did not know yet had its default. A setting that is unknown
    today counts.

    Args:
      saved, current: nested settings as `config.to_dict` gives them.

    Raises:
      ConfigError: no such encoder.
    """
    saved, current = renamed.new_settings(saved)[0], renamed.new_settings(current)[0]
    encoder = _encoder(current)
    found, defaults = effects(encoder), _defaults(encoder)
    before, now = _read_by_run(saved), _read_by_run(current)
    if _ends_with_the_run(now):
        found["train.steps"] = "result"
    changed = []
    for key in sorted(before.keys() | now.keys()):
        old, new = (values.get(key, defaults.get(key)) for values in (before, now))
        if found.get(key, "result") in FIXED_BY_CHECKPOINT and old != new:
            changed.append(f"{key}: {old!r} -> {new!r}")
    return changed


def _ends_with_the_run(flat: Mapping[str, Any]) -> bool:
    """Whether the learning rate depends on the number of steps."""
    return flat.get("train.schedule") == "cosine" and not flat.get("train.schedule_steps")


def _encoder(settings: Mapping[str, Any]) -> str:
    section = settings.get("encoder")
    return section.get("name", DEFAULT_ENCODER) if isinstance(section, Mapping) else DEFAULT_ENCODER


def _defaults(encoder: str) -> dict[str, Any]:
    # Of JSON, in which tuples are lists.
    return {
        path: list(field.default) if isinstance(field.default, tuple) else field.default
        for path, field, _ in options(all_sections(encoder))
    }


def _read_by_run(settings: Mapping[str, Any]) -> dict[str, Any]:
    """By dotted name, without the sections of other methods."""
    method = str(settings.get("method"))
    others = set()
    if method in METHODS:
        others = set(all_sections()) - set(run_sections(method, DEFAULT_ENCODER))
    return flattened({name: value for name, value in settings.items() if name not in others})
