"""Episodes whose queries are of one person or camera, and whose support videos are of others."""

import numpy as np

from mdmf_jax.data.episodes.drawing import Episode, choose, episode_rng, table_of
from mdmf_jax.data.protocols.groups import Groups
from mdmf_jax.data.protocols.splits import Split
from mdmf_jax.errors import DataError


def grouped_episode_table(
    split: Split,
    groups: Groups,
    *,
    way: int,
    shot: int,
    queries: int,
    seed: int,
    episodes: int,
) -> dict[str, np.ndarray]:
    """Episodes 0 to `episodes` - 1, as `sample_episode_table` gives them.

    Episode i is a pure function of (seed, split, groups, i). Its queries are of one group, drawn
    among those with enough videos in enough classes; the classes and videos are drawn after it.

    Raises:
      DataError: a video has no group, or no group has videos enough.
    """
    named = groups_by_class(split, groups)
    usable = usable_classes(named, way, shot, queries)
    if not usable:
        raise DataError(
            f"{split.name}: no group has {queries} videos in each of {way} classes that have "
            f"{shot} of other groups; lower way, shot or queries"
        )
    drawn = (_draw(named, usable, way, shot, queries, seed, split.name, i) for i in range(episodes))
    return table_of(split, drawn)


def groups_by_class(split: Split, groups: Groups) -> list[np.ndarray]:
    """The group of each video, class by class.

    Raises:
      DataError: a video has none.
    """
    found = [groups.of(path) or groups.of(name) for path, name in _names(split)]
    if "" in found:
        missing = split.paths[found.index("")]
        raise DataError(f"{split.name}: data.groups names no group of {missing}; add a line for it")
    return np.split(np.array(found, object), split.offsets[1:])


def usable_classes(
    named: list[np.ndarray], way: int, shot: int, queries: int
) -> dict[str, np.ndarray]:
    """Classes that can be drawn when the queries are of a group, by group, if there are enough."""
    usable = {}
    for group in sorted({group for some in named for group in some}):
        own = np.array([(some == group).sum() for some in named])
        others = np.array([len(some) for some in named]) - own
        classes = np.flatnonzero((own >= queries) & (others >= shot))
        if len(classes) >= way:
            usable[group] = classes
    return usable


def _draw(named, usable, way: int, shot: int, queries: int, seed: int, split: str, index: int):
    rng = episode_rng(seed, split, index)
    group = list(usable)[choose(len(usable), 1, rng)[0]]
    classes = usable[group][choose(len(usable[group]), way, rng)]
    support, query = [], []
    for class_ in classes:
        own = np.flatnonzero(named[class_] == group)
        others = np.flatnonzero(named[class_] != group)
        support.append(others[choose(len(others), shot, rng)])
        query.append(own[choose(len(own), queries, rng)])
    return Episode(classes, np.stack(support), np.stack(query))


def _names(split: Split) -> list[tuple[str, str]]:
    return list(zip(split.paths, split.ids, strict=True))
