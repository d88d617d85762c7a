"""Pretrained leaves laid over the parameters of an encoder, strict both ways."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from flax.traverse_util import flatten_dict, unflatten_dict

from mdmf_jax.errors import WeightsError

Tree = dict[str, Any]
_SHOWN = 5  # paths that a message names


def overlay(made: Mapping[str, Any], given: Mapping[str, Any], new: str) -> Tree:
    """`made` with the leaves of `given` in the place of its own.

    Args:
      new: regular expression of the paths that may be missing in `given`.

    Raises:
      WeightsError: a leaf is missing, unknown, or of another shape.
    """
    ours: dict[str, Any] = flatten_dict(dict(made), sep="/")
    theirs: dict[str, Any] = flatten_dict(dict(given), sep="/")
    missing = [path for path in ours if path not in theirs and not re.search(new, path)]
    unknown = [path for path in theirs if path not in ours]
    misshapen = [
        f"{path} is {tuple(theirs[path].shape)}, not {tuple(ours[path].shape)}"
        for path in ours.keys() & theirs.keys()
        if tuple(theirs[path].shape) != tuple(ours[path].shape)
    ]
    for what, paths in (("lack", missing), ("have too much", unknown), ("differ", misshapen)):
        if paths:
            more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
            raise WeightsError(
                f"the pretrained parameters {what}: {'; '.join(sorted(paths)[:_SHOWN])}{more}; "
                "take files of this encoder"
            )
    return unflatten_dict(ours | theirs, sep="/")


def divide(tree: Mapping[str, Any], chosen: Callable[[str], bool]) -> tuple[Tree, Tree]:
    """A nested dict as (leaves whose path is chosen, the others)."""
    flat = flatten_dict(dict(tree), sep="/")
    parts = {path: leaf for path, leaf in flat.items() if chosen(path)}
    others = {path: leaf for path, leaf in flat.items() if path not in parts}
    return unflatten_dict(parts, sep="/"), unflatten_dict(others, sep="/")


def merged(tree: Mapping[str, Any], other: Mapping[str, Any]) -> Tree:
    """Two nested dicts without common leaves as one."""
    return unflatten_dict(flatten_dict(dict(tree)) | flatten_dict(dict(other)))
