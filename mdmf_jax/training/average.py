"""Exponential average of the parameters, kept beside the optimizer's own state."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax


class AveragedState(NamedTuple):
    """State of an optimizer that averages.

    Attributes:
      inner: of the optimizer itself.
      count: updates so far, int32.
      average: of the trained parameters; at step 0 these themselves.
    """

    inner: Any
    count: jax.Array
    average: Any


def with_average(
    optimizer: optax.GradientTransformation, decay: float
) -> optax.GradientTransformation:
    """The same optimizer, whose state averages the parameters after each update.

    The parameters after update i of t weigh (1 - decay) decay^(t - i) / (1 - decay^t), so that
    those at the start, before any update, have no weight.
    """

    def init(params: Any) -> AveragedState:
        copied = jax.tree.map(jnp.array, params)  # A step consumes both.
        return AveragedState(optimizer.init(params), jnp.zeros((), jnp.int32), copied)

    def update(updates: Any, state: Any, params: Any = None) -> Any:
        updates, inner = optimizer.update(updates, state.inner, params)
        count = state.count + 1
        share = (1 - decay) / (1 - jnp.float32(decay) ** count)
        average = jax.tree.map(
            lambda old, new: (old + share * (new - old)).astype(old.dtype),
            state.average,
            optax.apply_updates(params, updates),
        )
        return updates, AveragedState(inner, count, average)

    return optax.GradientTransformation(init, update)
