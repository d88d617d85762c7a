"""Probabilities, the score of "none of these", and what evaluations report. Plain numpy.

A score says how well a video fits the nearest class; below a threshold it is of none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

TARGET = 0.95  # share of the videos of known classes that are to be accepted
REJECTED = 0.8  # share of foreign videos to be rejected, where nothing tells of known ones
BINS = 15
_TEMPERATURES = np.logspace(-4, 4, 161)


Labels = Sequence[int] | np.ndarray


@dataclass(frozen=True)
class Calibration:
    """How logits become probabilities and decisions.

    Attributes:
      temperature: logits are divided by it.
      threshold: lowest score that counts as one of the classes.
      score: name of the score; see SCORES.
      target: share of the videos of known classes that the threshold is meant to accept.
      origin: what it was made from: "leave_one_out", "left_out_classes" or "validation".
      known, foreign: numbers of videos it was made from.
      auroc: of known against foreign videos among them; None without both.
    """

    temperature: float
    threshold: float
    score: str
    target: float
    origin: str
    known: int
    foreign: int
    auroc: float | None


def softmax(logits: np.ndarray) -> np.ndarray:
    """Over the last axis."""
    shifted = np.exp(logits - logits.max(-1, keepdims=True))
    return shifted / shifted.sum(-1, keepdims=True)


def best_logit(logits: np.ndarray) -> np.ndarray:
    """The largest logit: minus the distance to the nearest class."""
    return logits.max(-1)


def margin(logits: np.ndarray) -> np.ndarray:
    """How far the largest logit lies above the second."""
    top = np.sort(logits, -1)
    return top[..., -1] - top[..., -2]


# By name: logits [Q, W] -> scores [Q]. On the demo's test classes (5 known of 3 videos each, 3
# foreign, 8 draws) the first separates known from foreign with an AUROC of 0.94, the second and
# the largest probability with 0.66 and 0.70: a foreign video is near to one class more often
# than it is near to two.
SCORES = {"best_logit": best_logit, "margin": margin}


def calibrate(
    logits: np.ndarray,
    labels: np.ndarray,
    foreign: np.ndarray,
    *,
    origin: str,
    score: str,
    target: float = TARGET,
) -> Calibration:
    """Temperature and threshold from videos that the classes were not made of.

    Without videos of known classes the threshold is the score that REJECTED of the foreign
    ones do not reach, and the temperature the typical deviation of a video's logits.

    Args:
      logits, labels: of videos of known classes [N, W] and [N].
      foreign: logits of videos of other classes [M, any number].
      target: share of the known that the threshold accepts.
    """
    measure = SCORES[score]
    outside = measure(foreign) if len(foreign) else np.zeros(0)
    if len(labels):
        inside = measure(logits)
        threshold = quantile_below(inside, 1 - target)
        temperature = fit_temperature(logits, labels)
    else:
        threshold = float(np.quantile(outside, REJECTED))
        temperature = float(foreign.std(-1).mean()) or 1.0
        inside = np.zeros(0)
    both = len(inside) and len(outside)
    return Calibration(
        temperature,
        threshold,
        score,
        target,
        origin,
        len(labels),
        len(outside),
        auroc(inside, outside) if both else None,
    )


def quantile_below(values: np.ndarray, share: float) -> float:
    """The largest of the values that at most `share` of them lie below."""
    return float(np.sort(values)[int(np.floor(share * len(values) + 1e-9))])


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature that gives smoothed labels the highest likelihood.

    Guo et al. (2017, arXiv 1706.04599) fit it to the labels. On few videos that are all right
    this gives zero, so that the labels are smoothed as Platt (1999) does: the right class gets
    (N + 1) / (N + 2), the others share the rest.
    """
    count, way = logits.shape
    targets = np.full((count, way), 1 / (count + 2) / (way - 1))
    targets[np.arange(count), labels] = (count + 1) / (count + 2)

    def loss(temperature: float) -> float:
        scaled = logits / temperature
        top = scaled.max(-1, keepdims=True)
        log_sum = np.log(np.exp(scaled - top).sum(-1)) + top[:, 0]
        return float((log_sum - (targets * scaled).sum(-1)).mean())

    spread = float(logits.std()) or 1.0
    grid = _TEMPERATURES * spread
    for _ in range(4):
        best = int(np.argmin([loss(t) for t in grid]))
        low, high = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
        grid = np.geomspace(low, high, 41)
    return float(grid[len(grid) // 2])


def auroc(inside: np.ndarray, outside: np.ndarray) -> float:
    """Share of the pairs in which the inside score is the higher one; ties count half."""
    scores = np.concatenate([inside, outside])
    _, groups, sizes = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(sizes) - (sizes - 1) / 2)[groups]  # equal scores share their mean rank
    above = ranks[: len(inside)].sum() - len(inside) * (len(inside) + 1) / 2
    return float(above / (len(inside) * len(outside)))


def accuracy_coverage(scores: np.ndarray, right: np.ndarray) -> dict[str, list[float]]:
    """For every threshold: the share of videos accepted, and how many of them are right.

    Args:
      scores, right: of videos [N].

    Returns:
      threshold (descending), coverage, accuracy.
    """
    order = np.argsort(-scores, kind="stable")
    ordered, hits = scores[order], np.cumsum(right[order])
    last = np.append(ordered[1:] != ordered[:-1], True)  # equal scores are accepted together
    accepted = np.arange(1, len(order) + 1)[last]
    return {
        "threshold": ordered[last].tolist(),
        "coverage": (accepted / len(order)).tolist(),
        "accuracy": (hits[last] / accepted).tolist(),
    }


def calibration_error(confidence: np.ndarray, right: np.ndarray, bins: int = BINS) -> float:
    """Expected calibration error: mean distance of confidence and accuracy over equal bins.

    As Guo et al. (2017): bins (i / bins, (i + 1) / bins], weighted by their numbers of videos.
    """
    places = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    error = 0.0
    for place in np.unique(places):
        chosen = places == place
        error += chosen.mean() * abs(right[chosen].mean() - confidence[chosen].mean())
    return float(error)


def confusion(truth: Labels, predicted: Labels, size: int) -> np.ndarray:
    """Numbers of videos by true (rows) and predicted class (columns), int [size, size]."""
    matrix = np.zeros((size, size), int)
    np.add.at(matrix, (np.asarray(truth, int), np.asarray(predicted, int)), 1)
    return matrix


def per_class(matrix: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
    """Accuracy by class, of the classes that occur in a confusion matrix."""
    totals = matrix.sum(1)
    return {n: float(matrix[i, i] / totals[i]) for i, n in enumerate(names) if totals[i]}
