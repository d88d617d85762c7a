"""Adam, and the division of the parameters into trained and frozen ones."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import optax
from flax.traverse_util import flatten_dict, unflatten_dict

from mdmf_jax.errors import ConfigError

Tree = dict[str, Any]


def make_optimizer(learning_rate: float) -> optax.GradientTransformation:
    """Adam as published: decay 0.9 and 0.999, epsilon 1e-8, constant rate, no weight decay."""
    return optax.adam(learning_rate, b1=0.9, b2=0.999, eps=1e-8)


def split_params(params: Mapping[str, Any], freeze: Sequence[str]) -> tuple[Tree, Tree]:
    """Divides a parameter tree into (trained, frozen).

    Only the trained part is differentiated and known to the optimizer: a frozen encoder costs
    no backward pass and no optimizer state, and its numbers stay the same bit for bit.

    Args:
      freeze: regular expressions; a parameter whose path ("encoder/visual_projection/kernel")
        contains a match is frozen.

    Raises:
      ConfigError: an expression matches no parameter, or all parameters are frozen.
    """
    flat = flatten_dict(dict(params), sep="/")
    for pattern in freeze:
        if not any(re.search(pattern, name) for name in flat):
            raise ConfigError(
                f"train.freeze: {pattern!r} matches no parameter (the paths begin with encoder/ "
                "or head/)"
            )
    frozen = {n: v for n, v in flat.items() if any(re.search(p, n) for p in freeze)}
    trained = {n: v for n, v in flat.items() if n not in frozen}
    if not trained:
        raise ConfigError("train.freeze freezes all parameters; nothing is left to train")
    return unflatten_dict(trained, sep="/"), unflatten_dict(frozen, sep="/")


def join_params(trained: Mapping[str, Any], frozen: Mapping[str, Any]) -> Tree:
    """The whole tree again; the inverse of `split_params`."""
    return unflatten_dict(flatten_dict(dict(trained)) | flatten_dict(dict(frozen)))
