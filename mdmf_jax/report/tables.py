"""Tables and sections that are read aloud in order, scroll by themselves and print."""

from collections.abc import Iterable, Sequence
from typing import Any

from mdmf_jax.report.markup import Markup, tag


def section(identifier: str, title: str, *content: Any) -> Markup:
    """A part of the page with a heading."""
    heading = tag("h2", title, id=f"{identifier}-title")
    return tag("section", heading, content, id=identifier, aria_labelledby=f"{identifier}-title")


def table(
    caption: str,
    headers: Sequence[Any],
    rows: Iterable[Sequence[Any]],
    class_: str | None = None,
) -> Markup:
    """A table whose first column names the rows; it scrolls sideways where it is too wide."""
    head = tag("tr", [tag("th", header, scope="col") for header in headers])
    body = [
        tag("tr", tag("th", first, scope="row"), [tag("td", cell) for cell in rest])
        for first, *rest in rows
    ]
    written = tag(
        "table", tag("caption", caption), tag("thead", head), tag("tbody", body), class_=class_
    )
    return scrolling(written, caption)


def scrolling(content: Markup, label: str) -> Markup:
    """Content in a box that scrolls sideways, also by keyboard."""
    return tag("div", content, class_="scroll", role="region", aria_label=label, tabindex=0)


def settings_list(values: dict, prefix: str = "") -> list[tuple[str, str]]:
    """Nested settings as (dotted name, value), in order."""
    found = []
    for key, value in values.items():
        if isinstance(value, dict):
            found += settings_list(value, f"{prefix}{key}.")
        else:
            found.append((f"{prefix}{key}", "" if value is None else str(value)))
    return found
