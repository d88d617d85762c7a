"""Accuracy by way and shot as a table on screen, as Markdown and as CSV."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from mdmf_jax.comparison.tables import (
    Rows,
    as_csv,
    judged,
    markdown_cell,
    markdown_table,
    origin,
    screen_table,
)
from mdmf_jax.evaluation.tables import percent


def grid_rows(results: Mapping[str, Any]) -> Rows:
    """One row for each shot, one column for each way: usually the longer list goes down.

    Args:
      results: what grid.json holds.
    """
    cells = {
        (cell["way"], cell["shot"]): judged(cell, 1 / cell["way"]) for cell in results["cells"]
    }
    ways, shots = results["ways"], results["shots"]
    headers = ["shot", *(f"{way}-way (chance {percent(1 / way)})" for way in ways)]
    return headers, [[f"{shot}-shot", *(cells[way, shot] for way in ways)] for shot in shots]


def screen(results: Mapping[str, Any]) -> Table:
    """The grid for the terminal."""
    return screen_table(grid_rows(results), results["name"])


def markdown(results: Mapping[str, Any]) -> str:
    """The grid as Markdown, with the heat map."""
    task = results["task"]
    about = (
        f"Accuracy with 95% intervals over the episodes; {task['queries']} query videos of each "
        f"class, seed {task['seed']}, {results['trained']}, {results['classes']} classes."
    )
    parts = [f"# {markdown_cell(results['name'])}", about, markdown_table(grid_rows(results))]
    parts += ["![Accuracy by way and shot](grid.svg)", origin(results, "grid.json")]
    return "\n\n".join(parts) + "\n"


def csv_text(results: Mapping[str, Any]) -> str:
    """One line for each way and shot, shares 0..1."""
    return as_csv([{**cell, **results["task"]} for cell in results["cells"]])
