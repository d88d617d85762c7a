"""The parts of a page that a comparison of methods fills."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mdmf_jax.comparison import tables as rows_of
from mdmf_jax.comparison.plots import forest_plot
from mdmf_jax.report import markup
from mdmf_jax.report.markup import Markup, tag
from mdmf_jax.report.strips import data_address
from mdmf_jax.report.tables import scrolling, section, settings_list, table


def overview_section(results: Mapping[str, Any]) -> Markup:
    """Accuracy of every method and the paired differences, as a table and as a plot."""
    entries = results["entries"]
    tiles = [
        tag("li", markup.name(e["name"]), tag("strong", rows_of.with_interval(e)), e["trained"])
        for e in sorted(entries, key=lambda e: -e["accuracy"])
    ]
    alt = "Accuracy of every method and its difference to the first, with 95% intervals"
    address = data_address(_forest(results), "image/svg+xml")
    return section(
        "overview",
        "Overview",
        tag("ul", tiles, class_="figures"),
        _written(rows_of.task_line(results), rows_of.overview(results)),
        scrolling(
            tag("figure", tag("img", src=address, alt=alt, class_="drawing"), class_="wide"), alt
        ),
        [tag("p", note, class_="note") for note in rows_of.NOTES],
    )


def pairs_section(results: Mapping[str, Any]) -> Markup | None:
    """Episodes of two classes that differ in order only; None if there are none."""
    if not results["pairs"]:
        return None
    pairs = [
        tag("li", markup.name(one), " / ", markup.name(other))
        for one, other in results["pairs"]["classes"]
    ]
    return section(
        "pairs",
        "Order pairs",
        _written(rows_of.pair_line(results), rows_of.pair_rows(results)),
        tag("details", tag("summary", f"The {len(pairs)} pairs"), tag("ul", pairs)),
    )


def class_differences_section(results: Mapping[str, Any]) -> Markup:
    """Accuracy of the first method by class, and the differences of the others to it."""
    caption = "Accuracy of the first method, and differences of the others to it, in points"
    return section("classes", "Classes", _written(caption, rows_of.class_rows(results)))


def comparison_facts_section(results: Mapping[str, Any]) -> Markup:
    """Date, seed, versions, hardware and the settings of every method."""
    pairs = [("date", results["date"]), ("seed", str(results["task"]["seed"]))]
    pairs += settings_list(dict(results["versions"]), "version of ")
    pairs += settings_list(dict(results["hardware"]), "hardware: ")
    written = [_listed("Date, seed, versions and hardware", pairs)]
    for entry in results["entries"]:
        settings = settings_list(dict(entry["settings"]))
        words = f"Settings of {entry['name']}"
        written.append(tag("details", tag("summary", words), _listed(words, settings)))
    return section("settings", "Settings, versions, hardware", written)


def _forest(results: Mapping[str, Any]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        _, drawing = forest_plot(results, Path(folder))
        return drawing.read_bytes()


def _written(caption: str, found: tuple[Sequence[str], Sequence[Sequence[Any]]]) -> Markup:
    headers, rows = found
    named = [markup.name(header) for header in headers]
    return table(caption, named, [[markup.name(cell) for cell in row] for row in rows])


def _listed(caption: str, pairs: Sequence[tuple[str, str]]) -> Markup:
    named = [(markup.name(k), markup.name(v)) for k, v in pairs]
    return table(caption, ["name", "value"], named, class_="pairs")
