"""Draw few-shot episodes. Episode i of a split is a pure function of (seed, split, i).

So it does not depend on what was drawn before, nor on the number of processes, devices or
loader threads; a run resumes from a step number alone, and two methods can be compared on the
same episodes.
"""

import zlib
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from mdmf_jax.data.protocols.splits import Split
from mdmf_jax.errors import DataError


class Episode(NamedTuple):
    """Classes and videos of one episode; video numbers are within their class, all int64."""

    classes: np.ndarray  # [W]
    support: np.ndarray  # [W, K]
    query: np.ndarray  # [W, N]: N query videos of each class


def episode_rng(seed: int, split: str, index: int, stream: int = 0) -> np.random.Generator:
    """Random numbers of episode `index`; stream 0 draws the videos, others serve other needs."""
    key = [seed, zlib.crc32(split.encode()), index, stream]
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(key)))


def sample_episode(
    counts: np.ndarray, *, way: int, shot: int, queries: int, seed: int, split: str, index: int
) -> Episode:
    """Draw `way` classes, and in each `shot` support and `queries` query videos, all different.

    Args:
      counts: videos of each class, [C].
      way, shot, queries: sizes of the episode; `queries` is per class.
      seed, split, index: name the episode; `seed` and `index` are 0 or more.

    Raises:
      DataError: too few classes, or too few videos in a class that was drawn.
    """
    if len(counts) < way:
        raise DataError(f"{split}: has {len(counts)} classes, {way}-way episodes need {way}")
    rng = episode_rng(seed, split, index)
    classes = choose(len(counts), way, rng)
    needed = shot + queries
    for class_ in classes:
        if counts[class_] < needed:
            raise DataError(f"{split}: class {class_} has {counts[class_]} videos, needs {needed}")
    videos = np.stack([choose(int(counts[class_]), needed, rng) for class_ in classes])
    return Episode(classes, videos[:, :shot], videos[:, shot:])


def choose(count: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """`size` of `count` numbers in random order, without repeats.

    Sorting uniform numbers needs nothing but the plain stream of `random`, which NumPy keeps
    the same from version to version; it does not promise that for `choice`.
    """
    return np.argsort(rng.random(count), kind="stable")[:size]


def sample_episode_table(
    split: Split,
    *,
    way: int,
    shot: int,
    queries: int,
    seed: int,
    episodes: int,
    start: int = 0,
) -> dict[str, np.ndarray]:
    """Episodes `start` to `start + episodes - 1` as flat video numbers, for cached features.

    Returns:
      class_ids [N, W], support [N, W, K], query [N, Q] and query_labels [N, Q] (positions in
      class_ids; class after class, Q = W * queries), index [N]; N episodes, all int32.

    Raises:
      DataError: as `check_split`.
    """
    check_split(split, way, shot, queries)
    sizes = {"way": way, "shot": shot, "queries": queries, "seed": seed, "split": split.name}
    numbers = range(start, start + episodes)
    return table_of(split, (sample_episode(split.counts, index=i, **sizes) for i in numbers), start)


def table_of(split: Split, episodes: Iterable[Episode], start: int = 0) -> dict[str, np.ndarray]:
    """Episodes of a split, the first of them number `start`, as `sample_episode_table` has them."""
    drawn = list(episodes)
    classes = np.stack([episode.classes for episode in drawn])
    offsets = split.offsets[classes][..., None]
    queries = np.stack([episode.query for episode in drawn])
    count, way, each = queries.shape
    table = {
        "class_ids": classes,
        "support": offsets + np.stack([episode.support for episode in drawn]),
        "query": (offsets + queries).reshape(count, -1),
        "query_labels": np.tile(query_labels(way, each), (count, 1)),
        "index": np.arange(start, start + count),
    }
    return {name: numbers.astype(np.int32) for name, numbers in table.items()}


def query_labels(way: int, queries: int) -> np.ndarray:
    """Labels of the queries of an episode, class after class, int32 [W * queries]."""
    return np.repeat(np.arange(way, dtype=np.int32), queries)


def check_split(split: Split, way: int, shot: int, queries: int) -> None:
    """Check that every episode of this size can be drawn.

    Raises:
      DataError: fewer classes than `way`, or a class with fewer videos than `shot + queries`.
    """
    if len(split.folders) < way:
        raise DataError(
            f"{split.name}: has {len(split.folders)} classes, {way}-way episodes need {way};"
            " add classes or lower the way"
        )
    needed = shot + queries
    for folder, count in zip(split.folders, split.counts, strict=True):
        if count < needed:
            raise DataError(
                f"{split.name}: class {folder} has {count} videos, but {shot} shot + {queries}"
                f" queries need {needed}; add videos or lower shot or queries"
            )
