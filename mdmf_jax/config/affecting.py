"""Which settings of a run matter where."""

from collections.abc import Mapping
from typing import Any

from mdmf_jax.config.config import Config, to_dict
from mdmf_jax.config.fields import effect
from mdmf_jax.config.schema import DEFAULT_ENCODER, options, run_sections


def affecting(settings: Config | Mapping[str, Any], *kinds: str) -> dict[str, Any]:
    """The settings of a run that affect one of `kinds`, by dotted name, plain data for JSON.

    Args:
      settings: a config, or nested settings as `to_dict` gives them; those that the run does not
        read are left out.
      kinds: keys of `mdmf_jax.config.fields.AFFECTS`.

    Raises:
      ConfigError: no such method or encoder.
    """
    plain = to_dict(settings) if isinstance(settings, Config) else settings
    encoder = plain.get("encoder", {}).get("name", DEFAULT_ENCODER)
    flat = flattened(plain)
    return {
        path: flat[path]
        for path, field, _ in options(run_sections(plain["method"], encoder))
        if path in flat and effect(field, path.startswith("encoder.")) in kinds
    }


def flattened(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Nested settings by dotted name."""
    flat = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat |= {f"{name}.{key}": item for key, item in value.items()}
        else:
            flat[name] = value
    return flat
