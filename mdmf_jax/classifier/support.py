"""The support set: what is kept of the labelled videos, and logits of queries against it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from mdmf_jax.classifier.clips import describe
from mdmf_jax.classifier.encoding import Encoded, joined
from mdmf_jax.errors import DataError
from mdmf_jax.evaluation.compiled_method import CompiledMethod, Features


@dataclass
class SupportClass:
    """One class.

    Attributes:
      prompt: the text that stands for it.
      text: features of the prompt [D].
      features: of its videos, name -> [K, ...].
      sources: where each video came from.
      pictures: small pictures of the frames of each video, for people, uint8 [K, T, h, w, 3].
      outputs: what the method needs of each video, a tree [K, ...]; made when first needed.
    """

    prompt: str
    text: np.ndarray
    features: Features
    sources: list[str]
    pictures: np.ndarray
    outputs: Any = None


@dataclass
class SupportSet:
    """Classes by name, in the order in which they were added."""

    classes: dict[str, SupportClass] = field(default_factory=dict)

    @property
    def texts(self) -> np.ndarray:
        """Text features of the classes [W, D]."""
        return np.stack([c.text for c in self.classes.values()])

    @property
    def counts(self) -> list[int]:
        """Videos of each class [W]."""
        return [len(c.sources) for c in self.classes.values()]

    def stacked(self, stages: CompiledMethod) -> tuple[Any, np.ndarray]:
        """Outputs of all videos, a tree [W, K, ...], and which of them are there [W, K].

        Classes with fewer than K videos are filled up with copies of their first.
        """
        for class_ in self.classes.values():
            if class_.outputs is None:
                texts = np.repeat(class_.text[None], len(class_.sources), 0)
                class_.outputs = stages.encode_support(class_.features, texts)
        most = max(self.counts)
        mask = np.arange(most) < np.array(self.counts)[:, None]
        rows = [np.where(here, np.arange(most), 0) for here in mask]
        trees = [
            jax.tree.map(lambda x: np.asarray(x)[row], c.outputs)  # noqa: B023
            for c, row in zip(self.classes.values(), rows, strict=True)
        ]
        return jax.tree.map(lambda *leaves: np.stack(leaves), *trees), mask


def taken(features: Features, rows: Any) -> Features:
    """Features of some of the videos."""
    return {name: x[rows] for name, x in features.items()}


def support_classes(
    stages: CompiledMethod,
    videos: Mapping[str, Sequence[Any]],
    prompts: Sequence[str],
    encoded: Encoded,
) -> dict[str, SupportClass]:
    """Classes from their videos, encoded in the same order.

    Raises:
      DataError: none of a class's videos could be used.
    """
    texts, classes, start = stages.texts(prompts), {}, 0
    for (name, some), prompt, text in zip(videos.items(), prompts, texts, strict=True):
        places = range(start, start + len(some))
        rows = [row for row, place in enumerate(encoded.kept) if place in places]
        if not rows:
            own = {describe(video) for video in some}
            reasons = [bad.reason for bad in encoded.skipped if bad.source in own] or [
                "it has none"
            ]
            raise DataError(f"class {name!r}: no video of it can be used ({reasons[0]})")
        assert encoded.pictures is not None  # asked for by who encoded them
        sources = [describe(some[encoded.kept[row] - start]) for row in rows]
        features = taken(encoded.features, rows)
        classes[name] = SupportClass(prompt, text, features, sources, encoded.pictures[rows])
        start += len(some)
    return classes


def query_logits(stages: CompiledMethod, support: SupportSet, features: Features) -> np.ndarray:
    """Logits [Q, W] of queries with features [Q, ...]."""
    supports, mask = support.stacked(stages)
    queries, _ = encode_query(stages, support.texts, features)
    return stages.match(supports, queries, support.texts, mask)


def encode_query(
    stages: CompiledMethod,
    texts: np.ndarray,
    features: Features,
    barred: np.ndarray | None = None,
) -> tuple[Any, np.ndarray | None]:
    """Outputs of queries, a tree [Q, ...], and their scores for the texts [Q, W] or None.

    A query gets the text that suits it best, also where the method was tested with prompts
    drawn at random: the same video is to get the same answer.

    Args:
      barred: class whose text a query must not get [Q].
    """
    if not stages.chooses_prompts:
        return stages.encode_query(features, None), None
    scores = stages.class_text_logits(features, texts)
    if barred is not None:
        scores = np.where(np.arange(len(texts)) == barred[:, None], -np.inf, scores)
    return stages.encode_query(features, texts[scores.argmax(-1)]), scores


def leave_one_out(
    stages: CompiledMethod, support: SupportSet
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits of the support videos as if they were not in the support set.

    Returns:
      logits [M, W] and labels [M] of the videos whose class has others, each against those;
      and for all N videos their logits against the other classes alone [N, W - 1].
    """
    supports, mask = support.stacked(stages)
    features = joined([c.features for c in support.classes.values()])
    labels, shots = np.nonzero(mask)
    foreign = _without_own_class(stages, support, features, labels)
    queries, _ = encode_query(stages, support.texts, features)
    logits, chosen = [], np.flatnonzero(mask.sum(1)[labels] > 1)
    for video in chosen:
        rest = mask.copy()
        rest[labels[video], shots[video]] = False
        query = jax.tree.map(lambda x: x[video : video + 1], queries)  # noqa: B023
        logits.append(stages.match(supports, query, support.texts, rest)[0])
    return np.reshape(logits, (-1, len(mask))), labels[chosen], foreign


def _without_own_class(
    stages: CompiledMethod, support: SupportSet, features: Features, labels: np.ndarray
) -> np.ndarray:
    """Logits [N, W - 1] of videos against all classes but their own."""
    supports, mask = support.stacked(stages)
    texts, way = support.texts, len(mask)
    own = np.arange(way) == labels[:, None]
    if stages.independent_classes:
        queries, _ = encode_query(stages, texts, features, barred=labels)
        logits = stages.match(supports, queries, texts, mask)
        return logits[~own].reshape(-1, way - 1)
    rows = []
    for label in range(way):
        others = np.arange(way) != label
        chosen = jax.tree.map(lambda x: x[others], supports)  # noqa: B023
        queries, _ = encode_query(stages, texts[others], taken(features, labels == label))
        rows.append(stages.match(chosen, queries, texts[others], mask[others]))
    return np.concatenate(rows)
