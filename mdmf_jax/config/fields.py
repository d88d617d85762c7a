"""Strict conversion of plain settings (from a config file or JSON) to frozen dataclasses."""

import difflib
import types
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from mdmf_jax.errors import ConfigError

# Bounds of a number: the name in a field's metadata, the words of the message, the test.
BOUNDS = (
    ("min", "at least", lambda value, bound: value >= bound),
    ("max", "at most", lambda value, bound: value <= bound),
    ("above", "above", lambda value, bound: value > bound),
    ("below", "below", lambda value, bound: value < bound),
)


def build_section(
    cls: type,
    values: Any,
    section: str,
    limits: Mapping[str, Any] = types.MappingProxyType({}),
) -> Any:
    """An instance of the dataclass `cls` from a mapping, every value checked.

    Types are those of the dataclass's annotations: bool, int, float (an int will do), str,
    Literal, tuple[int, ...] and tuple[str, ...] (a list will do). A field's metadata may hold
    bounds ("min", "max", "above", "below"); for tuples they hold for each item.

    Args:
      section: name of the section, for messages.
      limits: by field name, a tuple of the allowed texts or a dict of bounds.

    Raises:
      ConfigError: an unknown or missing key, a wrong type or a bad value.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{section} is {values!r}; it must be a section with settings")
    names = [field.name for field in fields(cls)]
    for key in values:
        check_known(str(key), names, section)
    hints, checked = get_type_hints(cls), {}
    for field in fields(cls):
        path = f"{section}.{field.name}"
        if field.name in values:
            value = convert(values[field.name], hints[field.name], path)
            _check_limit(value, limits.get(field.name, field.metadata), path)
            checked[field.name] = value
        elif field.default is MISSING:
            raise ConfigError(f"setting {path} is missing")
    return cls(**checked)


def check_known(name: str, known: Iterable[str], section: str = "") -> None:
    """Raises ConfigError, naming the known settings of the section, unless `name` is known."""
    known = sorted(known)
    if name in known:
        return
    prefix = f"{section}." if section else ""
    close = difflib.get_close_matches(name, known, n=1)
    hint = f" (did you mean {prefix}{close[0]}?)" if close else ""
    place = f" in {section}" if section else ""
    raise ConfigError(f"unknown setting {prefix}{name}{hint}; known{place}: {', '.join(known)}")


def convert(value: Any, kind: Any, path: str) -> Any:
    """`value` as the type `kind`; ConfigError if it is of another type."""
    if get_origin(kind) is Literal:
        _check_choice(value, get_args(kind), path)
        return value
    if get_origin(kind) is tuple:
        if not isinstance(value, tuple | list):
            raise ConfigError(f"{path} is {value!r}; it must be a tuple such as (1, 5)")
        return tuple(convert(item, get_args(kind)[0], path) for item in value)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise ConfigError(f"{path} is {value!r}; it must be of type {kind.__name__}")
    return value


def _check_limit(value: Any, limit: tuple[str, ...] | Mapping[str, float], path: str) -> None:
    if isinstance(limit, tuple):
        _check_choice(value, limit, path)
        return
    for item in value if isinstance(value, tuple) else (value,):
        for name, words, holds in BOUNDS:
            if name in limit and not holds(item, limit[name]):
                raise ConfigError(f"{path} is {item!r}; it must be {words} {limit[name]}")


def _check_choice(value: Any, choices: tuple[str, ...], path: str) -> None:
    if value not in choices:
        raise ConfigError(f"{path} is {value!r}; known: {', '.join(map(str, choices))}")
