"""Types for argparse: numbers within bounds, and lists of them."""

import argparse
import re
from collections.abc import Callable

from mdmf_jax.errors import ConfigError


def whole(least: int) -> Callable[[str], int]:
    """A whole number of at least `least`."""

    def convert(text: str) -> int:
        if not re.fullmatch(r"\d+", text) or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} on")
        return int(text)

    return convert


def several_whole(text: str) -> tuple[int, ...]:
    """Whole numbers above 0 with commas between them."""
    return tuple(whole(1)(item) for item in text.split(","))


def positive(text: str) -> float:
    """A number above 0."""
    value = _number(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def share(text: str) -> float:
    """A number above 0 and at most 1."""
    value = _number(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0 and at most 1")
    return value


def ranges(text: str, flag: str, least: int) -> tuple[int, ...]:
    """Ascending numbers of a list such as "1,2,5", "1..10" or "5..20:5".

    Raises:
      ConfigError: it is not such a list, or holds a number below `least` or above 10,000.
    """
    found = set()
    for item in text.split(","):
        match = re.fullmatch(r"(\d{1,5})(?:\.\.(\d{1,5})(?::(\d{1,5}))?)?", item.strip())
        first, last, step = (match[1], match[2] or match[1], match[3] or "1") if match else "000"
        chosen = range(int(first), int(last) + 1, int(step) or 1)
        if not chosen or not int(step) or chosen[0] < least or chosen[-1] > 10000:
            raise ConfigError(
                f"{flag}: {item!r} is wrong; write 1,2,5 or 1..10 or 5..20:5, from {least} on"
            )
        found |= set(chosen)
    return tuple(sorted(found))


def _number(text: str) -> float:
    """0 for what is not a number."""
    try:
        return float(text)
    except ValueError:
        return 0.0
