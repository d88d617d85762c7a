"""The two variants: the published code as it is, and with its known slips corrected."""

from collections.abc import Mapping
from typing import Any

from mdmf_jax.config.fields import switches
from mdmf_jax.config.schema import run_sections
from mdmf_jax.models.methods.registry import method_class


def switch_values(variant: str, method: str, encoder: str) -> dict[str, Any]:
    """What the variant sets, by dotted name, for a run of a method and an encoder.

    Raises:
      ConfigError: no such method or encoder.
    """
    published, found = method_class(method).published, {}
    for section, cls in run_sections(method, encoder).items():
        for name, field in switches(cls).items():
            path = f"{section}.{name}"
            reference = published.get(path, field.metadata["reference"])
            found[path] = reference if variant == "reference" else field.default
    return found


def resolve(settings: Mapping[str, Any], variant: str, method: str, encoder: str) -> dict[str, Any]:
    """Nested settings in which every switch that is None has the value of the variant.

    A setting that is given wins over the variant.

    Raises:
      ConfigError: no such method or encoder.
    """
    resolved = {k: dict(v) if isinstance(v, Mapping) else v for k, v in settings.items()}
    decided = switch_values(variant, method, encoder)
    data = resolved.get("data")
    if variant == "corrected" and isinstance(data, dict):
        decided["data.flip"] = not data.get("left_right")
    for path, value in decided.items():
        section, name = path.split(".")
        values = resolved.get(section)
        if isinstance(values, dict) and values.get(name) is None:
            values[name] = value
    return resolved
