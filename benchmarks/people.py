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
from mdmf_jax.config.load import load_config
from mdmf_jax.data.dataset import Dataset
from mdmf_jax.evaluation.opened import open_untrained

WAY, SHOTS, SEED = 5, (1, 5), 0
MODELS = {
    "motion encoder, otam": "people",
    "motion encoder, mean_pool": "people:method=mean_pool",
    "learned part alone, mean_pool": "people:method=mean_pool",
    "demo CLIP, otam": "people:encoder=clip",
}
CHANGES: dict[str, dict[str, Any]] = {
    "learned part alone, mean_pool": {"maps": 0.0},
    "demo CLIP, otam": {"path": "packaged:demo"},
}
BASELINES = {"twenty lines (changes by thirds)": change_map, "nearest mean frame": mean_frame}


def main() -> None:
    options = parse_arguments()
    rows, facts = compare(options.episodes)
    print_table(rows, facts)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--episodes", type=int, default=1000)
    return parser.parse_args()


def compare(episodes: int) -> tuple[dict[str, dict[int, tuple[float, float]]], dict[str, int]]:
    """Accuracy and its interval by row and shot, and what they were measured on."""
    rows: dict[str, dict[int, tuple[float, float]]] = {}
    tables, dataset = {}, None
    for name, config in MODELS.items():
        opened = open_untrained(_config(config, CHANGES.get(name, {})))
        dataset = opened.dataset
        for shot in SHOTS:
            task = {"way": WAY, "shot": shot, "queries": 1, "episodes": episodes, "seed": SEED}
            given, table = opened.evaluator.answers(opened.params, "test", **task)
            tables[shot] = table
            rows.setdefault(name, {})[shot] = accuracy(given["prediction"], table)
    assert dataset is not None
    for name, vectors in baseline_vectors(dataset).items():
        rows[name] = {shot: accuracy(answers(vectors, t), t) for shot, t in tables.items()}
    split = dataset.splits["test"]
    return rows, {"videos": split.num_videos, "classes": len(split.names), "episodes": episodes}


def _config(name: str, changes: dict[str, Any]):
    config = load_config(name)
    data = config.data
    if config.encoder_name == "clip":
        data = replace(data, resize=32, crop=32)
    off = replace(config.eval, feature_cache="off")
    train = replace(config.train, steps=0)
    return replace(
        config, encoder=replace(config.encoder, **changes), data=data, eval=off, train=train
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
