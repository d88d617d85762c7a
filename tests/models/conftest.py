"""One small episode for the tests of the methods."""

from typing import NamedTuple

import numpy as np
import pytest


class Episode(NamedTuple):
    """Frames of one episode; `support` [W, K, T, D], `query` [Q, T, D], `prompts` [W, D]."""

    support: np.ndarray
    query: np.ndarray
    prompts: np.ndarray

    @property
    def features(self) -> tuple:
        """What a method is given: features by name, and the texts."""
        return {"frames": self.support}, {"frames": self.query}, self.prompts


@pytest.fixture(scope="session")
def small_episode() -> Episode:
    rng = np.random.default_rng(0)
    shapes = ((3, 2, 5, 16), (4, 5, 16), (3, 16))
    return Episode(*(rng.standard_normal(shape).astype(np.float32) for shape in shapes))
