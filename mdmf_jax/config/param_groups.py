"""Groups of parameters with a learning rate and a decay of their own, as `train.groups` says."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from mdmf_jax.errors import ConfigError

_FORM = 'such as "^head/:rate=0.5,decay=0.01"'


class ParamGroup(NamedTuple):
    """Parameters whose path contains a match.

    Attributes:
      pattern: regular expression.
      rate: factor of the learning rate.
      decay: weight decay in the place of `train.weight_decay`; None for that one.
    """

    pattern: str
    rate: float = 1.0
    decay: float | None = None


def param_groups(texts: Sequence[str]) -> tuple[ParamGroup, ...]:
    """Groups from texts "REGEX:rate=FACTOR,decay=NUMBER", of which one of the two may be missing.

    Raises:
      ConfigError: a text is not of this form.
    """
    return tuple(_group(text) for text in texts)


def group_of(path: str, groups: Sequence[ParamGroup]) -> ParamGroup:
    """The first group that a parameter belongs to; one that changes nothing if there is none."""
    found = (group for group in groups if re.search(group.pattern, path))
    return next(found, ParamGroup(""))


def _group(text: str) -> ParamGroup:
    pattern, _, said = text.rpartition(":")
    values: dict[str, float] = {}
    for item in said.split(","):
        name, _, number = item.strip().partition("=")
        if not pattern or name not in ("rate", "decay") or name in values:
            raise ConfigError(f"train.groups: {text!r} must be a regex and numbers, {_FORM}")
        values[name] = _number(text, number)
    try:
        re.compile(pattern)
    except re.error as error:
        raise ConfigError(f"train.groups: {pattern!r} is not a regex: {error}") from None
    return ParamGroup(pattern, **values)


def _number(text: str, number: str) -> float:
    try:
        value = float(number)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise ConfigError(f"train.groups: {number!r} in {text!r} must be a number, at least 0")
    return value
