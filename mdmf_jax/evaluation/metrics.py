"""Accuracy over episodes and its interval. Plain numpy."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def interval95(accuracies: np.ndarray) -> float:
    """Half-width of the 95% interval of a mean over episodes [N].

    1.96 standard deviations (ddof 0) over the root of N, as the published evaluations report.
    """
    return float(1.96 * np.std(accuracies) / np.sqrt(len(accuracies)))


def episode_metrics(
    answers: Mapping[str, np.ndarray], episodes: Mapping[str, np.ndarray], names: Sequence[str]
) -> dict[str, Any]:
    """Metrics of evaluated episodes; shares lie in 0..1.

    Args:
      answers: "prediction" [N, Q] and perhaps "prompt_choice" [N, Q], classes 0..W-1.
      episodes: class_ids [N, W], support [N, W, K], query [N, Q], query_labels [N, Q].
      names: of all classes of the split [C].

    Returns:
      accuracy, interval95 (half-width), prompt_accuracy (share of queries whose chosen prompt
      is that of their class; None if the method chooses none), per_class (by name, of the
      classes that occurred), episodes, way, shot, queries (of each class), chance, videos (how
      many different ones were asked about or shown) and videos_interval95 (half-width over
      the query videos, see `videos_interval95`).
    """
    labels = episodes["query_labels"]
    count, way, shot = episodes["support"].shape
    right = answers["prediction"] == labels
    choice = answers.get("prompt_choice")
    return {
        "accuracy": float(right.mean()),
        "interval95": interval95(right.mean(axis=1)),
        "prompt_accuracy": None if choice is None else float((choice == labels).mean()),
        "per_class": _per_class(right, episodes["class_ids"], labels, names),
        "episodes": count,
        "way": way,
        "shot": shot,
        "queries": labels.shape[1] // way,
        "chance": 1 / way,
        "videos": len(np.union1d(episodes["support"], episodes["query"])),
        "videos_interval95": videos_interval95(right, episodes["query"]),
    }


def videos_interval95(right: np.ndarray, videos: np.ndarray) -> float | None:
    """Half-width of the 95% interval of a mean over answers, with the query videos as the sample.

    The same few videos come in many episodes, and answers to one video are alike: more episodes
    make `interval95` smaller, but not this one. 1.96 times the standard error that is robust to
    clusters (Liang and Zeger 1986), with V / (V - 1) for V videos; None for one video.

    Args:
      right: which queries were answered rightly, bool [N, Q].
      videos: number of each query's video [N, Q].
    """
    numbers, place = np.unique(videos, return_inverse=True)
    count = len(numbers)
    if count < 2:
        return None
    excess = np.bincount(place.ravel(), weights=(right - right.mean()).ravel(), minlength=count)
    error = np.sqrt(np.square(excess).sum() * count / (count - 1)) / right.size
    return float(1.96 * error)


def above_chance(metrics: Mapping[str, Any], chance: float) -> bool:
    """Whether an accuracy is above chance beyond both of its 95% intervals.

    Args:
      metrics: as `episode_metrics` gives them; those of version 0.1.0 lack the second interval.
    """
    width = max(metrics["interval95"], metrics.get("videos_interval95") or 0.0)
    return metrics["accuracy"] - width > chance


def _per_class(
    right: np.ndarray, class_ids: np.ndarray, labels: np.ndarray, names: Sequence[str]
) -> dict[str, float]:
    truth = np.take_along_axis(class_ids, labels, axis=1).ravel()  # [N Q], rows of the split
    total = np.bincount(truth, minlength=len(names))
    hits = np.bincount(truth, weights=right.ravel(), minlength=len(names))
    return {name: float(hits[i] / total[i]) for i, name in enumerate(names) if total[i]}
