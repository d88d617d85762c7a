"""Features of a part's videos, computed once for all that share encoder, data and settings."""

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from mdmf_jax.config.affecting import affecting
from mdmf_jax.config.fields import FEATURE_KEY

# What features of test clips depend on, besides the encoder's parameters. The videos' contents
# are not looked at.
_KINDS = (*FEATURE_KEY, "videos", "place")


class SharedFeatures:
    """Keeps features by what they depend on."""

    def __init__(self) -> None:
        self._kept: dict[str, np.ndarray] = {}

    def get(
        self,
        settings: Mapping[str, Any],
        encoder_params: Any,
        part: str,
        compute: Callable[[], np.ndarray],
    ) -> np.ndarray:
        """The features [V, T, D]; `compute` is called if they are not there yet.

        Args:
          settings: as `config.to_dict` gives them.
        """
        key = "/".join((part, _relevant(settings), digest(encoder_params)))
        if key not in self._kept:
            self._kept[key] = np.asarray(compute())
        return self._kept[key]


def digest(params: Any) -> str:
    """SHA-256 of all numbers of a parameter tree, their names and shapes."""
    found = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        leaf = np.ascontiguousarray(leaf)
        found.update(f"{jax.tree_util.keystr(path)} {leaf.dtype} {leaf.shape}".encode())
        found.update(leaf.tobytes())
    return found.hexdigest()


def _relevant(settings: Mapping[str, Any]) -> str:
    return json.dumps(affecting(settings, *_KINDS), sort_keys=True)
