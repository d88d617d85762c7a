"""Logits of support videos as if they were not in the support set."""

from collections.abc import Iterator

import jax
import numpy as np

from mdmf_jax.classifier.encoding import joined
from mdmf_jax.classifier.support import SupportSet, encode_query, taken
from mdmf_jax.evaluation.compiled_method import CompiledMethod, Features


def leave_one_out(
    stages: CompiledMethod, support: SupportSet
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits of the support videos, each against a support set without it; see `left_out`.

    Returns:
      logits [M, W] and labels [M] of the videos that can be left out; and for all N videos
      their logits against the other classes alone [N, W - 1].
    """
    supports, mask = support.stacked(stages)
    features = joined([c.features for c in support.classes.values()])
    labels = np.nonzero(mask)[0]
    foreign = _without_own_class(stages, support, features, labels)
    queries, _ = encode_query(stages, support.texts, features)
    logits, chosen = [], []
    for video, rest in left_out(support):
        query = jax.tree.map(lambda x: x[video : video + 1], queries)  # noqa: B023
        if not stages.alone:
            supports, _ = support.stacked(stages, rest)
        logits.append(stages.match(supports, query, support.texts, rest)[0])
        chosen.append(video)
    return np.reshape(logits, (-1, len(mask))), labels[chosen], foreign


def left_out(support: SupportSet) -> Iterator[tuple[int, np.ndarray]]:
    """The videos that can be left out (numbers in order of the classes), and what remains.

    With a video all videos of its group go. Of the other classes one video goes too, where they
    would have more than its class: a class with fewer videos than the others is not as likely
    to be the nearest, whatever the videos show. A video cannot be left out where a class would
    be empty.

    Yields:
      number, and which videos remain, bool [W, K].
    """
    mask, groups = support.mask, support.groups
    for video, (label, shot) in enumerate(np.argwhere(mask)):
        rest = mask & (groups != groups[label, shot])
        if not rest.any(1).all():
            continue
        for other in np.flatnonzero(rest.sum(1) > rest[label].sum()):
            remaining = np.flatnonzero(rest[other])
            rest[other, remaining[shot % len(remaining)]] = False
        yield video, rest


def why_none(support: SupportSet) -> str:
    """Why no video can be left out."""
    if max(support.counts) == 1:
        return "one clip a class; give each class a second one"
    return "without a clip and its group, a class has none left; give clips of other groups"


def _without_own_class(
    stages: CompiledMethod, support: SupportSet, features: Features, labels: np.ndarray
) -> np.ndarray:
    """Logits [N, W - 1] of videos against all classes but their own."""
    supports, mask = support.stacked(stages)
    texts, way = support.texts, len(mask)
    own = np.arange(way) == labels[:, None]
    if stages.independent_classes and stages.alone:
        queries, _ = encode_query(stages, texts, features, barred=labels)
        logits = stages.match(supports, queries, texts, mask)
        return logits[~own].reshape(-1, way - 1)
    rows = []
    for label in range(way):
        others = np.arange(way) != label
        if not stages.alone:
            supports, _ = support.stacked(stages, others[:, None])
        chosen = jax.tree.map(lambda x: x[others], supports)  # noqa: B023
        queries, _ = encode_query(stages, texts[others], taken(features, labels == label))
        rows.append(stages.match(chosen, queries, texts[others], mask[others]))
    return np.concatenate(rows)
