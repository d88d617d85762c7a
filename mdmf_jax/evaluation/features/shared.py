"""Features of a part's videos, computed once for all that share encoder, data and settings."""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np

from mdmf_jax import files
from mdmf_jax.config.config import Config, to_dict

# Settings that features of test clips do not depend on. All others count as if they did.
_SECTIONS = {"variant", "method", "tuples", "episode", "train", "eval", "checkpoint"}
_SETTINGS = {
    "encoder": {"path", "prompt"},  # the encoder's parameters themselves are compared
    "data": {"flip", "jitter", "left_right", "cache", "loader", "workers", "prompt_order"},
}


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
    ) -> dict[str, np.ndarray]:
        """The features, name -> [V, ...]; `compute` is called if they are not there yet.

        Args:
          config: of the run whose features they are.
        """
        key = "/".join((split, _relevant(to_dict(config)), digest(encoder_params)))
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


def _relevant(settings: Mapping[str, Any]) -> str:
    skipped = _SECTIONS | {settings["method"]}
    kept = {
        name: {k: v for k, v in value.items() if k not in _SETTINGS.get(name, ())}
        if isinstance(value, Mapping)
        else value
        for name, value in settings.items()
        if name not in skipped
    }
    return json.dumps(kept, sort_keys=True)
