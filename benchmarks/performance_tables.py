"""Writes the tables of docs/performance.md from what `bench --output` and others measured.

    python benchmarks/performance_tables.py bench.json vit.json

Files of a CPU go into its table, all others into that of accelerators. Of two measurements of
the same name the one in the later file counts. The date, versions and load shown are those of
each file.
"""

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from mdmf_jax.bench.environment import duration, heading, three_digits  # noqa: E402

PAGE = Path(__file__).parents[1] / "docs/performance.md"

# Seconds an episode of the published PyTorch implementation's head, 5-way, measured on two
# cores of the same kind of machine as the CPU's table.
REFERENCE = {
    "eval/mdmf/1shot/": 0.032,
    "eval/mdmf/5shot/": 0.052,
    "head/mdmf/1shot/train_step": 0.198,
    "head/mdmf/5shot/train_step": 0.253,
}
HEADER = "| measurement | rate | one | a run | GFLOP/s | share of peak | memory | compared |"


def table(contents: Sequence[Mapping[str, Any]]) -> str:
    """A table of all measurements in Markdown, and under it where and when they were made."""
    rows = {m["name"]: row(m, content) for content in contents for m in content["measurements"]}
    lines = [HEADER, "|---" + "|--:" * (HEADER.count("|") - 2) + "|", *rows.values(), ""]
    return "\n".join([*lines, *dict.fromkeys(f"* {heading(content)}" for content in contents)])


def row(measured: Mapping[str, Any], content: Mapping[str, Any]) -> str:
    """One line of the table."""
    seconds, flops = measured["median_seconds"], measured["flops"]
    share, memory = measured["share_of_peak"], measured["peak_bytes"]
    cells = [
        f"`{measured['name']}`",
        f"{three_digits(measured['value'])} {measured['unit']}",
        duration(1 / measured["value"]),
        duration(seconds),
        "" if flops is None else three_digits(flops / seconds / 1e9),
        "" if share is None else f"{100 * share:.1f}%",
        "" if memory is None else f"{three_digits(memory / 2**20)} MiB",
        compared(measured, content),
    ]
    return f"| {' | '.join(cells)} |"


def compared(measured: Mapping[str, Any], content: Mapping[str, Any]) -> str:
    """The time as a share of what it is compared with, if there is anything."""
    plain = measured["settings"].get("ratio_to_plain")
    if plain is not None:
        return f"{plain:.2f} of plain JAX"
    if content["hardware"]["platform"] == "cpu":
        for name, seconds in REFERENCE.items():
            if measured["name"].startswith(name):
                return f"{1 / measured['value'] / seconds:.3f} of PyTorch"
    return ""


def replaced(page: str, name: str, text: str) -> str:
    """The page with the text between its marks of that name replaced.

    Raises:
      ValueError: the page has no such marks.
    """
    pattern = re.compile(rf"(<!-- begin {name} -->\n).*?(<!-- end {name} -->)", re.DOTALL)
    if not pattern.search(page):
        raise ValueError(f"no marks <!-- begin {name} --> and <!-- end {name} --> in the page")
    return pattern.sub(lambda found: f"{found[1]}{text}\n{found[2]}", page)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path, help="JSON of `bench --output` and others")
    parser.add_argument("--page", type=Path, default=PAGE)
    options = parser.parse_args()
    contents = [json.loads(path.read_text(encoding="utf-8")) for path in options.files]
    page = options.page.read_text(encoding="utf-8")
    for name in ("cpu", "accelerator"):
        chosen = [c for c in contents if (c["hardware"]["platform"] == "cpu") == (name == "cpu")]
        if chosen:
            page = replaced(page, name, table(chosen))
    options.page.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
