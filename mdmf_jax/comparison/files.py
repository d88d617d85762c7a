"""A comparison as files, and its place in a page of documentation."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mdmf_jax import files
from mdmf_jax.comparison import tables
from mdmf_jax.comparison.plots import forest_plot
from mdmf_jax.errors import DataError
from mdmf_jax.evaluation.provenance import with_split

JSON = "compare.json"
BEGIN = "<!-- comparison: begin (written by mdmf compare --from ... --page ...) -->"
END = "<!-- comparison: end -->"


def write_comparison(results: Mapping[str, Any], folder: Path) -> None:
    """Writes compare.json, compare.md, compare.csv, compare_classes.csv, forest.png and .svg.

    Raises:
      DataError: the folder cannot be written.
    """
    texts = {
        JSON: json.dumps(results, indent=2) + "\n",
        "compare.md": f"# Comparison\n\n{tables.markdown(results, 'forest.svg')}",
        "compare.csv": tables.overview_csv(results),
        "compare_classes.csv": tables.class_csv(results),
    }
    for name, text in texts.items():
        files.write_whole(folder / name, text, DataError, "give another --out")
    forest_plot(results, folder)


def read_comparison(file: files.AnyPath) -> dict[str, Any]:
    """The content of a compare.json.

    Raises:
      DataError: it cannot be read, or is not such a file.
    """
    results = files.read_json(file, DataError, f"give a {JSON}")
    needed = {"date", "task", "classes", "pairs", "entries", "versions", "hardware"}
    if not needed <= results.keys():
        raise DataError(f"{file}: is not written by compare; give a {JSON}")
    return results | {"task": with_split(results["task"])}


def fill_page(results: Mapping[str, Any], page: Path, name: str = "comparison") -> None:
    """Puts the comparison between the lines BEGIN and END of a Markdown page.

    The forest plot is written beside the page as name.png and name.svg.

    Raises:
      DataError: the page cannot be read or written, or does not hold each line once.
    """
    try:
        text = page.read_text(encoding="utf-8")
        if text.count(BEGIN) != 1 or text.count(END) != 1:
            raise DataError(f"{page}: must hold the line {BEGIN!r} once, and {END!r} once after it")
        before, rest = text.split(BEGIN)
        _, found, after = rest.partition(END)
        if not found:
            raise DataError(f"{page}: the line {END!r} must come after {BEGIN!r}")
        body = tables.markdown(results, f"{name}.svg")
        files.write_whole(page, f"{before}{BEGIN}\n\n{body}\n{END}{after}", DataError)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{page}: cannot be read or written ({error})") from None
    forest_plot(results, page.parent, name)
