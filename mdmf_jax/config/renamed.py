"""Old names of settings, as version 0.1.0 wrote them; accepted for one version more."""

import sys
from collections.abc import Mapping
from typing import Any

SECTIONS = {"clip": "encoder", "segments": "tuples"}
# Within the sections as they are called now.
NAMES = {
    "tuples.tuples": "tuples.counts",
    "mdmf.smoothing": "mdmf.temperature",
    "clip_fsar.smoothing": "clip_fsar.temperature",
    "otam.smoothing": "otam.temperature",
    "data.test_views": "data.test_clips",
    "train.cached_views": "train.cached_clips",
    "eval.part": "eval.split",
}
VALUES = {("mdmf.matcher", "segments"): "tuples"}

_warned: set[str] = set()


def new_name(path: str) -> str:
    """The name of today for a dotted name, or for the name of a section."""
    section, dot, name = path.partition(".")
    path = SECTIONS.get(section, section) + dot + name
    return NAMES.get(path, path)


def new_value(path: str, value: Any) -> Any:
    """The value of today.

    Args:
      path: the name of today.
    """
    return VALUES.get((path, value), value) if isinstance(value, str) else value


def new_settings(settings: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Nested settings under the names of today, and {old name: new name} of those renamed.

    A setting given under both names has the value of the old one: a config has a default for
    the new one already.
    """
    fresh: dict[str, Any] = {}
    aged: dict[str, Any] = {}
    changed: dict[str, str] = {}
    for section, values in settings.items():
        name = SECTIONS.get(section, section)
        if name != section:
            changed[section] = name
        kept, renamed = _section(name, values, changed)
        _put(fresh if name == section else aged, name, kept)
        _put(aged, name, renamed)
    for name, values in aged.items():
        _put(fresh, name, values)
    return fresh, changed


def warn(changed: Mapping[str, str]) -> None:
    """One line on stderr that gives the new names; each old name is named once in a process."""
    pairs = [f"{old} is now {new}" for old, new in changed.items() if old not in _warned]
    _warned.update(changed)
    if pairs:
        print(f"warning: old names of settings: {', '.join(pairs)}", file=sys.stderr)


def _section(name: str, values: Any, changed: dict[str, str]) -> tuple[Any, Any]:
    """A section's settings that keep their names, and those that do not."""
    if not isinstance(values, Mapping):
        return new_value(name, values), {}
    kept, renamed = {}, {}
    for key, value in values.items():
        path = NAMES.get(f"{name}.{key}", f"{name}.{key}")
        fresh = new_value(path, value)
        if fresh != value:
            changed[f"{path}={value}"] = f"{path}={fresh}"
        if path == f"{name}.{key}":
            kept[key] = fresh
        else:
            changed[f"{name}.{key}"] = path
            renamed[path.partition(".")[2]] = fresh
    return kept, renamed


def _put(settings: dict[str, Any], name: str, values: Any) -> None:
    old = settings.get(name)
    if isinstance(values, Mapping) and isinstance(old, Mapping):
        settings[name] = {**old, **values}
    elif not isinstance(values, Mapping) or values or old is None:
        settings[name] = values
