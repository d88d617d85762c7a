"""Where OTAM's soft alignment passes: the gradient of its recursion by the frame costs."""

from functools import partial

import jax
import numpy as np

from mdmf_jax.ops.alignment import alignment_cost


def alignment_path(
    costs: np.ndarray, temperature: float, bidirectional: bool = True
) -> tuple[np.ndarray, np.ndarray | None]:
    """Probability that the soft alignment passes each pair of frames, in both directions.

    The derivative of the soft minimum over all alignments by the cost of a cell is the share
    of the alignments through that cell, weighted by exp(-cost / temperature).

    Args:
      costs: 1 - cosine of query frames (rows) and support frames, [*batch, T, S].
      temperature: temperature of the soft minimum, as the method has it.
      bidirectional: also with rows and columns exchanged.

    Returns:
      The path with the rows as they are, and with rows and columns exchanged (None unless
      `bidirectional`), both [*batch, T, S] in the order of `costs`.
    """
    costs = np.asarray(costs, np.float32)
    there = np.asarray(_passing(costs, temperature))
    if not bidirectional:
        return there, None
    back = np.asarray(_passing(np.swapaxes(costs, -1, -2), temperature))
    return there, np.swapaxes(back, -1, -2)


@partial(jax.jit, static_argnums=1)
def _passing(costs: jax.Array, temperature: float) -> jax.Array:
    return jax.grad(lambda c: alignment_cost(c, temperature).sum())(costs)
