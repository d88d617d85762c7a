"""Spans of a long video from its windows."""

from collections.abc import Iterator

import numpy as np

from mdmf_jax.classifier.calibration import Calibration
from mdmf_jax.classifier.encoding import encode_windows
from mdmf_jax.classifier.support import SupportSet, query_logits
from mdmf_jax.classifier.windows import Span, Window, merge_windows
from mdmf_jax.evaluation.compiled_method import CompiledMethod


def spans_of(
    stages: CompiledMethod, support: SupportSet, calibration: Calibration, windows: Iterator[Window]
) -> list[Span]:
    """The spans that show one of the classes; see `merge_windows`."""
    bounds, features = encode_windows(stages, windows)
    logits = query_logits(stages, support, features)
    # What is not accepted gains nothing; see `merge_windows`.
    scores = np.where(calibration.accepts(logits), calibration.scores(logits), -np.inf)
    posteriors, names = calibration.posteriors(logits), list(support.classes)
    return merge_windows(bounds, posteriors, scores, calibration.threshold, names)
