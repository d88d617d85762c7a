"""What `mdmf grid` does: any way and any shot from one feature pass."""

import datetime
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from mdmf_jax import files
from mdmf_jax.comparison import grid_tables
from mdmf_jax.comparison.plots import heat_map
from mdmf_jax.comparison.tables import judged
from mdmf_jax.errors import DataError
from mdmf_jax.evaluation import provenance as report
from mdmf_jax.evaluation.evaluator import Features
from mdmf_jax.evaluation.metrics import episode_metrics
from mdmf_jax.evaluation.task import Task
from mdmf_jax.runs.entries import Entry, Ready, entry_config, make_ready
from mdmf_jax.training.build import make_dataset

WAYS = (5, 10, 15, 20)  # as far as there are classes


def grid(
    entry: Entry,
    task: Task,
    ways: Sequence[int] | None,
    shots: Sequence[int],
    out: str | Path,
    console: Console | None = None,
) -> dict[str, Any]:
    """Evaluates an entry for all ways and shots, prints the table and writes the files.

    Args:
      task: queries, episodes of each cell, split and seed; its way and shot do not count.
      ways: numbers of classes; None takes those of WAYS that the split has enough classes for.
      out: folder for grid.json, .md, .csv, .png and .svg.

    Returns:
      The content of grid.json.

    Raises:
      UserError: the split has too few classes or videos; or as `make_ready`.
    """
    console = console or Console()
    config = entry_config(entry, task)
    sizes = task.sizes(config)
    split = make_dataset(config).splits[sizes["split"]]
    ways = _checked(split, ways, shots, sizes["queries"], console)
    ready = make_ready(entry, task, None, (), console)
    features = ready.evaluator.features(ready.params, split.name)
    cells = []
    for way in ways:
        for shot in shots:
            cell = _cell(ready, sizes | {"way": way, "shot": shot}, features)
            cells.append(cell)
            console.print(f"{way}-way {shot}-shot: {judged(cell, 1 / way)}", highlight=False)
    results = {
        "date": datetime.date.today().isoformat(),
        "name": f"{entry.name}: {split.name} classes, {sizes['episodes']:,} episodes a cell",
        "ways": list(ways),
        "shots": list(shots),
        "task": {n: sizes[n] for n in ("split", "queries", "episodes", "seed")},
        "classes": len(split.names),
        "cells": cells,
        **ready.facts,
        "versions": report.versions(),
        "hardware": report.hardware(),
    }
    _write(results, Path(out))
    console.print(grid_tables.screen(results))
    console.print(f"results: {out}", highlight=False, markup=False, soft_wrap=True)
    return results


def _checked(
    split, ways: Sequence[int] | None, shots: Sequence[int], queries: int, console: Console
) -> Sequence[int]:
    """The ways to take; DataError if the split is too small for what was asked."""
    classes, least = len(split.names), int(np.min(split.counts))
    if ways is None:
        ways = tuple(way for way in WAYS if way <= classes)
        if len(ways) < len(WAYS):
            left = ", ".join(str(way) for way in WAYS if way > classes)
            console.print(
                f"left out, as the {split.name} split has {classes} classes: way {left}",
                highlight=False,
            )
    if not ways or max(ways) > classes:
        raise DataError(
            f"{split.name}: has {classes} classes, so --ways can hold numbers up to {classes}"
        )
    if max(shots) + queries > least:
        raise DataError(
            f"{split.name}: has a class of {least} videos, so with {queries} query videos of a "
            f"class --shots can hold numbers up to {least - queries}"
        )
    return ways


def _cell(ready: Ready, sizes: dict[str, Any], features: Features) -> dict[str, Any]:
    evaluator, split, seed = ready.evaluator, sizes["split"], sizes["seed"]
    table = evaluator.dataset.episodes(**sizes)
    start = time.perf_counter()
    answers = evaluator.table_answers(ready.params, split, table, seed, features)
    metrics = episode_metrics(answers, table, evaluator.dataset.splits[split].names)
    kept = ("way", "shot", "accuracy", "interval95", "prompt_accuracy", "chance", "videos")
    kept += ("videos_interval95",)
    return {name: metrics[name] for name in kept} | {"seconds": time.perf_counter() - start}


def _write(results: dict[str, Any], folder: Path) -> None:
    advice = "give another --out"
    files.write_json(folder / "grid.json", results, DataError, advice)
    files.write_whole(folder / "grid.md", grid_tables.markdown(results), DataError, advice)
    files.write_whole(folder / "grid.csv", grid_tables.csv_text(results), DataError, advice)
    heat_map(results, folder)
