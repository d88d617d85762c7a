"""Strict conversion of plain settings (from a config file or JSON) to frozen dataclasses."""

import ast
import difflib
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
BOOLS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def build_section(cls: type, values: Any, section: str, complete: bool = False) -> Any:
    """An instance of the dataclass `cls` from a mapping, every value checked.

    Types, choices and bounds are those of the fields; see `mdmf_jax.config.fields.setting`. An
    int will do for a float, a list for a tuple.

    Args:
      section: name of the section, for messages.
      complete: a missing setting is an error, even if it has a default.

    Raises:
      ConfigError: an unknown or missing key, a wrong type or a bad value.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{section} is {values!r}; it must be a section with settings")
    known = {field.name: field for field in fields(cls) if field.init}
    for key in values:
        check_known(str(key), known, section)
    hints, checked = get_type_hints(cls), {}
    for name, field in known.items():
        path = f"{section}.{name}" if section else name
        if name in values:
            value = convert(values[name], hints[name], path)
            _check_limits(value, field.metadata, path)
            checked[name] = value
        elif complete or field.default is MISSING:
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


def parse(text: str, kind: Any, path: str) -> Any:
    """A value of the type `kind` from a command line; a single value will do for a tuple.

    Raises:
      ConfigError: the text is not such a value.
    """
    if get_origin(kind) is Literal or kind is str:
        return convert(text, kind, path)
    if kind is bool:
        if text.lower() in BOOLS:
            return BOOLS[text.lower()]
        raise ConfigError(f"{path} is {text!r}; it must be True or False")
    if kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            raise ConfigError(f"{path} is {text!r}; it must be of type {kind.__name__}") from None
    value = _literal(text)
    return convert(value if isinstance(value, tuple | list) else (value,), kind, path)


def _literal(text: str) -> Any:
    """A Python literal; any other text stands for itself."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return text


def _check_limits(value: Any, limits: Mapping[str, Any], path: str) -> None:
    for item in value if isinstance(value, tuple) else (value,):
        if "choices" in limits:
            _check_choice(item, limits["choices"], path)
        for name, words, holds in BOUNDS:
            if name in limits and not holds(item, limits[name]):
                raise ConfigError(f"{path} is {item!r}; it must be {words} {limits[name]}")


def _check_choice(value: Any, choices: tuple[str, ...], path: str) -> None:
    if value not in choices:
        raise ConfigError(f"{path} is {value!r}; known: {', '.join(map(str, choices))}")
