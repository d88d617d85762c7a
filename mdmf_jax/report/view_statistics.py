"""How PPS and the two views of CLIP-MDMF behaved. Plain numpy."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np


class QueryViews(NamedTuple):
    """Scores of Q queries in one view, each [Q, W]: of the text part and of the visual part."""

    text: np.ndarray
    visual: np.ndarray


def posterior(scores: np.ndarray) -> np.ndarray:
    """Softmax over the classes, without a temperature, as the distillation takes it."""
    shifted = np.exp(scores - scores.max(-1, keepdims=True))
    return shifted / shifted.sum(-1, keepdims=True)


def trusted_view(views: Mapping[str, QueryViews]) -> np.ndarray:
    """Name of the view whose visual posterior stands out more, for each query [Q]."""
    names = list(views)
    sure = np.stack([posterior(view.visual).max(-1) for view in views.values()])
    return np.array(names)[sure.argmax(0)]


def view_statistics(
    views: Mapping[str, QueryViews], labels: np.ndarray, condition: str
) -> dict[str, Any]:
    """Shares over queries with labels [Q].

    Args:
      views: "local" and "global", in this order.
      condition: who counts as reliable in the distillation; see `MDMFConfig`.

    Returns:
      queries, agreement (both views give the same answer), alone (accuracy of each view by
      itself), trusted (how often each is), trusted_accuracy (of the trusted view's answers),
      teachers (how often each would teach the other, and "neither").
    """
    answers = {name: view.visual.argmax(-1) for name, view in views.items()}
    trusted = trusted_view(views)
    of_trusted = np.where(trusted == "local", answers["local"], answers["global"])
    return {
        "queries": len(labels),
        "agreement": float((answers["local"] == answers["global"]).mean()),
        "alone": {name: float((answer == labels).mean()) for name, answer in answers.items()},
        "trusted": {name: float((trusted == name).mean()) for name in views},
        "trusted_accuracy": float((of_trusted == labels).mean()),
        "teachers": _teachers(views, condition),
    }


def _teachers(views: Mapping[str, QueryViews], condition: str) -> dict[str, float]:
    local, other = (
        [posterior(part).max(-1) for part in views[name]] for name in ("local", "global")
    )
    text, visual = local[0] >= other[0], local[1] >= other[1]
    leads = {
        "text": (text, ~text),
        "visual": (visual, ~visual),
        "text_and_visual": (text & visual, ~text & ~visual),
        "none": (np.ones_like(text), np.ones_like(text)),
    }[condition]
    local_leads, global_leads = (float(lead.mean()) for lead in leads)
    neither = float((~leads[0] & ~leads[1]).mean())
    return {"local": local_leads, "global": global_leads, "neither": neither}


def prompt_statistics(
    answers: Mapping[str, np.ndarray], episodes: Mapping[str, np.ndarray], names: Sequence[str]
) -> dict[str, Any] | None:
    """How good the prompts of PPS were; None for methods that choose none.

    Args:
      answers, episodes, names: see `episode_metrics`.

    Returns:
      right (share of queries given their own class's text), chance, accuracy_right and
      accuracy_wrong (of the queries with the right and with a wrong prompt; None without any),
      per_class (share of right prompts by class name).
    """
    choice, labels = answers.get("prompt_choice"), episodes["query_labels"]
    if choice is None:
        return None
    given, hits = choice == labels, answers["prediction"] == labels
    truth = np.take_along_axis(episodes["class_ids"], labels, axis=1)
    return {
        "right": float(given.mean()),
        "chance": 1 / episodes["support"].shape[1],
        "accuracy_right": float(hits[given].mean()) if given.any() else None,
        "accuracy_wrong": float(hits[~given].mean()) if not given.all() else None,
        "per_class": {
            name: float(given[truth == number].mean())
            for number, name in enumerate(names)
            if (truth == number).any()
        },
    }
