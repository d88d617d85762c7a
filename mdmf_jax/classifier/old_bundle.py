"""Reads the settings and arrays of a classifier that version 0.1.0 saved."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

# Reads (text, features by name, pictures) of a class.
ReadArrays = Callable[[Mapping[str, np.ndarray], int], tuple]

# Names of options that were others.
_RENAMED = {"smoothing": "temperature", "tuples": "counts"}
_CLIPS = ("frames", "resize", "crop", "pipeline", "sampling")


def read_format_1(values: Mapping[str, Any]) -> tuple[dict[str, Any], ReadArrays]:
    """Its settings as they are written today, and a reader of its arrays.

    Raises:
      KeyError: a setting is missing.
    """
    method = values["method"]
    settings = {
        "method": method,
        "head": _today(values["head"]),
        "sections": {"tuples": _today(values["segments"])},
        "encoder": {
            "name": "clip",
            "prompt": values["prompt"],
            "normalise": values["normalise"],
        },
        "train_classes": 1,
        # The draw of frames did not depend on the run's seed.
        "clips": {name: values[name] for name in _CLIPS}
        | {"test_clips": values["test_views"], "seed": 0},
    }
    return settings, _arrays


def _arrays(arrays: Mapping[str, np.ndarray], number: int) -> tuple:
    features = {"frames": arrays[f"{number}.features"]}
    return arrays[f"{number}.text"], features, arrays[f"{number}.frames"]


def _today(options: Mapping[str, Any]) -> dict[str, Any]:
    renamed = {_RENAMED.get(name, name): value for name, value in options.items()}
    if renamed.get("matcher") == "segments":
        renamed["matcher"] = "tuples"
    return renamed
