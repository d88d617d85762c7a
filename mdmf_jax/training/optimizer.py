"""Optimizer and learning rate, and the division of the parameters into trained and frozen."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import optax
from flax.traverse_util import empty_node, flatten_dict, unflatten_dict

from mdmf_jax.config.config import ALL_BUT
from mdmf_jax.errors import ConfigError

Tree = dict[str, Any]


# BatchNorm's running statistics lie among the parameters but are not trained.
STATISTICS = r"bn\d*/(mean|var)$"


def make_optimizer(
    learning_rate: float,
    *,
    kind: str = "adam",
    weight_decay: float = 0.0,
    no_decay: Sequence[str] = (),
    warmup_steps: int = 0,
    warmup_start: float = 0.0,
    decay_at: Sequence[int] = (),
    decay_factor: float = 0.1,
) -> optax.GradientTransformation:
    """The optimizer of a run; by default as CLIP-MDMF is trained: Adam with a constant rate.

    Args:
      learning_rate: after the warm-up.
      kind: "adam" (decay 0.9 and 0.999, epsilon 1e-8) or "sgd" (no momentum).
      weight_decay: this times the parameter is added to its gradient before anything else
        (coupled L2, as PyTorch's Adam and SGD have it).
      no_decay: regular expressions; parameters whose path contains a match do not decay. Nor do
        BatchNorm's running statistics.
      warmup_steps, warmup_start, decay_at, decay_factor: see `rate_schedule`.

    Raises:
      ConfigError: another kind.
    """
    kinds = {"adam": _adam, "sgd": optax.sgd}
    if kind not in kinds:
        raise ConfigError(f"train.optimizer is {kind!r}; known: {', '.join(kinds)}")
    rate = rate_schedule(learning_rate, warmup_steps, warmup_start, decay_at, decay_factor)
    optimizer = kinds[kind](rate)
    if not weight_decay:
        return optimizer
    patterns = (*no_decay, STATISTICS)
    decay = optax.add_decayed_weights(weight_decay, mask=lambda tree: _unmatched(tree, patterns))
    return optax.chain(decay, optimizer)


def make_train_optimizer(train: Any) -> optax.GradientTransformation:
    """The optimizer that the section `train` of a config describes."""
    return make_optimizer(
        train.learning_rate,
        kind=train.optimizer,
        weight_decay=train.weight_decay,
        no_decay=train.no_decay,
        warmup_steps=train.warmup_steps,
        warmup_start=train.warmup_start,
        decay_at=train.decay_at,
        decay_factor=train.decay_factor,
    )


def rate_schedule(
    base: float,
    warmup_steps: int = 0,
    warmup_start: float = 0.0,
    decay_at: Sequence[int] = (),
    decay_factor: float = 0.1,
) -> float | optax.Schedule:
    """Learning rate by step, counted from 0; a plain number if it never changes.

    It rises in a line from `warmup_start` at step 0 to `base` at step `warmup_steps`. From each
    step in `decay_at` on, it is multiplied by `decay_factor` once more.
    """
    if not warmup_steps and not decay_at:
        return base
    factors: dict[int, float] = {}
    for step in decay_at:
        factors[step] = factors.get(step, 1.0) * decay_factor
    drops = optax.piecewise_constant_schedule(1.0, factors)
    warm = optax.constant_schedule(base)
    if warmup_steps:
        warm = optax.linear_schedule(warmup_start, base, warmup_steps)
    return lambda step: warm(step) * drops(step)


def _adam(rate: float | optax.Schedule) -> optax.GradientTransformation:
    return optax.adam(rate, b1=0.9, b2=0.999, eps=1e-8)


def _unmatched(tree: Any, patterns: Sequence[str]) -> Tree:
    """A tree of the same form: True where the parameter's path matches none of the patterns."""
    flat = flatten_dict(dict(tree), sep="/")
    marks = {name: not any(re.search(p, name) for p in patterns) for name in flat}
    return unflatten_dict(marks, sep="/")


def split_params(
    params: Mapping[str, Any], freeze: Sequence[str], *, may_be_all: bool = False
) -> tuple[Tree, Tree]:
    """Divides a parameter tree into (trained, frozen).

    Only the trained part is differentiated and known to the optimizer: a frozen encoder costs
    no backward pass and no optimizer state, and its numbers stay the same bit for bit.

    Args:
      freeze: regular expressions; a parameter whose path ("encoder/visual_projection/kernel")
        contains a match is frozen.
      may_be_all: it is no error if nothing is left to train, as with a frozen encoder and a
        method that has no parameters.

    Raises:
      ConfigError: an expression matches no parameter, or all parameters are frozen.
    """
    flat = flatten_dict(dict(params), sep="/", keep_empty_nodes=True)
    empty = {name for name, value in flat.items() if value is empty_node}
    for pattern in freeze:
        if pattern.startswith(ALL_BUT):
            continue
        if not any(re.search(pattern, name) for name in flat.keys() - empty):
            raise ConfigError(
                f"train.freeze: {pattern!r} matches no parameter (the paths begin with encoder/ "
                "or head/)"
            )
    held = empty | {name for name in flat if any(re.search(p, name) for p in freeze)}
    frozen = {n: v for n, v in flat.items() if n in held}
    trained = {n: v for n, v in flat.items() if n not in frozen}
    if not trained and not may_be_all:
        raise ConfigError(
            "train.freeze freezes all parameters; nothing is left to train: free some, or set "
            "train.steps to 0"
        )
    return unflatten_dict(trained, sep="/"), unflatten_dict(frozen, sep="/")


def join_params(trained: Mapping[str, Any], frozen: Mapping[str, Any]) -> Tree:
    """The whole tree again; the inverse of `split_params`."""
    parts = (flatten_dict(dict(part), keep_empty_nodes=True) for part in (trained, frozen))
    return unflatten_dict({name: value for part in parts for name, value in part.items()})
