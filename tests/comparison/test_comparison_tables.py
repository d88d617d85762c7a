"""A comparison's tables, files and pictures, from made results."""

import copy
import csv
import io
import json
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from rich.console import Console

from mdmf_jax.comparison import grid_tables, tables
from mdmf_jax.comparison.files import BEGIN, END, fill_page, read_comparison, write_comparison
from mdmf_jax.comparison.plots import heat_map
from mdmf_jax.comparison.seeds import over_seeds
from mdmf_jax.errors import DataError

HOSTILE = "<b>|x|</b> [red]*y*[/red] $z_1$"


def entry(name, accuracy, difference, pairs):
    shares = {"a then b": accuracy, HOSTILE: 0.5}
    paired = {"mean": difference, "interval95": 0.004}
    return {
        "name": name,
        "method": name.split()[0],
        "trained": "100 steps",
        "learning_rate": 1e-3,
        "parameters": 1234567,
        "seconds_per_1000": 1.256,
        "accuracy": accuracy,
        "interval95": 0.012,
        "difference": paired,
        "per_class": shares,
        "class_difference": {label: paired for label in shares},
        "pairs": {"accuracy": pairs, "interval95": 0.02, "difference": paired,
                  "baseline_difference": {"mean": pairs - 0.5, "interval95": 0.03}},
    }  # fmt: skip


@pytest.fixture
def results():
    return {
        "date": "2026-01-02",
        "task": {"split": "test", "way": 5, "shot": 1, "queries": 1, "episodes": 2000, "seed": 7},
        "classes": 2,
        "videos": 60,
        "pairs": {"classes": [["a then b", HOSTILE]], "episodes": 2000, "baseline": "mean_pool"},
        "entries": [
            entry("mdmf", 0.9, 0.0, 0.95),
            entry(HOSTILE, 0.8, -0.1, 0.8),
            entry("mean_pool", 0.35, -0.55, 0.5),
        ],
        "versions": {"jax": "0.10"},
        "hardware": {"platform": "cpu", "device": "cpu", "devices": 1, "cpu_cores": 2},
    }


def test_files_of_before_say_part(results, tmp_path):
    line = tables.task_line(results)
    assert "2,000 episodes of the 2 test classes (60 videos), seed 7" in line
    old = copy.deepcopy(results)
    old["task"]["part"] = old["task"].pop("split")
    (tmp_path / "compare.json").write_text(json.dumps(old))
    assert read_comparison(tmp_path / "compare.json") == results


def printed(table):
    out = io.StringIO()
    Console(file=out, width=120).print(table)
    return out.getvalue()


def test_the_tables_on_screen(results):
    overview, pairs = map(printed, tables.screen_tables(results))
    for text in ("90.0% ± 1.2", "-10.0 ± 0.4", "1,234,567", "1.26", HOSTILE, "2,000 episodes"):
        assert text in overview
    assert "order" not in overview
    for text in ("95.0% ± 2.0", "to mean_pool", "+30.0 ± 3.0", "1 pair of classes"):
        assert text in pairs
    results["pairs"] = None
    assert len(tables.screen_tables(results)) == 1


def seeded(results):
    """Two methods, three seeds each; the second differs by 1, 2 and 6 points."""
    entries = []
    for name, points in (("mdmf", (0, 0, 0)), ("trx", (1, 2, 6))):
        for seed, more in enumerate(points):
            accuracy = 0.5 + 0.1 * seed + more / 100
            one = entry(f"{name}, seed {seed}", accuracy, 0.0, 0.75)
            entries.append(one | {"group": name, "settings": {"seed": seed}})
    return results | {"entries": entries}


def test_several_seeds_are_summed_up(results):
    results = seeded(results)
    first, second = over_seeds(results["entries"])
    assert first["accuracy"] == pytest.approx(0.6) and first["spread"] == pytest.approx(0.1)
    assert second["differences"] == pytest.approx([0.01, 0.02, 0.06])
    assert second["spread"] == pytest.approx(np.std([0.51, 0.62, 0.76], ddof=1))
    (table,) = map(printed, tables.screen_tables(results))
    for text in ("+3.0 (+1.0 to +6.0)", "75.0%", "1,234,567"):
        assert text in table
    text = tables.markdown(results)
    assert "trained with every seed" in text and "one seed" not in text
    assert "| trx | 63.0% | 12.5 | +3.0 (+1.0 to +6.0) |" in text


def cells(line):
    return [cell.strip() for cell in line.replace("\\|", "").strip("|").split("|")]


def test_markdown_tables_are_whole_and_names_are_harmless(results):
    text = tables.markdown(results, "forest.svg")
    assert "<b>" not in text and "*y*" not in text.replace("\\*", "")
    blocks = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert [len(block) for block in blocks] == [5, 5, 4]
    for block in blocks:
        assert len({len(cells(line)) for line in block}) == 1
    overview, pairs, classes = ([cells(line) for line in block] for block in blocks)
    assert overview[0][2:4] == ["difference to mdmf", "order pairs (chance 50.0%)"]
    assert overview[2][:4] == ["mdmf", "90.0% ± 1.2", "-", "95.0% ± 2.0"]
    assert overview[4][2] == "-55.0 ± 0.4"
    assert pairs[4] == ["mean\\_pool", "50.0% ± 2.0, not above chance", "-55.0 ± 0.4", "-"]
    assert classes[2] == ["a then b", "90.0%", "-10.0 ± 0.4", "-55.0 ± 0.4"]
    for fact in ("seed 7", "one seed", "jax 0.10", "2026-01-02", "](forest.svg)"):
        assert fact in text


def test_csv_holds_the_numbers(results):
    rows = list(csv.DictReader(io.StringIO(tables.overview_csv(results))))
    assert [row["name"] for row in rows] == ["mdmf", HOSTILE, "mean_pool"]
    assert float(rows[1]["difference"]) == -0.1 and rows[1]["seed"] == "7"
    assert float(rows[0]["pairs_baseline_difference_interval95"]) == 0.03
    rows = list(csv.DictReader(io.StringIO(tables.class_csv(results))))
    assert len(rows) == 6 and rows[1]["class"] == HOSTILE
    assert float(rows[2]["accuracy"]) == 0.8
    results["pairs"] = None
    for one in results["entries"]:
        one["pairs"] = None
    (row, *_) = csv.DictReader(io.StringIO(tables.overview_csv(results)))
    assert row["pairs_accuracy"] == ""


def texts(svg):
    return [e.text for e in ET.parse(svg).iter("{http://www.w3.org/2000/svg}text")]


def size_of_png(file):
    from PIL import Image

    with Image.open(file) as image:
        assert np.asarray(image.convert("L")).std() > 5  # something is drawn
        return image.size


def test_files_and_forest_plot(results, tmp_path):
    write_comparison(results, tmp_path / "new")
    names = {"compare.json", "compare.md", "compare.csv", "compare_classes.csv"}
    assert {path.name for path in (tmp_path / "new").iterdir()} == names | {
        "forest.png",
        "forest.svg",
    }
    assert read_comparison(tmp_path / "new/compare.json") == results
    found = texts(tmp_path / "new/forest.svg")
    for text in ("mdmf", "mean_pool", "Accuracy, % (chance 20)", "Difference to mdmf, points",
                 "reference", "90.0 ± 1.2", "-55.0 ± 0.4", "Accuracy on order pairs, % (chance 50)",
                 "95.0 ± 2.0",
                 ):  # fmt: skip
        assert found.count(text) == 1, text
    assert HOSTILE in found  # as it is, not as a formula
    width, height = size_of_png(tmp_path / "new/forest.png")
    assert width > 1.5 * height

    again = tmp_path / "again"
    write_comparison(results, again)
    for file in again.iterdir():
        assert file.read_bytes() == (tmp_path / "new" / file.name).read_bytes()


def test_one_method_without_pairs_has_one_panel(results, tmp_path):
    results["entries"], results["pairs"] = results["entries"][:1], None
    write_comparison(results, tmp_path)
    found = texts(tmp_path / "forest.svg")
    assert "Accuracy, % (chance 20)" in found and not any("Difference" in text for text in found)


def test_a_page_is_filled_at_its_place_and_again(results, tmp_path):
    page = tmp_path / "results.md"
    page.write_text(f"# Before\n\n{BEGIN}\nold\n{END}\n\nAfter.\n")
    fill_page(results, page)
    first = page.read_text()
    assert first.startswith("# Before\n") and first.endswith(f"{END}\n\nAfter.\n")
    assert "old" not in first and "| mdmf | 90.0% ± 1.2 |" in first and "](comparison.svg)" in first
    assert (tmp_path / "comparison.svg").is_file()
    other = copy.deepcopy(results)
    other["entries"][0]["accuracy"] = 0.91
    fill_page(other, page)
    assert page.read_text() == first.replace("| mdmf | 90.0% ± 1.2 |", "| mdmf | 91.0% ± 1.2 |")


@pytest.mark.parametrize("text", ["no place", f"{END}\n{BEGIN}", f"{BEGIN}\n{BEGIN}\n{END}"])
def test_pages_without_a_place(results, tmp_path, text):
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(DataError, match="page.md"):
        fill_page(results, page)
    assert page.read_text() == text


@pytest.mark.parametrize("text", ["{", "[]", '{"entries": []}', None])
def test_files_that_are_no_comparison(tmp_path, text):
    file = tmp_path / "compare.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(DataError, match="compare.json: "):
        read_comparison(file)


GRID = {
    "date": "2026-01-02",
    "name": "mdmf: test classes",
    "ways": [2, 3],
    "shots": [1, 2, 4],
    "task": {"split": "test", "queries": 1, "episodes": 20, "seed": 0},
    "classes": 3,
    "trained": "untrained",
    "cells": [
        {"way": way, "shot": shot, "accuracy": way / 10 + shot / 100, "interval95": 0.01}
        for way in (2, 3)
        for shot in (1, 2, 4)
    ],
    "versions": {"jax": "0.10"},
    "hardware": {"platform": "cpu", "device": "cpu", "devices": 1, "cpu_cores": 2},
}


def test_grid_tables():
    lines = [cells(line) for line in grid_tables.markdown(GRID).splitlines() if line[:1] == "|"]
    assert lines[0] == ["shot", "2-way (chance 50.0%)", "3-way (chance 33.3%)"]
    assert lines[4] == ["4-shot", "24.0% ± 1.0, not above chance", "34.0% ± 1.0, not above chance"]
    rows = list(csv.DictReader(io.StringIO(grid_tables.csv_text(GRID))))
    assert [(row["way"], row["shot"]) for row in rows][3:] == [("3", "1"), ("3", "2"), ("3", "4")]
    assert "24.0% ± 1.0" in printed(grid_tables.screen(GRID))
    json.dumps(GRID)


def test_heat_map(tmp_path):
    heat_map(GRID, tmp_path)
    found = texts(tmp_path / "grid.svg")
    for text in ("21.0", "24.0", "34.0", "accuracy, %", "mdmf: test classes"):
        assert text in found
    size_of_png(tmp_path / "grid.png")
