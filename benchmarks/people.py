"""Few-shot recognition of generated people: the motion encoder against what needs no learning.

    python benchmarks/people.py

Prints a table; `make demo-people` runs it. The videos are made at the first call.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.people_baselines import answers, change_map, mean_frame
from mdmf_jax.config.config import Config
from mdmf_jax.config.load import load_config
from mdmf_jax.data.dataset import Dataset
from mdmf_jax.evaluation.opened import Opened, open_untrained

WAY, SHOTS, SEED = 5, (1, 5), 0
METHODS = ("otam", "mean_pool")
BASELINES = {"twenty lines (changes by thirds)": change_map, "nearest mean frame": mean_frame}


def main() -> None:
    options = parse_arguments()
    rows, facts = compare(options.episodes)
    print_table(rows, facts)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--episodes", type=int, default=1000)
    return parser.parse_args()


Rows = dict[str, dict[int, tuple[float, float]]]


def compare(episodes: int) -> tuple[Rows, dict[str, int]]:
    """Accuracy and its interval by row and shot, and what they were measured on."""
    rows: Rows = {}
    opened = {method: open_untrained(_config(f"people:method={method}")) for method in METHODS}
    first = opened[METHODS[0]]
    split = first.dataset.splits["test"]
    tables = {shot: first.dataset.episodes("test", WAY, shot, 1, episodes, SEED) for shot in SHOTS}
    frames = first.evaluator.features(first.params, "test")["frames"]
    for name, part in parts(first.model.encoder).items():
        for method, own in opened.items():
            rows[f"{name}, {method}"] = answered(own, tables, {"frames": frames[..., part]})
    clip = open_untrained(_config("people:encoder=clip", path="packaged:demo"))
    rows["demo CLIP, otam"] = answered(clip, tables, None)
    for name, vectors in baseline_vectors(first.dataset).items():
        rows[name] = {shot: accuracy(answers(vectors, t), t) for shot, t in tables.items()}
    facts = {"videos": split.num_videos, "classes": len(split.names), "episodes": episodes}
    return rows, facts


def parts(encoder: Any) -> dict[str, slice]:
    """The features of the motion encoder, in all and by part."""
    width = encoder.sizes.sizes.features
    return {
        "motion encoder": slice(None),
        "its learned part": slice(0, width),
        "its plain maps": slice(width, None),
    }


def answered(opened: Opened, tables, features) -> dict[int, tuple[float, float]]:
    """Accuracies of a model by shot, from features [V, T, D] or from the videos."""
    answer = opened.evaluator.table_answers
    found = {}
    for shot, table in tables.items():
        given = answer(opened.params, "test", table, SEED, features)["prediction"]
        found[shot] = accuracy(given, table)
    return found


def _config(name: str, **encoder: Any) -> Config:
    config = load_config(name)
    data = config.data
    if config.encoder_name == "clip":
        data = replace(data, resize=32, crop=32)
    return replace(
        config,
        encoder=replace(config.encoder, **encoder),
        data=data,
        eval=replace(config.eval, feature_cache="off"),
        train=replace(config.train, steps=0),
    )


def baseline_vectors(dataset: Dataset) -> dict[str, np.ndarray]:
    """Vectors of all test videos [V, D] by baseline."""
    source = dataset.source("test")
    videos = [source.all_frames(number) for number in range(len(source))]
    units = {}
    for name, function in BASELINES.items():
        vectors = np.stack([function(frames) for frames in videos])
        units[name] = vectors / (np.linalg.norm(vectors, axis=-1, keepdims=True) + 1e-9)
    return units


def accuracy(predictions: np.ndarray, table: dict[str, np.ndarray]) -> tuple[float, float]:
    """Share of right answers in percent, and the half-width of its 95% interval.

    The interval is over the query videos (a bootstrap over videos), not over the episodes, which
    are many more than the videos.
    """
    right = (predictions == table["query_labels"]).ravel()
    videos = table["query"].ravel()
    hits, asked = np.bincount(videos, right), np.bincount(videos)
    hits, asked = hits[asked > 0], asked[asked > 0]
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, len(hits), (2000, len(hits)))
    shares = hits[drawn].sum(1) / asked[drawn].sum(1)
    return 100 * right.mean(), 100 * 1.96 * shares.std()


def print_table(rows, facts: dict[str, int]) -> None:
    table = Table(title=f"Generated people, {WAY}-way accuracy in percent")
    table.add_column("")
    for shot in SHOTS:
        table.add_column(f"{shot}-shot", justify="right")
    for name, row in rows.items():
        table.add_row(name, *(f"{row[s][0]:.1f} ± {row[s][1]:.1f}" for s in SHOTS))
    table.add_row("chance", *(f"{100 / WAY:.1f}" for _ in SHOTS))
    console = Console(width=100)
    console.print(table)
    console.print(
        f"{facts['videos']} videos of {facts['classes']} motions that no training saw, 8 actors; "
        f"{facts['episodes']} episodes; intervals: 95%, over videos",
        highlight=False,
    )


if __name__ == "__main__":
    main()
