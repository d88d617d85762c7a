"""Probabilities, the score of "none of these", and what evaluations report. Plain numpy.

A score says how well a video fits the nearest class; below a threshold it is of none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

TARGET = 0.95  # share of the videos of known classes that are to be accepted
REJECTED = 0.8  # share of foreign videos to be rejected
EXTRA_LOSS = 0.05  # share of known videos given up for that, beyond those of the target
BINS = 15
# Nats that probabilities must be better than equal ones, which know nothing.
LEAST_GAIN = 1e-3
# Where the nearest class must lie between its probability by chance (0) and certainty (1).
LEAST_PROBABILITY = 0.05
_TAIL = 5  # videos below a quantile that make it known without a normal distribution
_TEMPERATURES = np.logspace(-4, 4, 161)


Labels = Sequence[int] | np.ndarray


@dataclass(frozen=True)
class Calibration:
    """How logits become probabilities and decisions.

    Attributes:
      temperature: logits are divided by it; None if they hold no information, so that all
        classes are equally probable.
      threshold: lowest score that counts as one of the classes.
      score: name of the score; see SCORES.
      target: share of the videos of known classes that the threshold is meant to accept.
      origin: what it was made from: "leave_one_out", "left_out_classes" or "validation".
      known, foreign: numbers of videos it was made from.
      auroc: of known against foreign videos among them; None without both.
      evidence: whether videos left out were recognised better than by chance (see `verdict`);
        if not, no video is accepted. None if that is not known, as of an older saved model.
    """

    temperature: float | None
    threshold: float
    score: str
    target: float
    origin: str
    known: int
    foreign: int
    auroc: float | None
    evidence: bool | None = None

    def posteriors(self, logits: np.ndarray) -> np.ndarray:
        """Probabilities of the classes, over the last axis of logits [..., W]."""
        return softmax(logits / self.temperature if self.temperature else np.zeros_like(logits))

    def scores(self, logits: np.ndarray) -> np.ndarray:
        """How well each video fits its nearest class: logits [Q, W] -> [Q]."""
        return SCORES[self.score](logits)

    def accepts(self, logits: np.ndarray) -> np.ndarray:
        """Whether each video gets the label of its nearest class, else "unknown": bool [Q].

        Every answer of a classifier is decided here. A label needs three things: classes that
        were recognised better than by chance, a video that fits one of them (the threshold),
        and a probability above chance. Where no one knows about the first, as in models of
        version 0.1.0, the threshold decides, as it did then.

        Args:
          logits: [Q, W].
        """
        fits = self.scores(logits) >= self.threshold
        if self.evidence is None:
            return fits
        chance = 1 / logits.shape[-1]
        sure = self.posteriors(logits).max(-1) > chance + LEAST_PROBABILITY * (1 - chance)
        return fits & sure & self.evidence


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
    evidence: bool | None = None,
) -> Calibration:
    """Temperature and threshold from videos that the classes were not made of.

    Without videos of known classes the threshold is the score that REJECTED of the foreign
    ones do not reach, and the temperature the typical deviation of a video's logits.

    Args:
      logits, labels: of videos of known classes [N, W] and [N].
      foreign: logits of videos of other classes [M, any number].
      target: share of the known that the threshold accepts; see `threshold_between`.
      evidence: see `Calibration`.
    """
    measure = SCORES[score]
    outside = measure(foreign) if len(foreign) else np.zeros(0)
    if len(labels):
        inside = measure(logits)
        threshold = threshold_between(inside, outside, target)
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
        evidence,
    )


def threshold_between(inside: np.ndarray, outside: np.ndarray, target: float) -> float:
    """The score that `target` of the known videos reach, or a higher one if foreign ones are near.

    To reject REJECTED of the foreign videos, up to EXTRA_LOSS more of the known are given up.
    On the demo's test classes (5 known of 3 videos each, 3 foreign, 60 draws of both, trained
    CLIP-MDMF) this rejects 82% of the foreign and 9% of the known videos. The lowest score left
    out, used before, rejected 71% and 7%; the best possible threshold at 10% of the known 88%.

    Args:
      inside, outside: scores of known [N] and foreign [M] videos.
    """
    loss = 1 - target
    low = tail_quantile(inside, loss)
    high = tail_quantile(inside, loss + min(loss, EXTRA_LOSS))
    return float(np.clip(np.quantile(outside, REJECTED), low, high)) if len(outside) else low


def tail_quantile(values: np.ndarray, share: float) -> float:
    """The value that `share` of such values lie below.

    So few values that less than _TAIL of them lie there do not tell it themselves: it is that of
    a normal distribution with their mean and deviation.
    """
    if share <= 0 or share >= 1 or len(values) < 3 or share * len(values) >= _TAIL:
        return quantile_below(values, min(max(share, 0.0), 1 - 1 / len(values)))
    spread = NormalDist(float(values.mean()), float(values.std(ddof=1)) or 1e-12)
    return spread.inv_cdf(share)


def quantile_below(values: np.ndarray, share: float) -> float:
    """The largest of the values that at most `share` of them lie below."""
    return float(np.sort(values)[int(np.floor(share * len(values) + 1e-9))])


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float | None:
    """The temperature that gives smoothed labels the highest likelihood.

    None if even that is not better than equal probabilities: the logits hold no information.

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
    temperature = float(grid[len(grid) // 2])
    return temperature if np.log(way) - loss(temperature) > LEAST_GAIN else None


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
