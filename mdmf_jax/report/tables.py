"""What sections and tables of a page hold, as plain data; parts.html.jinja writes it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes:
      text: what it says.
      kind: "name" for text from the data, whose direction of writing stays inside; "bar" draws
        `share` before the text.
      share: 0..1.
      note: more text behind a name.
      wrong: marks a wrong answer.
    """

    text: str
    kind: Literal["text", "name", "bar"] = "text"
    share: float = 0.0
    note: str = ""
    wrong: bool = False


@dataclass(frozen=True)
class Table:
    """A table whose first column names the rows.

    Attributes:
      look: "" or a class of report.css. Rows of "stacked" and "queries" tables become blocks on
        a narrow screen, so that no column hides.
    """

    caption: str
    headers: Sequence[Cell]
    rows: Sequence[Sequence[Cell]]
    look: str = ""


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
      identifier: its address on the page.
      link: its name in the list of parts.
      template: file that writes what stands below the heading.
      data: values for the template.
    """

    identifier: str
    link: str
    title: str
    template: str
    data: Mapping[str, Any] = field(default_factory=dict)


def table(
    caption: str, headers: Iterable[Any], rows: Iterable[Iterable[Any]], look: str = ""
) -> Table:
    """A table of cells; what is not a `Cell` becomes one of plain text."""
    written = [_cells(row) for row in rows]
    return Table(caption, _cells(headers), written, look)


def name(value: Any, note: str = "", wrong: bool = False) -> Cell:
    """A name from the data."""
    return Cell(str(value), "name", note=note, wrong=wrong)


def pairs(caption: str, rows: Iterable[tuple[Any, Any]]) -> Table:
    """A table of names and values."""
    return table(caption, ["name", "value"], ([name(k), name(v)] for k, v in rows), "pairs")


def settings_list(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested settings as (dotted name, value), in order."""
    found = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            found += settings_list(value, f"{prefix}{key}.")
        else:
            found.append((f"{prefix}{key}", "" if value is None else str(value)))
    return found


def _cells(values: Iterable[Any]) -> list[Cell]:
    return [value if isinstance(value, Cell) else Cell(str(value)) for value in values]
