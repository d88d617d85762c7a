"""The parts of a page that a comparison of methods fills."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mdmf_jax.comparison import tables as rows_of
from mdmf_jax.comparison.plots import forest_plot
from mdmf_jax.report.strips import data_address
from mdmf_jax.report.tables import Section, Table, name, pairs, settings_list, table


def overview_section(results: Mapping[str, Any]) -> Section:
    """Accuracy of every method and the paired differences, as a table and as a plot."""
    entries = sorted(results["entries"], key=lambda e: -e["accuracy"])
    several = rows_of.several_seeds(results)
    table_rows = rows_of.seed_rows(results) if several else rows_of.overview(results)
    data = {
        "tiles": [
            (e["name"], rows_of.judged(e, 1 / results["task"]["way"]), e["trained"])
            for e in entries
        ],
        "table": _written(rows_of.task_line(results), table_rows),
        "plot": data_address(_forest(results), "image/svg+xml"),
        "plot_label": (
            "Accuracy of every method and its difference to the first, with 95% intervals"
        ),
        "notes": rows_of.notes(results),
    }
    return Section("overview", "Overview", "Overview", "overview.html.jinja", data)


def pairs_section(results: Mapping[str, Any]) -> Section | None:
    """Episodes of two classes that differ in order only; None if there are none."""
    if not results["pairs"]:
        return None
    data = {
        "table": _written(rows_of.pair_line(results), rows_of.pair_rows(results)),
        "pairs": results["pairs"]["classes"],
    }
    return Section("pairs", "Order pairs", "Order pairs", "pairs.html.jinja", data)


def class_differences_section(results: Mapping[str, Any]) -> Section:
    """Accuracy of the first method by class, and the differences of the others to it."""
    caption = "Accuracy of the first method, and differences of the others to it, in points"
    tables = [_written(caption, rows_of.class_rows(results))]
    data = {"tables": tables, "folded": [], "note": ""}
    return Section("classes", "Classes", "Classes", "tables.html.jinja", data)


def comparison_facts_section(results: Mapping[str, Any]) -> Section:
    """Date, seed, versions, hardware and the settings of every method."""
    facts = [("date", results["date"]), ("seed", str(results["task"]["seed"]))]
    facts += settings_list(results["versions"], "version of ")
    facts += settings_list(results["hardware"], "hardware: ")
    folded = []
    for entry in results["entries"]:
        words = f"Settings of {entry['name']}"
        folded.append((words, pairs(words, settings_list(entry["settings"]))))
    data = {"tables": [pairs("Date, seed, versions and hardware", facts)], "folded": folded}
    title = "Settings, versions, hardware"
    return Section("settings", "Settings", title, "tables.html.jinja", data | {"note": ""})


def _forest(results: Mapping[str, Any]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        _, drawing = forest_plot(results, Path(folder))
        return drawing.read_bytes()


def _written(caption: str, found: tuple[Sequence[str], Sequence[Sequence[Any]]]) -> Table:
    headers, rows = found
    return table(caption, map(name, headers), (map(name, row) for row in rows), "stacked")
