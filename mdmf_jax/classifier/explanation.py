"""Why a video got its label: every number that the decision was made of."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from mdmf_jax.classifier.calibration import Calibration
from mdmf_jax.classifier.support import SupportSet, encode_query
from mdmf_jax.evaluation.compiled_method import CompiledMethod, Features
from mdmf_jax.models.methods.panel import Panel


def explain_query(
    stages: CompiledMethod, support: SupportSet, calibration: Calibration, features: Features
) -> dict[str, Any]:
    """All that is known about one query with features [1, ...].

    Returns:
      label (the nearest class), score, threshold, accepted, probabilities (by class), prompt
      (None, or choice and probabilities by class), distances and posteriors (by view or kind,
      then by class), trusted (the view that is surer, if there are several), source and
      support_frames (the most similar video of the nearest class, and small pictures of it
      [T, h, w, 3]), similarity (cosines [T, T]: "frames", of the query's frames, rows, with
      that video's; and by view, of the query's frame tokens with the prototype's), and
      diagnostics (the method's own, classes as in `support`).
    """
    names, texts = list(support.classes), support.texts
    supports, mask = support.stacked(stages)
    query, scores = encode_query(stages, texts, features)
    logits, diagnostics = stages.explain(supports, query, texts, mask)
    best = int(logits[0].argmax())
    score = float(calibration.scores(logits)[0])
    panels = stages.model.method.panels(diagnostics)
    distances = _distances(diagnostics, panels)
    posteriors = {k: calibration.posteriors(-d) for k, d in distances.items()}
    # Sureness is how far the best posterior stands out.
    sure = {k: float(p.max()) for k, p in posteriors.items()}
    nearest = support.classes[names[best]]
    number, cosines = _nearest_video(nearest.features["frames"], features["frames"][0])
    return {
        "label": names[best],
        "score": score,
        "threshold": calibration.threshold,
        "accepted": bool(calibration.accepts(logits)[0]),
        "probabilities": _named(names, calibration.posteriors(logits[0])),
        "prompt": _prompt(stages, names, scores),
        "distances": {k: _named(names, d) for k, d in distances.items()},
        "posteriors": {k: _named(names, p) for k, p in posteriors.items()},
        "trusted": max(sure, key=lambda kind: sure[kind]) if len(sure) > 1 else None,
        "source": nearest.sources[number],
        "support_frames": nearest.pictures[number],
        "similarity": {"frames": cosines} | _token_similarity(panels, best),
        "diagnostics": diagnostics,
    }


def _named(names: list[str], values: np.ndarray) -> dict[str, float]:
    return dict(zip(names, map(float, values), strict=True))


def _prompt(stages: CompiledMethod, names: list[str], scores: np.ndarray | None):
    if scores is None:
        return None
    probability = stages.prompt_probability(scores)[0]
    choice = names[int(scores[0].argmax())]
    return {"choice": choice, "probabilities": _named(names, probability)}


def _distances(
    diagnostics: Mapping[str, np.ndarray], panels: Mapping[str, Panel]
) -> dict[str, np.ndarray]:
    """Distances of the query to the classes [W] by view; of methods with one view, "frames"."""
    found = {name: -np.asarray(panel.visual)[0] for name, panel in panels.items()}
    if "distance" in diagnostics:
        found["frames"] = diagnostics["distance"][0]
    return found


def _nearest_video(videos: np.ndarray, query: np.ndarray) -> tuple[int, np.ndarray]:
    """The video [T, D] of [K, T, D] whose frames are most like the query's, and the cosines."""
    cosines = np.einsum("td,ksd->kts", _unit(query), _unit(videos))
    number = int(cosines.max(-1).mean(-1).argmax())
    return number, cosines[number]


def _token_similarity(panels: Mapping[str, Panel], best: int) -> dict[str, np.ndarray]:
    """Of methods that compare tokens of their own: their cosines, by view."""
    return {
        name: _unit(np.asarray(panel.query)[0]) @ _unit(np.asarray(panel.prototypes)[best]).T
        for name, panel in panels.items()
    }


def _unit(x: np.ndarray) -> np.ndarray:
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)
