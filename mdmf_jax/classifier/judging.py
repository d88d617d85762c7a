"""Calibration and verdict of a support set: from its own videos left out, or from others."""

from collections.abc import Sequence

import numpy as np

from mdmf_jax.classifier.calibration import Calibration, calibrate
from mdmf_jax.classifier.leave_one_out import leave_one_out, left_out, why_none
from mdmf_jax.classifier.support import SupportSet
from mdmf_jax.classifier.verdict import Verdict, judge
from mdmf_jax.evaluation.compiled_method import CompiledMethod


def judge_support(
    stages: CompiledMethod, support: SupportSet, score: str, target: float
) -> tuple[Calibration, Verdict]:
    """Both from the support videos, each left out in turn; see `leave_one_out`.

    Args:
      score, target: see `calibrate`.
    """
    logits, labels, foreign = leave_one_out(stages, support)
    judged = [support.sources[video] for video, _ in left_out(support)]
    unjudged = "" if judged else why_none(support)
    verdict = judge(
        logits, labels, list(support.classes), judged, origin="leave_one_out", unjudged=unjudged
    )
    origin = "leave_one_out" if judged else "left_out_classes"
    return _calibrated(logits, labels, foreign, origin, score, target, verdict), verdict


def judge_validation(
    logits: np.ndarray,
    truth: Sequence[str],
    sources: Sequence[str],
    names: list[str],
    score: str,
    target: float,
) -> tuple[Calibration, Verdict]:
    """Both from other labelled videos, some of them of classes `names`.

    Args:
      logits: [N, W].
      truth, sources: label and origin of each [N].
    """
    known = np.array([label in names for label in truth], bool)
    labels = np.array([names.index(t) for t, k in zip(truth, known, strict=True) if k])
    judged = [source for source, k in zip(sources, known, strict=True) if k]
    verdict = judge(logits[known], labels, names, judged, origin="validation")
    made = _calibrated(logits[known], labels, logits[~known], "validation", score, target, verdict)
    return made, verdict


def _calibrated(
    logits, labels, foreign, origin: str, score: str, target: float, verdict: Verdict
) -> Calibration:
    return calibrate(
        logits, labels, foreign, origin=origin, score=score, target=target,
        evidence=verdict.evidence,
    )  # fmt: skip
