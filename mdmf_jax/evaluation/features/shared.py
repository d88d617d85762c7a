"""Features of a split's videos, computed once for all that share encoder, data and settings."""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from mdmf_jax import files
from mdmf_jax.config.affecting import affecting
from mdmf_jax.config.config import Config
from mdmf_jax.config.fields import FEATURE_KEY

# What features of test clips depend on, besides the encoder's parameters. What the videos hold is
# not looked at.
_KINDS = (*FEATURE_KEY, "videos", "place")


class SharedFeatures:
    """Keeps features by what they depend on."""

    def __init__(self) -> None:
        self._kept: dict[str, dict[str, np.ndarray]] = {}

    def get(
        self,
        config: Config,
        encoder_params: Any,
        split: str,
        compute: Callable[[], dict[str, np.ndarray]],
        names: Sequence[str] = ("frames",),
    ) -> dict[str, np.ndarray]:
        """The features, name -> [V, ...]; `compute` is called if they are not there yet.

        Args:
          config: of the run whose features they are.
          names: of the features that its method reads.
        """
        content = [split, sorted(names), affecting(config, *_KINDS), digest(encoder_params)]
        key = json.dumps(content)
        if key not in self._kept:
            self._kept[key] = compute()
        return self._kept[key]


def digest(params: Any) -> str:
    """SHA-256 of all numbers of a parameter tree, their names and shapes."""
    return files.sha256(_pieces(params))


def _pieces(params: Any) -> Iterator[bytes]:
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        leaf = np.ascontiguousarray(leaf)
        yield f"{jax.tree_util.keystr(path)} {leaf.dtype} {leaf.shape}".encode()
        yield leaf.tobytes()
