"""Methods compared on the same episodes: paired differences, in all and by class. Plain numpy."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mdmf_jax.evaluation.metrics import episode_metrics, interval95


def paired_difference(accuracies: np.ndarray, base: np.ndarray) -> dict[str, float]:
    """Mean difference of accuracies in the same episodes, [N] and [N], and its 95% half-width.

    The interval is that of the differences of the single episodes. As both methods find the same
    episodes hard, it is narrower than the two accuracies' own intervals would suggest.
    """
    difference = np.asarray(accuracies) - np.asarray(base)
    return {"mean": float(difference.mean()), "interval95": interval95(difference)}


def class_accuracies(right: np.ndarray, episodes: Mapping[str, np.ndarray], classes: int):
    """Share of right answers of each class in each episode [N, C]; NaN where it is not in it.

    Args:
      right: which queries were answered rightly, bool [N, Q].
      episodes: class_ids [N, W] and query_labels [N, Q].
      classes: number of classes of the split.
    """
    truth = np.take_along_axis(episodes["class_ids"], episodes["query_labels"], axis=1)  # [N, Q]
    cells = np.arange(len(truth))[:, None] * classes + truth
    total = np.bincount(cells.ravel(), minlength=len(truth) * classes)
    hits = np.bincount(cells.ravel(), weights=right.ravel(), minlength=len(truth) * classes)
    shares = np.divide(hits, total, out=np.full(len(hits), np.nan), where=total > 0)
    return shares.reshape(len(truth), classes)


def compare_answers(
    answers: Mapping[str, Mapping[str, np.ndarray]],
    episodes: Mapping[str, np.ndarray],
    names: Sequence[str],
) -> dict[str, dict[str, Any]]:
    """Metrics of every method, and its paired differences to the first one.

    Args:
      answers: of each method, all to the same episodes; see `episode_metrics`.
      episodes: class_ids [N, W], support [N, W, K], query [N, Q], query_labels [N, Q].
      names: of all classes of the split [C].

    Returns:
      By method what `episode_metrics` gives, "difference" (of the accuracy, see
      `paired_difference`) and "class_difference" (the same by class name).
    """
    compared, base, base_shares = {}, None, None
    for method, given in answers.items():
        right = given["prediction"] == episodes["query_labels"]
        shares = class_accuracies(right, episodes, len(names))
        if base is None or base_shares is None:
            base, base_shares = right, shares
        compared[method] = episode_metrics(given, episodes, names) | {
            "difference": paired_difference(right.mean(axis=1), base.mean(axis=1)),
            "class_difference": _by_class(shares, base_shares, names),
        }
    return compared


def _by_class(
    shares: np.ndarray, base: np.ndarray, names: Sequence[str]
) -> dict[str, dict[str, float]]:
    there = ~np.isnan(base)  # [N, C]
    return {
        name: paired_difference(shares[there[:, i], i], base[there[:, i], i])
        for i, name in enumerate(names)
        if there[:, i].any()
    }
