"""What `mdmf compare` does: every method on the same episodes."""

import datetime
import gc
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.console import Console

from mdmf_jax.comparison.files import write_comparison
from mdmf_jax.comparison.order_pairs import choose_pairs, pair_episodes
from mdmf_jax.comparison.statistics import compare_answers, paired_difference
from mdmf_jax.comparison.tables import screen_tables
from mdmf_jax.config.config import Config
from mdmf_jax.errors import ConfigError, DataError
from mdmf_jax.evaluation import provenance as report
from mdmf_jax.evaluation.features.shared import SharedFeatures
from mdmf_jax.evaluation.task import Task
from mdmf_jax.runs.entries import Entry, Ready, entry_config, make_ready
from mdmf_jax.training.build import make_dataset

BASELINE = "mean_pool"  # the method that ignores the order of frames

Table = dict[str, np.ndarray]
Answers = dict[str, np.ndarray]


@dataclass(frozen=True)
class Plan:
    """The episodes of a comparison.

    Attributes:
      sizes: split, way, shot, queries, episodes and seed.
      names: of all classes of the split.
      videos: of the split.
      table: the episodes.
      pairs: 2-way episodes of classes that differ in order only; None if not asked for.
      pair_names: those classes.
    """

    sizes: Mapping[str, Any]
    names: Sequence[str]
    videos: int
    table: Table
    pairs: Table | None
    pair_names: list[list[str]]


def compare(
    entries: Sequence[Entry],
    task: Task,
    out: str | Path,
    *,
    pairs: str | None = None,
    train: str | Path | None = None,
    learning_rates: Sequence[float] = (),
    console: Console | None = None,
) -> dict[str, Any]:
    """Evaluates all entries on the same episodes, prints the table and writes the files.

    Args:
      entries: what to compare; differences are those to the first.
      task: the episodes; what it leaves open is as in the first entry's settings.
      out: folder for compare.json, .md, .csv, compare_classes.csv, forest.png and .svg.
      pairs: "order" or a file of class pairs; see `choose_pairs`.
      train: folder where entries with parameters to train are trained, each in a folder of its
        own; a run that was stopped goes on there.
      learning_rates: tried for each trained entry; the best on the validation classes counts.

    Returns:
      The content of compare.json.

    Raises:
      UserError: a setting, the data, a CLIP or a checkpoint is wrong; two entries have different
        videos.
    """
    console, features = console or Console(), SharedFeatures()
    configs = [entry_config(entry, task) for entry in entries]
    plan = make_plan(configs, [entry.name for entry in entries], task, pairs)
    rows, answers, pair_answers = [], {}, {}
    for entry in entries:
        console.print(f"{entry.name}:", style="bold", markup=False, highlight=False)
        ready = make_ready(entry, task, train, learning_rates, console)
        answers[entry.name], pair_answers[entry.name], facts = _answer(ready, plan, features)
        rows.append({"name": entry.name, "group": entry.group} | ready.facts | facts)
        # Its videos, parameters and programs are needed no more.
        del ready
        gc.collect()
    results = _results(plan, rows, answers, pair_answers, pairs)
    write_comparison(results, Path(out))
    for table in screen_tables(results):
        console.print(table)
    console.print(f"results: {out}", highlight=False, markup=False, soft_wrap=True)
    return results


def make_plan(
    configs: Sequence[Config], names: Sequence[str], task: Task, pairs: str | None
) -> Plan:
    """Draws the episodes.

    Raises:
      ConfigError: pairs are asked for, and groups.
      DataError: the entries' videos differ, or there are too few.
    """
    if pairs and configs[0].data.groups:
        raise ConfigError("--pairs draws episodes without groups; leave out --pairs or data.groups")
    sizes = task.sizes(configs[0])
    name_of_split = sizes["split"]
    dataset = make_dataset(configs[0])
    split = dataset.splits[name_of_split]
    for config, name in zip(configs, names, strict=True):
        if config.data != configs[0].data:
            _check_same(split, make_dataset(config).splits[name_of_split], names[0], name)
    table = dataset.episodes(**sizes)
    chosen = choose_pairs(pairs, split) if pairs else ()
    drawn = {name: sizes[name] for name in ("shot", "queries", "episodes", "seed")}
    return Plan(
        sizes=sizes,
        names=split.names,
        videos=split.num_videos,
        table=table,
        pairs=pair_episodes(split, chosen, **drawn) if chosen else None,
        pair_names=[[split.names[i], split.names[j]] for i, j in chosen],
    )


def _check_same(first, other, first_name: str, other_name: str) -> None:
    for what, one, two in (
        ("classes", first.folders, other.folders),
        ("videos", first.ids, other.ids),
    ):
        if one != two:
            different = sorted(set(one) ^ set(two))
            raise DataError(
                f"{first_name} and {other_name} have different {what} in the {first.name} split "
                f"({len(one)} and {len(two)}; for example {different[0]}); compare runs over the "
                "same data.root, data.splits and data.protocol"
            )


def _answer(
    ready: Ready, plan: Plan, features: SharedFeatures
) -> tuple[Answers, Answers | None, dict[str, float]]:
    """Answers to the episodes and to the pairs, and how long the former took."""
    evaluator, split, seed = ready.evaluator, plan.sizes["split"], plan.sizes["seed"]
    start = time.perf_counter()
    known = features.get(
        ready.config,
        ready.params["encoder"],
        split,
        lambda: evaluator.features(ready.params, split),
        evaluator.model.encoder.wanted,
    )
    encoded = time.perf_counter() - start

    def answer(table: Table) -> Answers:
        return jax.device_get(evaluator.table_answers(ready.params, split, table, seed, known))

    # The first time compiles, for sizes that depend on the episodes; the second one is timed.
    answer(plan.table)
    start = time.perf_counter()
    answers = answer(plan.table)
    seconds = time.perf_counter() - start
    facts = {
        "seconds_per_1000": 1000 * seconds / plan.sizes["episodes"],
        "seconds_for_features": encoded,
    }
    return answers, plan.pairs and answer(plan.pairs), facts


def _results(
    plan: Plan,
    rows: list[dict[str, Any]],
    answers: Mapping[str, Answers],
    pair_answers: Mapping[str, Answers | None],
    pairs: str | None,
) -> dict[str, Any]:
    compared = compare_answers(answers, plan.table, plan.names)
    by_pair, baseline = {}, None
    if plan.pairs:
        answered = {name: given for name, given in pair_answers.items() if given is not None}
        by_pair = compare_answers(answered, plan.pairs, plan.names)
        baseline = next((row["name"] for row in rows if row["method"] == BASELINE), None)
        labels = plan.pairs["query_labels"]
        right = {n: (a["prediction"] == labels).mean(axis=1) for n, a in answered.items()}
        for name, metrics in by_pair.items():
            if baseline:
                difference = paired_difference(right[name], right[baseline])
                metrics["baseline_difference"] = difference
    entries = [row | compared[row["name"]] | {"pairs": by_pair.get(row["name"])} for row in rows]
    return {
        "date": datetime.date.today().isoformat(),
        "task": dict(plan.sizes),
        "classes": len(plan.names),
        "videos": plan.videos,
        "pairs": plan.pairs
        and {
            "chosen_by": pairs,
            "classes": plan.pair_names,
            "episodes": plan.sizes["episodes"],
            "baseline": baseline,
        },
        "entries": entries,
        "versions": report.versions(),
        "hardware": report.hardware(),
    }
