"""Reads the settings and arrays of a classifier that version 0.1.0 saved."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from mdmf_jax.config.renamed import new_settings

# Reads (text, features by name, pictures) of a class.
ReadArrays = Callable[[Mapping[str, np.ndarray], int], tuple]

_CLIPS = ("frames", "resize", "crop", "pipeline", "sampling")


def read_format_1(values: Mapping[str, Any]) -> tuple[dict[str, Any], ReadArrays]:
    """Its settings as they are written today, and a reader of its arrays.

    Raises:
      KeyError: a setting is missing.
    """
    method = str(values["method"])
    today, _ = new_settings({method: values["head"], "segments": values["segments"]})
    settings = {
        "method": method,
        "head": today[method],
        "sections": {"tuples": today["tuples"]},
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
