"""Whether an episode's queries change each other's answers; for the tests of methods."""

from collections.abc import Callable

import numpy as np

CHANGES = {"drop": [0, 2, 3], "permute": [2, 0, 3, 1], "double": [0, 1, 1, 3]}


def largest_change(answer: Callable[[np.ndarray], np.ndarray], kind: str) -> float:
    """Largest relative change of a query's logits when other queries are changed.

    Args:
      answer: numbers of the queries of an episode of four -> logits [Q, W].
      kind: a key of CHANGES.
    """
    chosen = np.array(CHANGES[kind])
    before = np.asarray(answer(np.arange(4)))[chosen]
    return float(np.abs(np.asarray(answer(chosen)) - before).max() / np.abs(before).max())
