"""Which settings must be the same for two runs to share a checkpoint."""

from collections.abc import Mapping
from typing import Any

# Settings that may change between two runs over one checkpoint; all others must be the same.
# A name ending in ".*" stands for the whole section.
MAY_CHANGE = (
    "train.steps",
    "train.log_every",
    "train.on_nan",
    "train.max_skipped",
    "checkpoint.*",
    "train.model_devices",
    "train.shard_params",
    "train.micro_batch",
    "train.remat",
    "train.profile_from",
    "train.profile_steps",
    "encoder.attention",
    "eval.*",
    "data.root",
    "data.loader",
    "data.workers",
    "data.cache",
)


def differences(saved: Mapping[str, Any], current: Mapping[str, Any]) -> list[str]:
    """Texts "key: saved -> current" of the settings that differ and may not.

    Args:
      saved, current: nested settings as `config.to_dict` gives them.
    """
    saved, current = _flat(saved), _flat(current)
    changed = []
    for key in sorted(saved.keys() | current.keys()):
        free = key in MAY_CHANGE or f"{key.split('.')[0]}.*" in MAY_CHANGE
        if not free and saved.get(key) != current.get(key):
            changed.append(f"{key}: {saved.get(key)!r} -> {current.get(key)!r}")
    return changed


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    flat = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat |= {f"{name}.{key}": item for key, item in value.items()}
        else:
            flat[name] = value
    return flat
