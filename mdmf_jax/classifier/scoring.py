"""What `evaluate` reports: figures from logits, labels, and classes never shown."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from mdmf_jax.classifier import calibration as c
from mdmf_jax.classifier.verdict import tail_probability

UNKNOWN = "unknown"


class Prediction(NamedTuple):
    """The answer for one video.

    Attributes:
      source: the video.
      label: its class, or "unknown"; None if it could not be read.
      nearest: the most probable class.
      probability: of `nearest`, among the classes.
      score: how well it fits. The label is "unknown" below the threshold, and where
        `Calibration.accepts` says so for another reason.
    """

    source: str
    label: str | None = None
    nearest: str | None = None
    probability: float = np.nan
    score: float = np.nan


def prediction(
    source: str, logits: np.ndarray, names: Sequence[str], calibration: c.Calibration
) -> Prediction:
    """The answer for a video with these logits [W]."""
    score = float(calibration.scores(logits[None])[0])
    nearest = names[int(logits.argmax())]
    probability = float(calibration.posteriors(logits).max())
    label = nearest if calibration.accepts(logits[None])[0] else UNKNOWN
    return Prediction(source, label, nearest, probability, score)


def evaluation(
    logits: np.ndarray, truth: Sequence[str], names: Sequence[str], calibration: c.Calibration
) -> dict[str, Any]:
    """Figures of labelled videos; shares lie in 0..1.

    Args:
      logits: [N, W].
      truth: label of each video; labels that are not in `names` are classes never shown.

    Returns:
      videos, known, foreign (numbers of videos); chance (1 / W), p_value (how often chance gives
      as many right answers, see `tail_probability`); of the videos of known classes: accuracy (of
      the nearest class, whatever its score), coverage (share accepted), accepted_accuracy,
      curve (see `accuracy_coverage`), calibration_error (15 bins), per_class; of all:
      open_accuracy ("unknown" is right for foreign videos), auroc of known against foreign and
      rejected (share of the foreign that is "unknown"), None without foreign videos;
      labels and confusion (rows: true, columns: predicted, "unknown" last).
    """
    position = {name: i for i, name in enumerate(names)}
    labels = np.array([position.get(label, len(names)) for label in truth])
    known = labels < len(names)
    scores = calibration.scores(logits)
    accepted, nearest = calibration.accepts(logits), logits.argmax(-1)
    predicted = np.where(accepted, nearest, len(names))
    matrix = c.confusion(labels, predicted, len(names) + 1)
    inside = _of_known(
        calibration.posteriors(logits[known]),
        scores[known],
        nearest[known] == labels[known],
        accepted[known],
    )
    closed = c.confusion(labels[known], nearest[known], len(names))
    foreign = not known.all()
    return {
        "videos": len(labels),
        "known": int(known.sum()),
        "foreign": int((~known).sum()),
        "chance": 1 / len(names),
        "p_value": tail_probability(labels[known], nearest[known], len(names)),
        **inside,
        "open_accuracy": float((predicted == labels).mean()),
        "auroc": c.auroc(scores[known], scores[~known]) if foreign and known.any() else None,
        "rejected": float((~accepted[~known]).mean()) if foreign else None,
        "per_class": c.per_class(closed, names),
        "labels": [*names, UNKNOWN],
        "confusion": matrix.tolist(),
    }


def _of_known(posteriors, scores, right, accepted) -> dict[str, Any]:
    if not len(right):
        empty = ("accuracy", "coverage", "accepted_accuracy", "curve", "calibration_error")
        return dict.fromkeys(empty)
    return {
        "accuracy": float(right.mean()),
        "coverage": float(accepted.mean()),
        "accepted_accuracy": float(right[accepted].mean()) if accepted.any() else None,
        "curve": c.accuracy_coverage(scores, right),
        "calibration_error": c.calibration_error(posteriors.max(-1), right),
    }
