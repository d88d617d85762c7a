"""The support set: what is kept of the labelled videos, and logits of queries against it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from mdmf_jax.classifier.clips import describe
from mdmf_jax.classifier.encoding import Encoded
from mdmf_jax.errors import DataError
from mdmf_jax.evaluation.compiled_method import CompiledMethod, Features


@dataclass
class SupportClass:
    """One class.

    Attributes:
      prompt: the text that stands for it; several with " / " between them.
      text: features of the prompt [D], or [M, D] for a method that takes several.
      features: of its videos, each by itself, name -> [K, ...].
      sources: where each video came from.
      pictures: small pictures of the frames of each video, for people, uint8 [K, T, h, w, 3].
      digests: of what the model sees of each video; equal ones are the same video. None from
        an older version.
      groups: a person or camera of each video, "" for none; None without.
      clips: of its videos by modality, uint8 [K, V, T, H, W, C], where support videos are
        encoded together; None where each is encoded by itself.
      outputs: what the method needs of each video, a tree [K, ...]; made when first needed.
    """

    prompt: str
    text: np.ndarray
    features: Features
    sources: list[str]
    pictures: np.ndarray
    digests: list[str] | None = None
    groups: list[str] | None = None
    clips: dict[str, np.ndarray] | None = None
    outputs: Any = None


@dataclass
class SupportSet:
    """Classes by name, in the order in which they were added."""

    classes: dict[str, SupportClass] = field(default_factory=dict)
    _seen: tuple[Any, Any] = (None, None)  # what was encoded together last, and the outputs

    @property
    def texts(self) -> np.ndarray:
        """Text features of the classes [W, D], or [W, M, D] with zeros for those not there."""
        texts = [c.text for c in self.classes.values()]
        if texts and texts[0].ndim > 1:
            most = max(len(own) for own in texts)
            texts = [np.pad(own, ((0, most - len(own)), (0, 0))) for own in texts]
        return np.stack(texts)

    @property
    def counts(self) -> list[int]:
        """Videos of each class [W]."""
        return [len(c.sources) for c in self.classes.values()]

    @property
    def mask(self) -> np.ndarray:
        """Which videos are there, bool [W, K]."""
        return np.arange(max(self.counts)) < np.array(self.counts)[:, None]

    @property
    def sources(self) -> list[str]:
        """Where the videos came from [N], in the order of the classes."""
        return [source for c in self.classes.values() for source in c.sources]

    @property
    def digests(self) -> list[str]:
        """Of all videos [N], "" where there is none."""
        return [d for c in self.classes.values() for d in c.digests or [""] * len(c.sources)]

    @property
    def group_names(self) -> list[str]:
        """Groups of all videos [N], "" where there is none."""
        return [g for c in self.classes.values() for g in c.groups or [""] * len(c.sources)]

    @property
    def groups(self) -> np.ndarray:
        """Numbers of the groups, int [W, K]; the same video twice is a group too."""
        numbers = np.full(self.mask.shape, -1)
        numbers[self.mask] = group_numbers(self.group_names, self.digests)
        return numbers

    def stacked(
        self, stages: CompiledMethod, rest: np.ndarray | None = None
    ) -> tuple[Any, np.ndarray]:
        """Outputs of all videos, a tree [W, K, ...], and which of them are to be used [W, K].

        Classes with fewer than K videos are filled up with copies of their first. Where support
        videos are encoded together, they see only those that are to be used.

        Args:
          rest: which videos are to be used, bool [W, K]; all by default.
        """
        mask = self.mask if rest is None else self.mask & rest
        if not stages.alone:
            return self._together(stages, mask), mask
        for class_, text in zip(self.classes.values(), self.texts, strict=True):
            if class_.outputs is None:
                texts = np.repeat(text[None], len(class_.sources), 0)
                class_.outputs = stages.encode_support(class_.features, texts)
        rows = [np.where(here, np.arange(mask.shape[1]), 0) for here in self.mask]
        trees = [
            jax.tree.map(lambda x: np.asarray(x)[row], c.outputs)  # noqa: B023
            for c, row in zip(self.classes.values(), rows, strict=True)
        ]
        return jax.tree.map(lambda *leaves: np.stack(leaves), *trees), mask

    def _together(self, stages: CompiledMethod, mask: np.ndarray) -> Any:
        """Outputs of the videos of a mask, which see each other, a tree [W, K, ...]."""
        key = (tuple(self.classes), tuple(self.digests), mask.tobytes())
        if self._seen[0] != key:
            pairs = list(zip(self.classes.values(), mask, strict=True))
            names = next(iter(self.classes.values())).clips or {}
            clips = {
                n: np.concatenate([(c.clips or {})[n][here[: len(c.sources)]] for c, here in pairs])
                for n in names
            }
            texts = np.repeat(self.texts, mask.sum(1), axis=0)
            self._seen = key, stages.encode_support(stages.together(clips), texts)
        # Number of each video among those of the mask; other places hold the first of all.
        places = np.where(mask, np.cumsum(mask).reshape(mask.shape) - 1, 0)
        return jax.tree.map(lambda x: np.asarray(x)[places], self._seen[1])


def taken(features: Features, rows: Any) -> Features:
    """Features of some of the videos."""
    return {name: x[rows] for name, x in features.items()}


def support_classes(
    stages: CompiledMethod,
    videos: Mapping[str, Sequence[Any]],
    prompts: Sequence[Sequence[str]],
    encoded: Encoded,
    cut: bool = False,
) -> dict[str, SupportClass]:
    """Classes from their videos, encoded in the same order.

    Args:
      prompts: texts of each class [C][M].
      cut: see `FewShotModel.token_ids`.

    Raises:
      DataError: none of a class's videos could be used.
    """
    texts, classes, start = stages.texts(prompts, cut), {}, 0
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
        digests = [encoded.digests[row] for row in rows]
        classes[name] = SupportClass(
            " / ".join(prompt), text, features, sources, encoded.pictures[rows], digests,
            clips=_clips(encoded, rows),
        )  # fmt: skip
        start += len(some)
    return classes


def _clips(encoded: Encoded, rows: Sequence[int]) -> dict[str, np.ndarray] | None:
    if not encoded.clips:
        return None
    return {name: np.stack([encoded.clips[row][name] for row in rows]) for name in encoded.clips[0]}


def query_logits(
    stages: CompiledMethod,
    support: SupportSet,
    features: Features,
    barred: np.ndarray | None = None,
) -> np.ndarray:
    """Logits [Q, W] of queries with features [Q, ...].

    Args:
      barred: support videos that are not to be used, bool [W, K]; some of each class remain.
    """
    supports, mask = support.stacked(stages, None if barred is None else ~barred)
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


def group_numbers(groups: Sequence[str], digests: Sequence[str]) -> np.ndarray:
    """Numbers of groups [N]: equal where videos share a group or are the same video.

    Args:
      groups, digests: of each video; "" is shared with none.
    """
    numbers = np.arange(len(groups))
    first: dict[Any, int] = {}
    for video, keys in enumerate(zip(groups, digests, strict=True)):
        for key in enumerate(keys):
            if key[1]:
                other = first.setdefault(key, video)
                numbers[numbers == numbers[video]] = numbers[other]
    return numbers
