"""Where OTAM's soft alignment passes: the gradient of its recursion by the frame costs."""

from functools import partial

import jax
import numpy as np

from mdmf_jax.ops.alignment import alignment_cost


def alignment_path(
    costs: np.ndarray, smoothing: float, bidirectional: bool = True
) -> tuple[np.ndarray, np.ndarray | None]:
    """Probability that the soft alignment passes each pair of frames, in both directions.

    The derivative of the soft minimum over all alignments by the cost of a cell is the share
    of the alignments through that cell, weighted by exp(-cost / smoothing).

    Args:
      costs: 1 - cosine of query frames (rows) and support frames, [*batch, T, S].
      smoothing: temperature of the soft minimum, as the method has it.
      bidirectional: also with rows and columns exchanged.

    Returns:
      The path with the rows as they are, and with rows and columns exchanged (None unless
      `bidirectional`), both [*batch, T, S] in the order of `costs`.
    """
    costs = np.asarray(costs, np.float32)
    there = np.asarray(_passing(costs, smoothing))
    if not bidirectional:
        return there, None
    back = np.asarray(_passing(np.swapaxes(costs, -1, -2), smoothing))
    return there, np.swapaxes(back, -1, -2)


@partial(jax.jit, static_argnums=1)
def _passing(costs: jax.Array, smoothing: float) -> jax.Array:
    return jax.grad(lambda c: alignment_cost(c, smoothing).sum())(costs)
