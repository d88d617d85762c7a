"""Episodes of two classes that differ in the order of the same parts: A then B, B then A.

A method that ignores the order of the frames can only guess in them.
"""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mdmf_jax.data.episodes.drawing import check_split, query_labels, sample_episode
from mdmf_jax.data.protocols.splits import Split, class_name
from mdmf_jax.errors import DataError

ORDER = "order"  # the value of --pairs that looks for names "X then Y" and "Y then X"
_THEN = " then "

Pairs = tuple[tuple[int, int], ...]


def find_pairs(names: Sequence[str]) -> Pairs:
    """Places (i, j), i < j, of the classes whose names are "X then Y" and "Y then X"."""
    places = {name: i for i, name in enumerate(names)}
    found = []
    for i, name in enumerate(names):
        first, then, second = name.partition(_THEN)
        j = places.get(f"{second}{_THEN}{first}") if then else None
        if j is not None and i < j:
            found.append((i, j))
    return tuple(found)


def read_pairs(file: Path, split: Split) -> Pairs:
    """Pairs of classes from a file: two names a line with a comma between them.

    A name is that of a class's folder or the same in words; a name with a comma stands in double
    quotes.

    Raises:
      DataError: the file cannot be read, or a line is not two different classes of the split.
    """
    try:
        with open(file, newline="", encoding="utf-8") as lines:
            rows = [(i, row) for i, row in enumerate(csv.reader(lines), start=1) if any(row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{file}: cannot be read as a list of class pairs ({error})") from None
    known = {class_name(name): i for i, name in enumerate(split.folders)}
    known |= {class_name(name): i for i, name in enumerate(split.names)}
    pairs = tuple(_pair(row, known, f"{file}, line {number}", split) for number, row in rows)
    if not pairs:
        raise DataError(f"{file}: lists no pairs; write two class names a line, with a comma")
    return pairs


def choose_pairs(which: str, split: Split) -> Pairs:
    """The pairs that --pairs means: "order", or a file as for `read_pairs`.

    Raises:
      DataError: the split has no such classes, or the file is wrong.
    """
    if which != ORDER:
        return read_pairs(Path(which), split)
    pairs = find_pairs(split.names)
    if not pairs:
        raise DataError(
            f"{split.name}: has no classes named 'X then Y' and 'Y then X'; give --pairs a file "
            "with two class names a line, or leave it out"
        )
    return pairs


def pair_episodes(
    split: Split, pairs: Pairs, *, shot: int, queries: int, episodes: int, seed: int
) -> dict[str, np.ndarray]:
    """2-way episodes, each of one pair, the pairs in turn; as `sample_episode_table` gives them.

    Episode i is a pure function of the seed, the split, i and its pair.

    Raises:
      DataError: a class has too few videos.
    """
    check_split(split, 2, shot, queries)
    table = {
        "class_ids": np.empty((episodes, 2), np.int32),
        "support": np.empty((episodes, 2, shot), np.int32),
        "query": np.empty((episodes, 2 * queries), np.int32),
        "query_labels": np.tile(query_labels(2, queries), (episodes, 1)),
        "index": np.arange(episodes, dtype=np.int32),
    }
    for row in range(episodes):
        pair = np.array(pairs[row % len(pairs)])
        episode = sample_episode(
            split.counts[pair],
            way=2,
            shot=shot,
            queries=queries,
            seed=seed,
            split=f"{split.name} pairs",
            index=row,
        )
        classes = pair[episode.classes]
        offsets = split.offsets[classes][:, None]
        table["class_ids"][row] = classes
        table["support"][row] = offsets + episode.support
        table["query"][row] = (offsets + episode.query).reshape(-1)
    return table


def _pair(row: list[str], known: dict[str, int], where: str, split: Split) -> tuple[int, int]:
    if len(row) != 2:
        raise DataError(f"{where}: has {len(row)} names; write two with a comma between them")
    places = []
    for name in row:
        if class_name(name.strip()) not in known:
            raise DataError(f"{where}: {name.strip()!r} is not a class of the {split.name} split")
        places.append(known[class_name(name.strip())])
    if places[0] == places[1]:
        raise DataError(f"{where}: names one class twice; a pair is two classes")
    return places[0], places[1]
