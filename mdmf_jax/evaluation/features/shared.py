"""Features of a part's videos, computed once for all that share encoder, data and settings."""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np

from mdmf_jax import files

# Settings that features of test clips do not depend on. All others count as if they did.
_SECTIONS = {"variant", "method", "tuples", "episode", "train", "eval", "checkpoint"}
_SETTINGS = {
    "encoder": {"path", "prompt"},  # the encoder's parameters themselves are compared
    "data": {"flip", "jitter", "left_right", "cache", "loader", "workers", "prompt_order"},
}


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
