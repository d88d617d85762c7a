"""HTML and SVG from Python calls. All text is escaped unless it was made here."""

import html
import re
from collections.abc import Iterable
from typing import Any

_VOID = frozenset({"br", "col", "hr", "img", "link", "meta"})
# What HTML does not allow as text. Directions of writing end with the element that holds them.
_FORBIDDEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


class Markup(str):
    """Text that is markup already."""


def tag(name: str, /, *children: Any, **attributes: Any) -> Markup:
    """An element.

    Args:
      children: text (escaped), markup, or nested lists of them; None is left out.
      attributes: values are escaped; None and False leave the attribute out, True writes it
        without a value. `class_` means class, `aria_label` means aria-label.
    """
    written = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in _VOID:
        return Markup(f"<{name}{written}>")
    return Markup(f"<{name}{written}>{join(*children)}</{name}>")


def join(*children: Any) -> Markup:
    """Children one after the other; see `tag`."""
    return Markup("".join(_texts(children)))


def text(value: Any) -> Markup:
    """A value as escaped text, also fit for an attribute in double quotes."""
    return Markup(html.escape(allowed(str(value)), quote=True))


def allowed(value: str) -> str:
    """Text with a sign in place of each character that HTML and XML do not allow."""
    return _FORBIDDEN.sub("\ufffd", value)


def name(value: Any) -> Markup:
    """A name from the data; its direction of writing does not reach the text around it."""
    return tag("bdi", value)


def _texts(children: Iterable[Any]) -> Iterable[str]:
    for child in children:
        if isinstance(child, Markup):
            yield child
        elif isinstance(child, list | tuple):
            yield from _texts(child)
        elif child is not None:
            yield text(child)


def _attribute(key: str, value: Any) -> str:
    if value is None or value is False:
        return ""
    key = key.rstrip("_").replace("_", "-")
    return f" {key}" if value is True else f' {key}="{text(value)}"'
