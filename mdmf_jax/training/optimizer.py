"""Optimizer and learning rate, and the division of the parameters into trained and frozen."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax.traverse_util import empty_node, flatten_dict, unflatten_dict

from mdmf_jax.config.config import ALL_BUT
from mdmf_jax.config.param_groups import ParamGroup, group_of, param_groups
from mdmf_jax.errors import ConfigError
from mdmf_jax.training.average import with_average
from mdmf_jax.training.sharding import path_name

Tree = dict[str, Any]

# BatchNorm's running statistics and the bases of LoRA lie among the parameters but are not trained.
NOT_TRAINED = r"bn\d*/(mean|var)$|/adapter/.*/basis$"


def make_optimizer(
    learning_rate: float,
    *,
    kind: str = "adam",
    betas: tuple[float, float] = (0.9, 0.999),
    epsilon: float = 1e-8,
    weight_decay: float = 0.0,
    no_decay: Sequence[str] = (),
    groups: Sequence[str] = (),
    clip_norm: float = 0.0,
    average: float = 0.0,
    **schedule: Any,
) -> optax.GradientTransformation:
    """The optimizer of a run; by default as CLIP-MDMF is trained: Adam with a constant rate.

    Args:
      learning_rate: after the warm-up.
      kind: "adam", "adamw", or "sgd" (no momentum).
      betas, epsilon: of Adam and AdamW.
      weight_decay: with Adam and SGD this times the parameter is added to its gradient before
        anything else (coupled L2, as PyTorch has it); with AdamW the learning rate times it times
        the parameter is taken off the parameter (decoupled; Loshchilov and Hutter 2019).
      no_decay: regular expressions; parameters whose path contains a match do not decay. Nor do
        those that are not trained.
      groups: see `param_groups`; the first that matches a parameter's path holds for it.
      clip_norm: a gradient whose Euclidean norm over all parameters is larger is scaled down to
        it, before anything else; 0: none is.
      average: see `with_average`; 0: no average is kept.
      schedule: see `rate_schedule`.

    Raises:
      ConfigError: another kind, or groups or a schedule that make no sense.
    """
    if kind not in ("adam", "adamw", "sgd"):
        raise ConfigError(f"train.optimizer is {kind!r}; known: adam, sgd, adamw")
    known = param_groups(groups)
    decays = weight_decay > 0 or any(group.decay for group in known)
    decay = [_decay(weight_decay, no_decay, known)] if decays else []
    rate = rate_schedule(learning_rate, **schedule)
    adam = optax.scale_by_adam(b1=betas[0], b2=betas[1], eps=epsilon)
    optimizer = optax.chain(
        optax.identity() if kind == "sgd" else adam,
        *(decay if kind == "adamw" else []),
        *([_group_rates(known)] if known else []),
        optax.scale_by_learning_rate(rate),
    )
    if decay and kind != "adamw":
        optimizer = optax.chain(*decay, optimizer)
    if clip_norm:
        optimizer = optax.chain(optax.clip_by_global_norm(clip_norm), optimizer)
    return with_average(optimizer, average) if average else optimizer


def make_train_optimizer(train: Any) -> optax.GradientTransformation:
    """The optimizer that the section `train` of a config describes.

    Raises:
      ConfigError: as `make_optimizer`.
    """
    return make_optimizer(
        train.learning_rate,
        kind=train.optimizer,
        betas=(train.beta1, train.beta2),
        epsilon=train.epsilon,
        weight_decay=train.weight_decay,
        no_decay=train.no_decay,
        groups=train.groups,
        clip_norm=train.clip_norm,
        average=train.average,
        warmup_steps=train.warmup_steps,
        warmup_start=train.warmup_start,
        decay_at=train.decay_at,
        decay_factor=train.decay_factor,
        decay_to=train.decay_to,
        cosine_steps=train.cosine_steps,
        lag=train.schedule_lag,
    )


def rate_schedule(
    base: float,
    warmup_steps: int = 0,
    warmup_start: float = 0.0,
    decay_at: Sequence[int] = (),
    decay_factor: float = 0.1,
    decay_to: Sequence[float] = (),
    cosine_steps: int = 0,
    lag: int = 0,
) -> float | optax.Schedule:
    """Learning rate by step, counted from 0; a plain number if it never changes.

    It rises in a line from `warmup_start` at step 0 to `base` at step `warmup_steps`. From each
    step in `decay_at` on, it is multiplied by `decay_factor` once more.

    Args:
      decay_to: what the rate is multiplied by from each step in `decay_at` on, instead.
      cosine_steps: from the end of the warm-up the rate falls as half a cosine, to 0 at this
        step; 0: it does not.
      lag: step i has the rate of step i - lag, and the first `lag` that of step 0.

    Raises:
      ConfigError: the cosine ends before the warm-up, or there are drops beside it; or there is
        another number of drops than of `decay_to`.
    """
    if decay_to and (len(decay_to) != len(decay_at) or list(decay_at) != sorted(set(decay_at))):
        raise ConfigError(
            f"train.decay_to is {tuple(decay_to)}; it must have one share for each of "
            f"train.decay_at, {tuple(decay_at)}, which must rise"
        )
    if cosine_steps and (decay_at or cosine_steps <= warmup_steps):
        raise ConfigError(
            f"train.decay_at is {tuple(decay_at)} and train.warmup_steps {warmup_steps}; with a "
            f"cosine over {cosine_steps} steps there can be no drops and only a shorter warm-up"
        )
    if not warmup_steps and not decay_at and not cosine_steps:
        return base
    factors: dict[int, float] = {}
    each = [decay_factor] * len(decay_at)
    if decay_to:
        each = [share / before for share, before in zip(decay_to, (1.0, *decay_to), strict=False)]
    for step, factor in zip(decay_at, each, strict=True):
        factors[step] = factors.get(step, 1.0) * factor
    fall = optax.piecewise_constant_schedule(1.0, factors)
    if cosine_steps:
        cosine = optax.cosine_decay_schedule(1.0, cosine_steps - warmup_steps)
        fall = lambda step: cosine(jnp.maximum(step - warmup_steps, 0))  # noqa: E731
    warm = optax.constant_schedule(base)
    if warmup_steps:
        warm = optax.linear_schedule(warmup_start, base, warmup_steps)
    late = (lambda step: jnp.maximum(step - lag, 0)) if lag else (lambda step: step)
    return lambda step: warm(late(step)) * fall(late(step))


def _decay(
    weight_decay: float, no_decay: Sequence[str], groups: Sequence[ParamGroup]
) -> optax.GradientTransformation:
    """Adds each parameter's own decay times the parameter to what is given."""

    def amount(path: Any) -> float:
        name = path_name(path)
        if any(re.search(pattern, name) for pattern in (*no_decay, NOT_TRAINED)):
            return 0.0
        own = group_of(name, groups).decay
        return weight_decay if own is None else own

    by_path = jax.tree_util.tree_map_with_path
    add = optax.stateless(lambda updates, params: by_path(
        lambda path, update, param: update + amount(path) * param, updates, params
    ))  # fmt: skip
    return optax.masked(add, lambda tree: by_path(lambda path, _: amount(path) != 0, tree))


def _group_rates(groups: Sequence[ParamGroup]) -> optax.GradientTransformation:
    """Multiplies the updates of each parameter by the factor of its group."""
    by_path = jax.tree_util.tree_map_with_path
    return optax.stateless(lambda updates, _: by_path(
        lambda path, update: group_of(path_name(path), groups).rate * update, updates
    ))  # fmt: skip


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
